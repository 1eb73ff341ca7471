package nn

import (
	"math"

	"github.com/godino-ml/godino/autograd"
	"github.com/godino-ml/godino/tensor"
)

// Clip scales the gradient of every parameter on its own, so that its norm does not exceed a maximum: g *= min(1, max/(‖g‖+1e-6)).
// The gradients themselves stay as they are; Optimizer.Step applies the scale while it reads them. The zero Clip is ready for PerTensor.
//
// On a GPU norms and scales stay there, and so does the verdict whether all is finite: Norms and Norm are known after Fetch.
type Clip struct {
	Norms  []float64 // ‖g‖ of each parameter before clipping, 0 for frozen ones
	scales map[*autograd.Var]float32
	grads  []*tensor.Tensor

	// Of a GPU: Loss, if there is one, has to be finite too; Total, the norm of all gradients together; and Skip, which is of zero bits if both are
	// finite. Each (1); who sets them beforehand says where they are.
	Loss, Total, Skip *tensor.Tensor

	params  []Param
	updates *tensor.Updates
	list    []tensor.Update
	norms   *tensor.Tensor // of each parameter
	factors *tensor.Tensor // of each parameter's gradient
}

// PerTensor measures the gradients of params, in the memory of the last call, and returns c; with max 0 it only measures them. A gradient that
// is not finite has a norm that is not.
func (c *Clip) PerTensor(params []Param, max float64) *Clip {
	if len(params) > 0 && params[0].Value.Device().GPU() != nil {
		return c.onGPU(params, max)
	}
	if c.scales == nil {
		c.scales = map[*autograd.Var]float32{}
	}
	clear(c.scales)
	c.Norms, c.grads = c.Norms[:0], c.grads[:0]
	for _, p := range params {
		c.Norms, c.grads = append(c.Norms, 0), append(c.grads, p.Grad)
	}
	if len(params) > 0 {
		tensor.SumSquaresOf(params[0].Value.Device(), c.Norms, c.grads)
	}
	for i, square := range c.Norms {
		norm := math.Sqrt(square)
		c.Norms[i] = norm
		if scale := max / (norm + 1e-6); max > 0 && scale < 1 {
			c.scales[params[i].Var] = float32(scale)
		}
	}
	return c
}

// onGPU is PerTensor, which can be recorded from the second time on.
func (c *Clip) onGPU(params []Param, max float64) *Clip {
	dev := params[0].Value.Device()
	if c.updates == nil {
		c.updates = tensor.NewUpdates(dev)
	}
	if len(c.params) != len(params) {
		c.norms, c.factors = tensor.New(dev, len(params)), tensor.New(dev, len(params))
	}
	if c.Total == nil {
		c.Total = tensor.New(dev, 1)
	}
	if c.Skip == nil {
		c.Skip = tensor.New(dev, 1)
	}
	c.params, c.list = params, c.list[:0]
	for _, p := range params {
		c.list = append(c.list, tensor.Update{P: p.Value, G: p.GradMemory()})
	}
	c.updates.Set(c.list)
	c.updates.Clip(c.norms, c.factors, c.Total, c.Skip, c.Loss, float32(max))
	return c
}

// Fetch brings the norms from a GPU.
func (c *Clip) Fetch() *Clip {
	if c.norms == nil {
		return c
	}
	c.Norms = c.Norms[:0]
	for _, n := range c.norms.Floats() {
		c.Norms = append(c.Norms, float64(n))
	}
	return c
}

// Norm is the norm of all gradients together, before clipping.
func (c *Clip) Norm() float64 {
	var s float64
	for _, n := range c.Norms {
		s += n * n
	}
	return math.Sqrt(s)
}

// scale is what p's gradient is multiplied by.
func (c *Clip) scale(p Param) float32 {
	if c == nil {
		return 1
	}
	if s, ok := c.scales[p.Var]; ok {
		return s
	}
	return 1
}

// of are on a GPU the factors of the gradients of params, which follow each other among those that were measured, and the verdict.
func (c *Clip) of(params []Param) (factors, skip *tensor.Tensor) {
	if c == nil {
		factors = tensor.New(params[0].Value.Device(), len(params))
		tensor.Fill(factors, 1)
		return factors, nil
	}
	for at := range c.params {
		if c.params[at].Var != params[0].Var {
			continue
		}
		for i, p := range params {
			if at+i == len(c.params) || c.params[at+i].Var != p.Var {
				panic("nn: on a GPU the parameters of an optimizer must follow each other among those that Clip has measured: " + p.Name + " does not")
			}
		}
		return c.factors.Slice(at, at+len(params)), c.Skip
	}
	panic("nn: Clip has not measured " + params[0].Name)
}
