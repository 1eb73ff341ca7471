package tensor

var one = []float32{1}

// LinearForward computes y = x·wᵀ + bias for every row. bias may be nil.
//
//	y    (…, out)
//	x    (…, in)
//	w    (out, in)
//	bias (out)
func LinearForward(y, x, w, bias *Tensor) {
	rows, in, out := checkLinear("LinearForward", y, x, w, bias)
	p := gemmProduct{transB: true, m: rows, n: out, k: in, alpha: 1, a: x.data, lda: in, b: w.data, ldb: in, c: y.data, ldc: out}
	if bias != nil {
		p.beta, p.d = 1, bias.data // one row for all: its leading dimension is 0
	}
	y.dev.gemmAdd(p)
}

// LinearBackward undoes y = x·wᵀ + bias. dx is overwritten, or added to if add; dw and dbias are added to. Each may be nil: not wanted.
//
//	dx    = dy·w         (…, in)
//	dw    = dyᵀ·x        (out, in)
//	dbias = Σ rows of dy (out)
func LinearBackward(dx, dw, dbias, dy, x, w *Tensor, add bool) {
	rows, in, out := checkLinear("LinearBackward", dy, x, w, dbias)
	if dx != nil {
		check(SameShape(dx, x), "LinearBackward", "dx of the shape of x", dx, x)
		beta := float32(0)
		if add {
			beta = 1
		}
		dx.dev.Gemm(false, false, rows, in, out, 1, dy.data, out, w.data, in, beta, dx.data, in)
	}
	if dw != nil {
		check(SameShape(dw, w), "LinearBackward", "dw of the shape of w", dw, w)
		dw.dev.Gemm(true, false, out, in, rows, 1, dy.data, out, x.data, in, 1, dw.data, in)
	}
	if dbias != nil {
		// A product with a column of ones, all of them the same 1: its leading dimension is 0.
		dbias.dev.Gemm(true, false, 1, out, rows, 1, one, 0, dy.data, out, 1, dbias.data, out)
	}
}

func checkLinear(op string, y, x, w, bias *Tensor) (rows, in, out int) {
	ok := len(w.shape) == 2 && x.Cols() == w.shape[1] && y.Cols() == w.shape[0] && x.Rows() == y.Rows() &&
		(bias == nil || bias.Len() == w.shape[0])
	check(ok, op, "y (…, out), x (…, in), w (out, in), bias (out) or nil", y, x, w, bias)
	return x.Rows(), x.Cols(), y.Cols()
}
