package cuda

// L2NormalizeForward computes y = x / max(‖x‖, eps) for rows (rows, n) of type t, and norm (rows) = ‖x‖, float32, which may be 0: not wanted. y may be x.
func (d *Device) L2NormalizeForward(y, norm, x Ptr, t Type, eps float32, rows, n int) {
	d.launch("l2normalize", "l2normalize_forward_"+t.String(), Dim{X: rows}, rowThreads(n), 0, P(y), P(norm), P(x), F(eps), I(n))
}

// L2NormalizeBackward computes dx, or adds to it, from dy, y and norm of the forward.
func (d *Device) L2NormalizeBackward(dx, dy, y Ptr, t Type, norm Ptr, eps float32, rows, n int, add bool) {
	d.launch("l2normalize", "l2normalize_backward_"+t.String(), Dim{X: rows}, rowThreads(n), 0, P(dx), P(dy), P(y), P(norm), F(eps), I(n), Flag(add))
}
