package autograd

import "github.com/godino-ml/godino/tensor"

// LayerNorm is y = (x − mean)·rstd·w + b with the mean and 1/√(variance + eps) of every row. x, y (…, C), w and b (C).
func (t *Tape) LayerNorm(x, w, b *Var, eps float32) *Var {
	y := t.output(x.Value.Shape(), x, w, b)
	mean, rstd := t.statistics(y, x.Value.Rows()), t.statistics(y, x.Value.Rows())
	tensor.LayerNormForward(y.Value, mean, rstd, x.Value, w.Value, b.Value, eps)
	// Its outputs would be an eighth of what a transformer's block holds until Backward.
	t.recomputes(y, func() { tensor.LayerNormForward(y.Value, mean, rstd, x.Value, w.Value, b.Value, eps) })
	t.keeps(y, x, w, b) // b for the former
	t.undoes(y, func(dy *tensor.Tensor) {
		// y = (x − mean)·rstd·w + b
		dw, db := t.sum(w), t.sum(b)
		dx, add := t.grad(x)
		tensor.LayerNormBackward(dx, dw, db, dy, x.Value, w.Value, mean, rstd, add)
	})
	return y
}
