package nn

import (
	"github.com/godino-ml/godino/kernels"
	"github.com/godino-ml/godino/tensor"
)

// LARS is SGD whose step is scaled by each tensor's own ratio of weight to gradient (You, Gitman and Ginsburg 2017), as the reference's:
//
//	u = g + decay·p;  m = momentum·m + η·‖p‖/‖u‖·u;  p −= lr·m
//
// 1-D tensors get neither decay nor ratio.
type LARS struct {
	Momentum, Eta float64
	paramStates
}

// NewLARS makes a LARS with momentum 0.9 and η = 0.001.
func NewLARS(params []Param) *LARS {
	return &LARS{Momentum: 0.9, Eta: 0.001, paramStates: newParamStates(params, "mu")}
}

// Name is lars.
func (o *LARS) Name() string { return "lars" }

// Step makes one step; see Optimizer.
func (o *LARS) Step(lr, weightDecay float64, clip *Clip, skip func(name string) bool, average *Average) {
	o.each(skip, func(p Param, s *ParamState) {
		c := kernels.SGDCoefficients{LR: float32(lr), Momentum: float32(o.Momentum), GradScale: clip.scale(p), Trust: 1}
		if len(p.Value.Shape()) == 1 {
			tensor.SGD(p.Value, s.Tensors[0].Value, p.Grad, c)
			return
		}
		if decays(p) {
			c.Decay = float32(weightDecay)
		}
		tensor.LARS(p.Value, s.Tensors[0].Value, p.Grad, c, float32(o.Eta))
	})
	average.finish()
}
