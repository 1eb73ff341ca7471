package tensor

// LinearResidualForward computes y[i] = residual[i] + scale[i]·(x[i]·wᵀ + bias) over the leading dimension: the linear layer at the end of a
// residual branch, which drop path scales by sample, by 0 or 1/keep. scale (B); nil is 1 throughout. residual (…, out) as y, the others as of
// LinearForward; y must not be residual. ScaleRows and LinearBackward undo it.
func LinearResidualForward(y, residual, x, w, bias *Tensor, scale *Tensor) {
	linearForward("LinearResidualForward", y, x, w, bias, addResidual("LinearResidualForward", y, residual, scale))
}

// addResidual makes the finish of a product y that is a residual branch: y[i] = residual[i] + scale[i]·y[i].
func addResidual(op string, y, residual *Tensor, scale *Tensor) func(i, j, rows, cols int) {
	check(SameShape(y, residual) && (scale == nil || len(y.shape) > 1 && scale.Len() == y.shape[0]),
		op, "y and residual of the same shape, scale of its leading dimension", y, residual)
	k, n := y.dev.kernels, y.Cols()
	sample := 1 // rows that have one scale
	if scale != nil && scale.Len() > 0 {
		sample = y.Rows() / scale.Len()
	}
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
