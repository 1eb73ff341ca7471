package autograd

import "github.com/godino-ml/godino/tensor"

// LayerScale multiplies every row of x (…, C) by gamma (C).
func (t *Tape) LayerScale(x, gamma *Var) *Var {
	y := t.output(x.Value.Shape(), x, gamma)
	tensor.LayerScaleForward(y.Value, x.Value, gamma.Value)
	t.keeps(y, x, gamma)
	t.undoes(y, func(dy *tensor.Tensor) {
		// y = gamma·x
		dgamma := t.sum(gamma)
		dx, add := t.grad(x)
		tensor.LayerScaleBackward(dx, dgamma, dy, x.Value, gamma.Value, add)
	})
	return y
}
