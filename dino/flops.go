package dino

// FLOPs is how many floating-point operations a training step does for one image: two for every multiply-add of the matrix products of the
// teacher's pass, the student's, and its backward, which is twice its forward. Norms, softmax, loss and optimizer are not counted.
func (t *Trainer) FLOPs() float64 {
	c := &t.config
	const backward = 2
	large := t.Student.Backbone.FLOPs(c.GlobalCropsSize, c.GlobalCropsSize)
	head := t.Student.Head.FLOPs()
	flops := globalViews * (1 + 1 + backward) * (large + head)
	if c.LocalCropsNumber > 0 {
		small := t.Student.Backbone.FLOPs(c.LocalCropsSize, c.LocalCropsSize)
		flops += float64(c.LocalCropsNumber) * (1 + backward) * (small + head)
	}
	return flops
}

// FLOPs is how many floating-point operations Forward does for one row: two for every multiply-add of its matrix products.
func (h *Head) FLOPs() float64 {
	macs := 0
	for _, p := range h.Params() {
		if s := p.Value.Shape(); len(s) == 2 && s[1] > 1 { // not weight_g (K, 1)
			macs += s[0] * s[1]
		}
	}
	return 2 * float64(macs)
}
