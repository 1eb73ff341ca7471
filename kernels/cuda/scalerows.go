package cuda

// ScaleRows computes y[b] = scale[b]·x[b], or adds it to y[b], for count items of n elements each. scale is float32; 0 is 1 throughout. What is scaled by 0
// is not read. Without add, y may be x.
func (d *Device) ScaleRows(y, x Ptr, t Type, scale Ptr, count, n int, add bool) {
	d.launch("scalerows", "scalerows_"+t.String(), items(count, n), Dim{X: 256}, 0, P(y), P(x), P(scale), I(count), U64(uint64(n)), Flag(add))
}
