package cuda

// Add computes y[i] = a[i] + b[i] of n elements. y may be a or b.
func (d *Device) Add(y, a, b Ptr, t Type, n int) {
	d.launch("add", "add_"+t.String(), d.elements(n), Dim{X: 256}, 0, P(y), P(a), P(b), U64(uint64(n)))
}

// AddScaled computes y[i] += a·x[i].
func (d *Device) AddScaled(y, x Ptr, t Type, a float32, n int) {
	d.launch("add", "addscaled_"+t.String(), d.elements(n), Dim{X: 256}, 0, P(y), P(x), F(a), U64(uint64(n)))
}

// Mul computes y[i] *= x[i].
func (d *Device) Mul(y, x Ptr, t Type, n int) {
	d.launch("add", "mul_"+t.String(), d.elements(n), Dim{X: 256}, 0, P(y), P(x), U64(uint64(n)))
}

// Scale computes x[i] *= a.
func (d *Device) Scale(x Ptr, t Type, a float32, n int) {
	d.launch("add", "scale_"+t.String(), d.elements(n), Dim{X: 256}, 0, P(x), F(a), U64(uint64(n)))
}
