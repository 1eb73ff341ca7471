package autograd

import "github.com/godino-ml/godino/tensor"

// SelectSamples is y[i] = x[samples[i]] over the leading dimension, samples in ascending order; they are kept until Backward. How many there
// are may change from pass to pass: y, and what is computed from it, has memory for all of x's, so that no pass needs more than another.
func (t *Tape) SelectSamples(x *Var, samples []int) *Var {
	shape := append(t.shape[:0], x.Value.Shape()...)
	all := shape[0]
	shape[0] = len(samples)
	t.shape = shape
	y := t.outputOf(room{len(samples), all}, shape, x)
	tensor.SelectSamples(y.Value, x.Value, samples, 1, false)
	t.undoes(y, func(dy *tensor.Tensor) {
		// y[i] = x[samples[i]]
		dx, add := t.grad(x)
		if !add {
			tensor.ResidualSamples(dx, nil, dy, samples, 1)
		} else {
			tensor.ResidualSamples(dx, dx, dy, samples, 1)
		}
	})
	return y
}
