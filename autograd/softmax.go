package autograd

import "github.com/godino-ml/godino/tensor"

// Softmax is y = exp(x) / Σ exp(x) over the last dimension.
func (t *Tape) Softmax(x *Var) *Var {
	y := t.output(x.Value.Shape(), x)
	tensor.SoftmaxForward(y.Value, x.Value)
	t.keeps(y, y)
	t.undoes(y, func(dy *tensor.Tensor) {
		// y = exp(x) / Σ exp(x)
		dx, add := t.grad(x)
		tensor.SoftmaxBackward(dx, dy, y.Value, add)
	})
	return y
}

// LogSoftmax is y = x − log Σ exp(x) over the last dimension.
func (t *Tape) LogSoftmax(x *Var) *Var {
	y := t.output(x.Value.Shape(), x)
	tensor.LogSoftmaxForward(y.Value, x.Value)
	t.keeps(y, y)
	t.undoes(y, func(dy *tensor.Tensor) {
		// y = x − log Σ exp(x)
		dx, add := t.grad(x)
		tensor.LogSoftmaxBackward(dx, dy, y.Value, add)
	})
	return y
}
