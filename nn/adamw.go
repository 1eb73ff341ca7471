package nn

import (
	"math"

	"github.com/godino-ml/godino/kernels"
	"github.com/godino-ml/godino/tensor"
)

// AdamW is Adam with decoupled weight decay (Loshchilov and Hutter 2019), as PyTorch's:
//
//	p −= lr·decay·p;  m = β1·m + (1−β1)·g;  v = β2·v + (1−β2)·g²
//	p −= lr/(1−β1ᵗ) · m / (√(v/(1−β2ᵗ)) + ε)
//
// t counts the steps of each parameter on its own: one that was skipped at first starts late.
type AdamW struct {
	Beta1, Beta2, Eps float64
	paramStates
	steps        []tensor.AdamWStep   // of the step under way, on a CPU
	coefficients []tensor.AdamWUpdate // of the step under way, on a GPU
}

// NewAdamW makes an AdamW with β = (0.9, 0.999) and ε = 1e-8.
func NewAdamW(params []Param) *AdamW {
	return &AdamW{Beta1: 0.9, Beta2: 0.999, Eps: 1e-8, paramStates: newParamStates(params, "exp_avg", "exp_avg_sq")}
}

// Name is adamw.
func (o *AdamW) Name() string { return "adamw" }

// Step makes one step; see Optimizer.
func (o *AdamW) Step(lr, weightDecay float64, clip *Clip, skip func(name string) bool, average *Average) {
	o.Prepare(lr, weightDecay, skip, average)
	o.Apply(clip)
}

// Prepare decides a step; see Optimizer.
func (o *AdamW) Prepare(lr, weightDecay float64, skip func(name string) bool, average *Average) (changed bool) {
	changed = o.prepare(lr, weightDecay, skip, average)
	if o.updates == nil {
		return changed
	}
	o.coefficients = o.coefficients[:0]
	for range o.list {
		o.coefficients = append(o.coefficients, tensor.AdamWUpdate{AdamWCoefficients: kernels.AdamWCoefficients{Momentum: average.momentum()}})
	}
	o.each(func(i int, p Param, s *ParamState) {
		o.coefficients[i] = tensor.AdamWUpdate{AdamWCoefficients: o.coefficientsOf(p, s), Active: true}
	})
	o.updates.SetAdamW(o.coefficients)
	return changed
}

// Apply makes the step; see Optimizer.
func (o *AdamW) Apply(clip *Clip) {
	if o.updates != nil {
		o.updates.AdamW(clip.of(o.params))
		return
	}
	o.steps = o.steps[:0]
	o.each(func(_ int, p Param, s *ParamState) {
		c := o.coefficientsOf(p, s)
		c.GradScale = clip.scale(p)
		o.steps = append(o.steps, tensor.AdamWStep{P: p.Value, M: s.Tensors[0].Value, V: s.Tensors[1].Value, G: p.Grad, T: o.average.take(p), AdamWCoefficients: c})
	})
	if len(o.steps) > 0 {
		tensor.AdamW(o.steps[0].P.Device(), o.steps)
	}
	o.average.finish()
}

// coefficientsOf are those of the step, but for the gradient's scale.
func (o *AdamW) coefficientsOf(p Param, s *ParamState) kernels.AdamWCoefficients {
	decay := 1.0
	if decays(p) {
		decay = 1 - o.lr*o.weightDecay
	}
	t := float64(s.Steps)
	return kernels.AdamWCoefficients{
		Decay:       float32(decay),
		Beta1:       float32(o.Beta1),
		Beta2:       float32(o.Beta2),
		Rest1:       float32(1 - o.Beta1),
		Rest2:       float32(1 - o.Beta2),
		StepSize:    float32(o.lr / (1 - math.Pow(o.Beta1, t))),
		InvSqrtBias: float32(1 / math.Sqrt(1-math.Pow(o.Beta2, t))),
		Eps:         float32(o.Eps),
		Momentum:    o.average.momentum(),
	}
}
