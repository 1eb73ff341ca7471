package autograd

import "github.com/godino-ml/godino/tensor"

// BatchNorm normalises every column of x (R, C) over the rows of this batch, then scales by w and shifts by b (C). When the tape records or
// not, it uses the batch's own statistics, as the published reference does for student and teacher alike; the running ones,
// running = (1 − momentum)·running + momentum·batch with the unbiased variance, are written for whoever wants them later.
func (t *Tape) BatchNorm(x, w, b *Var, runningMean, runningVar *tensor.Tensor, eps, momentum float32) *Var {
	y := t.output(x.Value.Shape(), x, w, b)
	mean, rstd := t.arena.NewFloat32(x.Value.Cols()), t.arena.NewFloat32(x.Value.Cols())
	tensor.BatchNormForward(y.Value, mean, rstd, x.Value, w.Value, b.Value, eps)
	tensor.BatchNormUpdate(runningMean, runningVar, mean, rstd, x.Value.Rows(), eps, momentum)
	t.keeps(y, x, w)
	t.undoes(y, func(dy *tensor.Tensor) {
		// y = (x − mean)·rstd·w + b
		dw, db := t.sum(w), t.sum(b)
		dx, add := t.grad(x)
		tensor.BatchNormBackward(dx, dw, db, dy, x.Value, w.Value, mean, rstd, add)
	})
	return y
}
