package nn

import "github.com/godino-ml/godino/autograd"

// LayerNorm normalises the last dimension to mean 0 and variance 1, then scales and shifts it.
type LayerNorm struct {
	Weight, Bias Param
	Eps          float32
}

func newLayerNorm(in initializer, name string, dim int, eps float64) LayerNorm {
	return LayerNorm{in.constant(name+".weight", 1, dim), in.constant(name+".bias", 0, dim), float32(eps)}
}

// Forward maps x (…, C) to the same shape.
func (l *LayerNorm) Forward(t *autograd.Tape, x *autograd.Var) *autograd.Var {
	return t.LayerNorm(x, l.Weight.Var, l.Bias.Var, l.Eps)
}
