package tensor

// MLPForward computes the MLP of a transformer's block, two linear layers with the exact GELU between them, and its residual connection:
//
//	h = x·w1ᵀ + b1;  y[i] = residual[i] + scale[i]·(gelu(h[i])·w2ᵀ + b2)
//
// over the leading dimension, see LinearResidualForward; with residual nil, y = gelu(h)·w2ᵀ + b2. b1 and b2 may be nil.
//
//	y, residual (…, out)
//	x           (…, in)
//	w1, b1      (hidden, in), (hidden)
//	w2, b2      (out, hidden), (out)
//
// a (…, hidden) gets gelu(h), and dadh (…, hidden) gelu'(h), both for the backward; without one, dadh is nil. h itself is nowhere: GELU is taken
// of every block of it that is ready, and its derivative, which costs little beside it, takes its place.
func MLPForward(y, a, dadh, x, w1, b1, w2, b2, residual *Tensor, scale []float32) {
	k, n := x.dev.kernels, a.Cols()
	h, gelu := a, func(i, j, rows, cols int) {
		for at := i*n + j; at < (i+rows)*n; at += n {
			k.GELUForward(a.data[at:at+cols], a.data[at:at+cols])
		}
	}
	if dadh != nil {
		check(SameShape(a, dadh), "MLPForward", "a and dadh of the same shape", a, dadh)
		h, gelu = dadh, func(i, j, rows, cols int) {
			for at := i*n + j; at < (i+rows)*n; at += n {
				k.GELUAndDerivative(a.data[at:at+cols], dadh.data[at:at+cols], dadh.data[at:at+cols])
			}
		}
	}
	linearForward("MLPForward", h, x, w1, b1, gelu)
	if residual == nil {
		check(scale == nil, "MLPForward", "no scale without a residual", y)
		linearForward("MLPForward", y, a, w2, b2, nil)
		return
	}
	linearForward("MLPForward", y, a, w2, b2, addResidual("MLPForward", y, residual, scale))
}

// MLPBackward undoes MLPForward for dy, the gradient of what is in brackets above. dw2, then dw1, then dx are overwritten, or added to if
// addW2, addW1 or addX; db1 and db2 are added to. Each may be nil: not wanted. a is used up: it becomes the gradient of h.
func MLPBackward(dx, dw1, db1, dw2, db2, dy, x, a, dadh, w1, w2 *Tensor, addX, addW1, addW2 bool) {
	checkLinear("MLPBackward", dy, a, w2, db2)
	checkLinear("MLPBackward", a, x, w1, db1)
	check(SameShape(a, dadh), "MLPBackward", "a and dadh of the same shape", a, dadh)
	linearBackwardWeights("MLPBackward", dw2, db2, dy, a, addW2)
	if dx == nil && dw1 == nil && db1 == nil {
		return
	}
	dh, k, n := a, a.dev.kernels, a.Cols()
	linearBackwardInput("MLPBackward", dh, dy, w2, false, func(i, j, rows, cols int) {
		for at := i*n + j; at < (i+rows)*n; at += n {
			k.Mul(dh.data[at:at+cols], dadh.data[at:at+cols])
		}
	})
	linearBackwardWeights("MLPBackward", dw1, db1, dh, x, addW1)
	if dx != nil {
		linearBackwardInput("MLPBackward", dx, dh, w1, addX, nil)
	}
}
