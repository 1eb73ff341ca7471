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
// a (…, hidden) is room for gelu(h), taken of every block of h that is ready. h (…, hidden) is for the backward; without one it is nil.
func MLPForward(y, a, h, x, w1, b1, w2, b2, residual *Tensor, scale *Tensor) {
	check(residual != nil || scale == nil, "MLPForward", "no scale without a residual", y)
	if g := x.dev.gpu; g != nil {
		p := gemmForward("MLPForward", a, x, w1, b1)
		p.GELU = true
		if h != nil {
			check(SameShape(a, h), "MLPForward", "a and h of the same shape", a, h)
			p.H = h.at(a.typ)
		}
		g.Gemm(&p)
		p = gemmForward("MLPForward", y, a, w2, b2)
		if residual != nil {
			gemmResidual("MLPForward", &p, y, residual, scale)
		}
		g.Gemm(&p)
		return
	}
	if h == nil {
		h = a
	}
	check(SameShape(a, h), "MLPForward", "a and h of the same shape", a, h)
	k, n := x.dev.kernels, a.Cols()
	linearForward("MLPForward", h, x, w1, b1, func(i, j, rows, cols int) {
		for at := i*n + j; at < (i+rows)*n; at += n {
			k.GELUForward(a.data[at:at+cols], h.data[at:at+cols])
		}
	})
	if residual == nil {
		linearForward("MLPForward", y, a, w2, b2, nil)
		return
	}
	linearForward("MLPForward", y, a, w2, b2, addResidual("MLPForward", y, residual, scale))
}

// MLPBackward undoes MLPForward for dy, the gradient of what is in brackets above. dw2, then dw1, then dx are overwritten, or added to if
// addW2, addW1 or addX; db1 and db2 are added to. Each may be nil: not wanted. gelu(h) is computed again: to hold it since the forward would
// take a quarter of the memory of a transformer's block, to save a hundredth of its time. a is room for it, and h is used up.
func MLPBackward(dx, dw1, db1, dw2, db2, dy, x, a, h, w1, w2 *Tensor, addX, addW1, addW2 bool) {
	checkLinear("MLPBackward", dy, a, w2, db2)
	checkLinear("MLPBackward", a, x, w1, db1)
	check(SameShape(a, h), "MLPBackward", "a and h of the same shape", a, h)
	if g := dy.dev.gpu; g != nil {
		if dx == nil && dw1 == nil && db1 == nil {
			GELUForward(a, h)
			LinearBackward(nil, dw2, db2, dy, a, w2, false, addW2)
			return
		}
		// The product that makes dh has h at hand: it leaves gelu(h) in a, and dh in h's place.
		dh := h
		p := gemmBackwardInput("MLPBackward", dh, dy, w2, false)
		p.MulGELUDerivative, p.H, p.Activation = true, h.ptr, a.at(h.typ)
		g.Gemm(&p)
		LinearBackward(nil, dw2, db2, dy, a, w2, false, addW2)
		LinearBackward(dx, dw1, db1, dh, x, w1, addX, addW1)
		return
	}
	dadh := h
	a.dev.runElements(a.Len(), func(from, to int) {
		a.dev.kernels.GELUAndDerivative(a.data[from:to], dadh.data[from:to], h.data[from:to])
	})
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
