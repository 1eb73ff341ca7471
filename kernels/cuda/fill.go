package cuda

// Fill writes value to n elements of x.
func (d *Device) Fill(x Ptr, t Type, value float32, n int) {
	d.launch("fill", "fill_"+t.String(), d.elements(n), Dim{X: 256}, 0, P(x), F(value), I(n))
}

// elements is the grid of kernels of 256 threads that stride over n elements: enough blocks to fill the GPU, no more.
func (d *Device) elements(n int) Dim {
	if n == 0 {
		return Dim{}
	}
	return Dim{X: min(ceilDiv(n, 256), 8*max(d.info.Multiprocessors, 1))}
}
