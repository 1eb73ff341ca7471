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
	coefficients []tensor.SGDUpdate // of the step under way, on a GPU
}

// NewLARS makes a LARS with momentum 0.9 and η = 0.001.
func NewLARS(params []Param) *LARS {
	return &LARS{Momentum: 0.9, Eta: 0.001, paramStates: newParamStates(params, "mu")}
}

// Name is lars.
func (o *LARS) Name() string { return "lars" }

// Step makes one step; see Optimizer.
func (o *LARS) Step(lr, weightDecay float64, clip *Clip, skip func(name string) bool, average *Average) {
	o.Prepare(lr, weightDecay, skip, average)
	o.Apply(clip)
}

// Prepare decides a step; see Optimizer.
func (o *LARS) Prepare(lr, weightDecay float64, skip func(name string) bool, average *Average) (changed bool) {
	changed = o.prepare(lr, weightDecay, skip, average)
	o.coefficients = o.setSGD(o.coefficients, func(p Param) tensor.SGDUpdate {
		c, eta := o.coefficientsOf(p)
		return tensor.SGDUpdate{SGDCoefficients: c, Eta: eta}
	})
	return changed
}

// Apply makes the step; see Optimizer.
func (o *LARS) Apply(clip *Clip) {
	if o.updates != nil {
		o.updates.LARS(clip.of(o.params))
		return
	}
	o.each(func(_ int, p Param, s *ParamState) {
		c, eta := o.coefficientsOf(p)
		c.GradScale = clip.scale(p)
		if eta == 0 {
			tensor.SGD(p.Value, s.Tensors[0].Value, p.Grad, c)
			return
		}
		tensor.LARS(p.Value, s.Tensors[0].Value, p.Grad, c, eta)
	})
	o.average.finish()
}

// coefficientsOf are those of the step, but for the gradient's scale, and η of a parameter that has a ratio.
func (o *LARS) coefficientsOf(p Param) (c kernels.SGDCoefficients, eta float32) {
	c = kernels.SGDCoefficients{LR: float32(o.lr), Momentum: float32(o.Momentum), Trust: 1}
	if len(p.Value.Shape()) == 1 {
		return c, 0
	}
	if decays(p) {
		c.Decay = float32(o.weightDecay)
	}
	return c, float32(o.Eta)
}
