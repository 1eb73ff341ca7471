package tensor

import "github.com/godino-ml/godino/kernels/cuda"

// LinearResidualForward computes y[i] = residual[i] + scale[i]·(x[i]·wᵀ + bias) over the leading dimension: the linear layer at the end of a
// residual branch, which drop path scales by sample, by 0 or 1/keep. scale (B); nil is 1 throughout. residual (…, out) as y, the others as of
// LinearForward; y must not be residual. ScaleRows and LinearBackward undo it.
func LinearResidualForward(y, residual, x, w, bias *Tensor, scale *Tensor) {
	if g := y.dev.gpu; g != nil {
		p := gemmForward("LinearResidualForward", y, x, w, bias)
		gemmResidual("LinearResidualForward", &p, y, residual, scale)
		g.Gemm(&p)
		return
	}
	linearForward("LinearResidualForward", y, x, w, bias, addResidual("LinearResidualForward", y, residual, scale))
}

// addResidual makes the finish of a product y that is a residual branch: y[i] = residual[i] + scale[i]·y[i].
func addResidual(op string, y, residual *Tensor, scale *Tensor) func(i, j, rows, cols int) {
	sample := checkResidual(op, y, residual, scale)
	k, n := y.dev.kernels, y.Cols()
	return func(i, j, rows, cols int) {
		for r := i; r < i+rows; r++ {
			to, from := y.data[r*n+j:][:cols], residual.data[r*n+j:][:cols]
			a := float32(1)
			if scale != nil {
				a = scale.data[r/sample]
			}
			if a == 0 { // what is dropped counts for nothing, even NaN
				copy(to, from)
				continue
			}
			if a != 1 {
				k.Scale(to, a)
			}
			k.Add(to, from)
		}
	}
}

// gemmResidual makes a GPU's product y a residual branch.
func gemmResidual(op string, p *cuda.Gemm, y, residual, scale *Tensor) {
	p.SampleRows = checkResidual(op, y, residual, scale)
	p.Residual, p.Scale = residual.at(y.typ), scale.f32()
}

// checkResidual returns the number of rows that have one scale.
func checkResidual(op string, y, residual, scale *Tensor) int {
	check(SameShape(y, residual) && (scale == nil || len(y.shape) > 1 && scale.Len() == y.shape[0]),
		op, "y and residual of the same shape, scale of its leading dimension", y, residual)
	if scale != nil && scale.Len() > 0 {
		return y.Rows() / scale.Len()
	}
	return 1
}
