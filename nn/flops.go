package nn

// FLOPs is how many floating-point operations Forward does for one image of h×w pixels: two for every multiply-add of its matrix products,
// those of attention included. Norms, softmax and GELU are not counted. The last block computes no more than the class token needs. A
// backward pass does about twice as many.
func (m *VisionTransformer) FLOPs(h, w int) float64 {
	rows, cols := m.grid(h, w)
	d, hidden := float64(m.config.Dim), float64(m.config.hidden())
	patches := float64(rows * cols)
	n := patches + 1 + float64(m.config.Registers)

	attention := n*3*d*d + 2*n*n*d // qkv, and its products q·kᵀ and p·v
	token := d*d + 2*d*hidden      // proj and MLP of one token
	depth := float64(m.config.Depth)
	macs := patches*d*float64(channels*m.config.PatchSize*m.config.PatchSize) + depth*attention + ((depth-1)*n+1)*token
	return 2 * macs
}
