package tensor

import "github.com/godino-ml/godino/kernels"

// LinearForward computes y = x·wᵀ + bias for every row. bias may be nil.
//
//	y    (…, out)
//	x    (…, in)
//	w    (out, in)
//	bias (out)
func LinearForward(y, x, w, bias *Tensor) {
	rows, in, out := checkLinear("LinearForward", y, x, w, bias)
	p := kernels.Product{TransB: true, M: rows, N: out, K: in, Alpha: 1, A: x.data, LDA: in, B: w.data, LDB: in, C: y.data, LDC: out}
	if bias != nil {
		p.Beta, p.D = 1, bias.data // one row for all: its leading dimension is 0
	}
	y.dev.LayerProduct(p)
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
		dx.dev.LayerProduct(kernels.Product{M: rows, N: in, K: out, Alpha: 1, A: dy.data, LDA: out, B: w.data, LDB: in, Beta: beta, D: dx.data, LDD: in, C: dx.data, LDC: in})
	}
	if dw == nil && dbias == nil {
		return
	}
	p := kernels.Product{TransA: true, M: out, K: rows, Alpha: 1, A: dy.data, LDA: out}
	if dw != nil {
		check(SameShape(dw, w), "LinearBackward", "dw of the shape of w", dw, w)
		p.N, p.B, p.LDB = in, x.data, in
		p.Beta, p.D, p.LDD, p.C, p.LDC = 1, dw.data, in, dw.data, in
	}
	if dbias != nil {
		p.RowSums = dbias.data
	}
	dy.dev.LayerProduct(p)
}

// LayerProduct computes p in the device's precision, as one of a layer's, on its threads.
func (d *Device) LayerProduct(p kernels.Product) {
	p.BF16 = d.precision == BF16
	d.product(p)
}

func checkLinear(op string, y, x, w, bias *Tensor) (rows, in, out int) {
	ok := len(w.shape) == 2 && x.Cols() == w.shape[1] && y.Cols() == w.shape[0] && x.Rows() == y.Rows() &&
		(bias == nil || bias.Len() == w.shape[0])
	check(ok, op, "y (…, out), x (…, in), w (out, in), bias (out) or nil", y, x, w, bias)
	return x.Rows(), x.Cols(), y.Cols()
}
