package nn

import (
	"github.com/godino-ml/godino/autograd"
	"github.com/godino-ml/godino/tensor"
)

// MLP is two linear layers with a GELU between them.
type MLP struct{ FC1, FC2 Linear }

func newMLP(in initializer, name string, dim, hidden int) MLP {
	return MLP{FC1: newLinear(in, name+".fc1", dim, hidden), FC2: newLinear(in, name+".fc2", hidden, dim)}
}

// Forward maps x (…, C) to the same shape.
func (m *MLP) Forward(t *autograd.Tape, x *autograd.Var) *autograd.Var {
	return m.addTo(t, nil, x, nil)
}

// addTo is residual + scale·Forward(x), scale by sample.
func (m *MLP) addTo(t *autograd.Tape, residual, x *autograd.Var, scale *tensor.Tensor) *autograd.Var {
	return t.MLP(x, m.FC1.Weight.Var, m.FC1.Bias.Var, m.FC2.Weight.Var, m.FC2.Bias.Var, residual, scale)
}
