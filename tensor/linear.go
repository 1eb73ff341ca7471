package tensor

// LinearForward computes y = x·wᵀ + bias for every row. bias may be nil.
//
//	y    (…, out)
//	x    (…, in)
//	w    (out, in)
//	bias (out)
func LinearForward(y, x, w, bias *Tensor) {
	rows, in, out := checkLinear("LinearForward", y, x, w, bias)
	beta := float32(0)
	if bias != nil {
		beta = 1
		for r := range rows {
			copy(y.data[r*out:(r+1)*out], bias.data)
		}
	}
	gemm(y.dev, false, true, rows, out, in, 1, x.data, in, w.data, in, beta, y.data, out)
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
		gemm(dx.dev, false, false, rows, in, out, 1, dy.data, out, w.data, in, beta, dx.data, in)
	}
	if dw != nil {
		check(SameShape(dw, w), "LinearBackward", "dw of the shape of w", dw, w)
		gemm(dw.dev, true, false, out, in, rows, 1, dy.data, out, x.data, in, 1, dw.data, in)
	}
	if dbias != nil {
		for r := range rows {
			for j, v := range dy.data[r*out : (r+1)*out] {
				dbias.data[j] += v
			}
		}
	}
}

func checkLinear(op string, y, x, w, bias *Tensor) (rows, in, out int) {
	ok := len(w.shape) == 2 && x.Cols() == w.shape[1] && y.Cols() == w.shape[0] && x.Rows() == y.Rows() &&
		(bias == nil || bias.Len() == w.shape[0])
	check(ok, op, "y (…, out), x (…, in), w (out, in), bias (out) or nil", y, x, w, bias)
	return x.Rows(), x.Cols(), y.Cols()
}
