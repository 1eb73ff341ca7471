package autograd

import "github.com/godino-ml/godino/tensor"

// LinearResidual is y[b] = residual[b] + scale[b]·(x[b]·wᵀ + bias) over the leading dimension: Residual(residual, Linear(x, w, bias), scale) in
// one pass over y. A nil scale is all ones; it is kept until Backward.
func (t *Tape) LinearResidual(residual, x, w, bias *Var, scale *tensor.Tensor) *Var {
	y := t.output(t.withCols(x.Value, w.Value.Dim(0)), residual, x, w, bias)
	tensor.LinearResidualForward(y.Value, residual.Value, x.Value, matrix(w.Value), bias.tensor(), scale)
	t.keeps(y, x, w)
	t.undoes(y, func(dy *tensor.Tensor) {
		// y = residual + scale·(x·wᵀ + bias)
		branch := t.scaled(y, scale)
		db := t.sum(bias)
		dx, addX := t.grad(x)
		dw, addW := t.grad(w)
		tensor.LinearBackward(dx, matrix(dw), db, branch, x.Value, matrix(w.Value), addX, addW)
		t.free(branch, dy)
		t.pass(residual, y)
	})
	return y
}

// scaled is y's gradient times scale by its leading dimension: the gradient itself if scale is nil, otherwise a tensor that free gives back.
func (t *Tape) scaled(y *Var, scale *tensor.Tensor) *tensor.Tensor {
	if scale == nil {
		return y.Grad
	}
	s := t.memory(y, y.shape...)
	tensor.ScaleRows(s, y.Grad, scale, false)
	return s
}

// free gives back what scaled has made of dy.
func (t *Tape) free(scaled, dy *tensor.Tensor) {
	if scaled != dy {
		t.arena.Free(scaled)
	}
}
