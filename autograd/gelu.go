package autograd

import "github.com/godino-ml/godino/tensor"

// GELU is y = x·Φ(x), Φ the normal distribution function (the exact form, with erf).
func (t *Tape) GELU(x *Var) *Var {
	y := t.output(x.Value.Shape(), x)
	tensor.GELUForward(y.Value, x.Value)
	t.keeps(y, x)
	t.undoes(y, func(dy *tensor.Tensor) {
		// y = x·Φ(x)
		dx, add := t.grad(x)
		tensor.GELUBackward(dx, dy, x.Value, add)
	})
	return y
}
