package cuda

// Fill writes value to n elements of x.
func (d *Device) Fill(x Ptr, t Type, value float32, n int) {
	d.launch("fill", "fill_"+t.String(), d.elements(n), Dim{X: 256}, 0, P(x), F(value), I(n))
}
