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
	coefficients []tensor.SGDUpdate // of the step under way, on a GPU
}

// NewSGD makes an SGD with momentum 0.9.
func NewSGD(params []Param) *SGD {
	return &SGD{Momentum: 0.9, paramStates: newParamStates(params, "momentum_buffer")}
}

// Name is sgd.
func (o *SGD) Name() string { return "sgd" }

// Step makes one step; see Optimizer.
func (o *SGD) Step(lr, weightDecay float64, clip *Clip, skip func(name string) bool, average *Average) {
	o.Prepare(lr, weightDecay, skip, average)
	o.Apply(clip)
}

// Prepare decides a step; see Optimizer.
func (o *SGD) Prepare(lr, weightDecay float64, skip func(name string) bool, average *Average) (changed bool) {
	changed = o.prepare(lr, weightDecay, skip, average)
	o.coefficients = o.setSGD(o.coefficients, func(p Param) tensor.SGDUpdate { return tensor.SGDUpdate{SGDCoefficients: o.coefficientsOf(p)} })
	return changed
}

// Apply makes the step; see Optimizer.
func (o *SGD) Apply(clip *Clip) {
	if o.updates != nil {
		o.updates.SGD(clip.of(o.params))
		return
	}
	o.each(func(_ int, p Param, s *ParamState) {
		c := o.coefficientsOf(p)
		c.GradScale = clip.scale(p)
		tensor.SGD(p.Value, s.Tensors[0].Value, p.Grad, c)
	})
	o.average.finish()
}

// coefficientsOf are those of the step, but for the gradient's scale.
func (o *SGD) coefficientsOf(p Param) kernels.SGDCoefficients {
	c := kernels.SGDCoefficients{LR: float32(o.lr), Momentum: float32(o.Momentum), Trust: 1}
	if decays(p) {
		c.Decay = float32(o.weightDecay)
	}
	return c
}

// setSGD sends the coefficients of SGD or LARS to a GPU, in the memory of list.
func (s *paramStates) setSGD(list []tensor.SGDUpdate, of func(p Param) tensor.SGDUpdate) []tensor.SGDUpdate {
	if s.updates == nil {
		return nil
	}
	list = list[:0]
	for range s.list {
		list = append(list, tensor.SGDUpdate{Average: s.average.momentum()})
	}
	s.each(func(i int, p Param, _ *ParamState) {
		c := of(p)
		c.Average, c.Active = s.average.momentum(), true
		list[i] = c
	})
	s.updates.SetSGD(list)
	return list
}
