package cuda

// Residual computes y[b] = x[b] + scale[b]·branch[b] for count items of n elements each. scale is float32; 0 is 1 throughout. A branch scaled by 0 is not
// read. y may be x.
func (d *Device) Residual(y, x, branch Ptr, t Type, scale Ptr, count, n int) {
	d.launch("residual", "residual_"+t.String(), items(count, n), Dim{X: 256}, 0, P(y), P(x), P(branch), P(scale), I(count), U64(uint64(n)))
}
