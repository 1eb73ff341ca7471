package cuda

// WeightNormForward computes w[k] = g[k]·v[k]/‖v[k]‖ for rows of n elements. w has type t, v (rows, n) and g (rows) are float32.
func (d *Device) WeightNormForward(w, v, g Ptr, rows, n int, t Type) {
	d.launch("weightnorm", "weightnorm_forward_"+t.String(), warps(rows), Dim{X: 256}, 0, P(w), P(v), P(g), I(rows), I(n))
}

// WeightNormBackward computes the gradient dv from dw, or adds it to dv, and adds that of g to dg; either may be 0. All are float32.
func (d *Device) WeightNormBackward(dv, dg, dw, v, g Ptr, rows, n int, add bool) {
	d.launch("weightnorm", "weightnorm_backward", warps(rows), Dim{X: 256}, 0, P(dv), P(dg), P(dw), P(v), P(g), I(rows), I(n), Flag(add))
}

// warps is the grid of kernels with blocks of 256 threads, a warp for each of n rows.
func warps(n int) Dim { return Dim{X: ceilDiv(n, 8)} }
