package autograd

import "github.com/godino-ml/godino/tensor"

// Residual is y[b] = x[b] + scale[b]·branch[b] over the leading dimension; a nil scale is all ones. scale is kept until Backward.
func (t *Tape) Residual(x, branch *Var, scale *tensor.Tensor) *Var {
	y := t.output(x.Value.Shape(), x, branch)
	tensor.Residual(y.Value, x.Value, branch.Value, scale)
	t.undoes(y, func(dy *tensor.Tensor) {
		// y = x + scale·branch
		if scale == nil {
			t.pass(branch, y)
		} else if d, add := t.grad(branch); d != nil {
			tensor.ScaleRows(d, dy, scale, add)
		}
		t.pass(x, y)
	})
	return y
}
