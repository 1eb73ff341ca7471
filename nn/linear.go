package nn

import (
	"github.com/godino-ml/godino/autograd"
	"github.com/godino-ml/godino/tensor"
)

// Linear is a fully connected layer, y = x·weightᵀ + bias.
type Linear struct{ Weight, Bias Param }

// linearStd is the standard deviation of every linear weight of the backbone at the start. The reference calls it a truncated normal, but
// its bounds of ±2 are a hundred standard deviations away.
const linearStd = 0.02

func newLinear(in initializer, name string, inDim, outDim int) Linear {
	return Linear{in.normal(name+".weight", linearStd, outDim, inDim), in.constant(name+".bias", 0, outDim)}
}

// Forward maps x (…, in) to (…, out).
func (l *Linear) Forward(t *autograd.Tape, x *autograd.Var) *autograd.Var {
	return t.Linear(x, l.Weight.Var, l.Bias.Var)
}

// addTo is residual + scale·Forward(x), scale by sample.
func (l *Linear) addTo(t *autograd.Tape, residual, x *autograd.Var, scale *tensor.Tensor) *autograd.Var {
	return t.LinearResidual(residual, x, l.Weight.Var, l.Bias.Var, scale)
}
