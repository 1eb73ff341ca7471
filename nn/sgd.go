package nn

import (
	"github.com/godino-ml/godino/kernels"
	"github.com/godino-ml/godino/tensor"
)

// SGD is stochastic gradient descent with momentum, as PyTorch's with dampening 0; weight decay is added to the gradient:
//
//	m = momentum·m + g + decay·p;  p −= lr·m
type SGD struct {
	Momentum float64
	paramStates
}

// NewSGD makes an SGD with momentum 0.9.
func NewSGD(params []Param) *SGD {
	return &SGD{Momentum: 0.9, paramStates: newParamStates(params, "momentum_buffer")}
}

// Name is sgd.
func (o *SGD) Name() string { return "sgd" }

// Step makes one step; see Optimizer.
func (o *SGD) Step(lr, weightDecay float64, clip *Clip, skip func(name string) bool, average *Average) {
	o.each(skip, func(p Param, s *ParamState) {
		c := kernels.SGDCoefficients{LR: float32(lr), Momentum: float32(o.Momentum), GradScale: clip.scale(p), Trust: 1}
		if decays(p) {
			c.Decay = float32(weightDecay)
		}
		tensor.SGD(p.Value, s.Tensors[0].Value, p.Grad, c)
	})
	average.finish()
}
