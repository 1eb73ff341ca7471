package tensor

import (
	"github.com/godino-ml/godino/kernels"
	"github.com/godino-ml/godino/kernels/cuda"
)

// LinearForward computes y = x·wᵀ + bias for every row. bias may be nil.
//
//	y    (…, out)
//	x    (…, in)
//	w    (out, in)
//	bias (out)
func LinearForward(y, x, w, bias *Tensor) {
	if g := y.dev.gpu; g != nil {
		p := gemmForward("LinearForward", y, x, w, bias)
		g.Gemm(&p)
		return
	}
	linearForward("LinearForward", y, x, w, bias, nil)
}

// LinearBackward undoes y = x·wᵀ + bias. dx and then dw are overwritten, or added to if addX or addW; dbias is added to. Each may be nil: not
// wanted.
//
//	dx    = dy·w         (…, in)
//	dw    = dyᵀ·x        (out, in)
//	dbias = Σ rows of dy (out)
func LinearBackward(dx, dw, dbias, dy, x, w *Tensor, addX, addW bool) {
	checkLinear("LinearBackward", dy, x, w, dbias)
	if g := dy.dev.gpu; g != nil {
		if dx != nil {
			p := gemmBackwardInput("LinearBackward", dx, dy, w, addX)
			g.Gemm(&p)
		}
		p := gemmBackwardWeights("LinearBackward", dw, dbias, dy, x, addW)
		g.Gemm(&p)
		return
	}
	if dx != nil {
		linearBackwardInput("LinearBackward", dx, dy, w, addX, nil)
	}
	linearBackwardWeights("LinearBackward", dw, dbias, dy, x, addW)
}

// The three products of a linear layer, and what is done to each block of the result while it is in the nearer caches (see
// kernels.Product.Finish; nil for nothing). Every operation that is a linear layer and more has them from here.

func linearForward(op string, y, x, w, bias *Tensor, finish func(i, j, rows, cols int)) {
	checkLinear(op, y, x, w, bias)
	in, out := x.Cols(), y.Cols()
	p := kernels.Product{TransB: true, M: x.Rows(), N: out, K: in, Alpha: 1, A: x.data, LDA: in, B: w.data, LDB: in, C: y.data, LDC: out, Finish: finish}
	if bias != nil {
		p.Beta, p.D = 1, bias.data // one row for all: its leading dimension is 0
	}
	y.dev.LayerProduct(p)
}

func linearBackwardInput(op string, dx, dy, w *Tensor, add bool, finish func(i, j, rows, cols int)) {
	checkLinear(op, dy, dx, w, nil)
	in, out := dx.Cols(), dy.Cols()
	p := kernels.Product{M: dy.Rows(), N: in, K: out, Alpha: 1, A: dy.data, LDA: out, B: w.data, LDB: in, C: dx.data, LDC: in, Finish: finish}
	if add {
		p.Beta, p.D, p.LDD = 1, dx.data, in
	}
	dx.dev.LayerProduct(p)
}

func linearBackwardWeights(op string, dw, dbias, dy, x *Tensor, add bool) {
	if dw == nil && dbias == nil {
		return
	}
	in, out := x.Cols(), dy.Cols()
	p := kernels.Product{TransA: true, M: out, K: x.Rows(), Alpha: 1, A: dy.data, LDA: out}
	if dw != nil {
		checkLinear(op, dy, x, dw, nil)
		p.N, p.B, p.LDB = in, x.data, in
		p.C, p.LDC = dw.data, in
		if add {
			p.Beta, p.D, p.LDD = 1, dw.data, in
		}
	}
	if dbias != nil {
		p.RowSums = dbias.data
	}
	dy.dev.LayerProduct(p)
}

// The same three for a GPU, to which an operation adds what it does besides. Products are of the type of the activations; parameters have a copy in it.

func gemmForward(op string, y, x, w, bias *Tensor) cuda.Gemm {
	checkLinear(op, y, x, w, bias)
	y.written()
	in, out := x.Cols(), y.Cols()
	return cuda.Gemm{TransB: true, M: x.Rows(), N: out, K: in, Alpha: 1, Type: x.typ, TF32: x.dev.precision == TF32, A: x.ptr, LDA: in, B: w.factor(x.typ), LDB: in,
		TypeC: y.typ, C: y.ptr, LDC: out, Bias: bias.f32()}
}

func gemmBackwardInput(op string, dx, dy, w *Tensor, add bool) cuda.Gemm {
	checkLinear(op, dy, dx, w, nil)
	dx.written()
	in, out := dx.Cols(), dy.Cols()
	return cuda.Gemm{M: dy.Rows(), N: in, K: out, Alpha: 1, Type: dy.typ, TF32: dy.dev.precision == TF32, A: dy.ptr, LDA: out, B: w.factor(dy.typ), LDB: in,
		TypeC: dx.typ, C: dx.ptr, LDC: in, Beta: keep(add)}
}

// gemmBackwardWeights is no product where dw and dbias are nil.
func gemmBackwardWeights(op string, dw, dbias, dy, x *Tensor, add bool) cuda.Gemm {
	in, out := x.Cols(), dy.Cols()
	p := cuda.Gemm{TransA: true, M: out, K: x.Rows(), Alpha: 1, Type: dy.typ, TF32: dy.dev.precision == TF32, A: dy.ptr, LDA: out, RowSums: dbias.f32()}
	if dw != nil {
		checkLinear(op, dy, x, dw, nil)
		p.N, p.B, p.LDB = in, x.at(dy.typ), in
		p.C, p.LDC, p.Beta = dw.f32(), in, keep(add)
	}
	return p
}

// keep is the factor of what an operation overwrites or adds to.
func keep(add bool) float32 {
	if add {
		return 1
	}
	return 0
}

// LayerProduct computes p in the device's precision, as one of a layer's, on its threads.
func (d *Device) LayerProduct(p kernels.Product) {
	p.BF16 = d.precision == BF16
	d.product(p)
}

func checkLinear(op string, y, x, w, bias *Tensor) {
	ok := len(w.shape) == 2 && x.Cols() == w.shape[1] && y.Cols() == w.shape[0] && x.Rows() == y.Rows() &&
		(bias == nil || bias.Len() == w.shape[0])
	check(ok, op, "y (…, out), x (…, in), w (out, in), bias (out) or nil", y, x, w, bias)
}
