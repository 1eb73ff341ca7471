package cuda

// GELUForward computes y = x·Φ(x) of n elements. y may be x.
func (d *Device) GELUForward(y, x Ptr, t Type, n int) {
	d.launch("gelu", "gelu_forward_"+t.String(), d.elements(n), Dim{X: 256}, 0, P(y), P(x), U64(uint64(n)))
}

// GELUBackward computes dx = dy·GELU'(x), or adds it to dx. dx may be dy.
func (d *Device) GELUBackward(dx, dy, x Ptr, t Type, n int, add bool) {
	d.launch("gelu", "gelu_backward_"+t.String(), d.elements(n), Dim{X: 256}, 0, P(dx), P(dy), P(x), U64(uint64(n)), Flag(add))
}
