package autograd

import "github.com/godino-ml/godino/tensor"

// ResidualSamples is y = x with y[samples[i]] = x[samples[i]] + scale·branch[i] over the leading dimension: Residual of a branch that was
// computed for some samples alone, see SelectSamples. samples are kept until Backward.
func (t *Tape) ResidualSamples(x, branch *Var, samples []int, scale float32) *Var {
	y := t.outputOf(x.room, x.Value.Shape(), x, branch)
	tensor.ResidualSamples(y.Value, x.Value, branch.Value, samples, scale)
	t.undoes(y, func(dy *tensor.Tensor) {
		// y[samples[i]] = x[samples[i]] + scale·branch[i]
		if d, add := t.grad(branch); d != nil {
			tensor.SelectSamples(d, dy, samples, scale, add)
		}
		t.pass(x, y)
	})
	return y
}
