package autograd

import "github.com/godino-ml/godino/tensor"

// L2Normalize is y = x / max(‖x‖, eps) over the last dimension.
func (t *Tape) L2Normalize(x *Var, eps float32) *Var {
	y := t.output(x.Value.Shape(), x)
	norm := t.statistics(y, x.Value.Rows())
	tensor.L2NormalizeForward(y.Value, norm, x.Value, eps)
	t.keeps(y, y)
	t.undoes(y, func(dy *tensor.Tensor) {
		// y = x / max(norm, eps)
		dx, add := t.grad(x)
		tensor.L2NormalizeBackward(dx, dy, y.Value, norm, eps, add)
	})
	return y
}
