package nn

import "github.com/godino-ml/godino/autograd"

// MLP is two linear layers with a GELU between them.
type MLP struct{ FC1, FC2 Linear }

func newMLP(in initializer, name string, dim, hidden int) MLP {
	return MLP{FC1: newLinear(in, name+".fc1", dim, hidden), FC2: newLinear(in, name+".fc2", hidden, dim)}
}

// Forward maps x (…, C) to the same shape.
func (m *MLP) Forward(t *autograd.Tape, x *autograd.Var) *autograd.Var {
	h := m.FC1.Forward(t, x)
	a := t.GELU(h)
	t.Done(h)
	y := m.FC2.Forward(t, a)
	t.Done(a)
	return y
}
