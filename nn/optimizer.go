package nn

import (
	"fmt"
	"math"
	"strings"

	"github.com/godino-ml/godino/autograd"
	"github.com/godino-ml/godino/tensor"
)

// Optimizer changes parameters by their gradients. It owns the state of every parameter that was not frozen when it was made.
//
// Parameters form two groups: weight decay applies to all but biases (names that end in .bias) and 1-D tensors. So the class token and the
// position embedding are decayed, as in the reference.
type Optimizer interface {
	// Name is adamw, sgd or lars.
	Name() string

	// Step makes one step with learning rate lr. clip scales gradients first, nil does not. skip, if not nil, names parameters that take no
	// part in the step, as if their gradients were removed: no decay, no change of state, and their step count stands still. average, if not
	// nil, follows the parameters as they are after the step, in the same pass over memory where that is faster.
	Step(lr, weightDecay float64, clip *Clip, skip func(name string) bool, average *Average)

	// State is what the optimizer remembers of every parameter. The tensors are its own, not copies.
	State() []ParamState

	// LoadState puts back what State has returned, copying it, and refuses what is not of the same optimizer and parameters.
	LoadState([]ParamState) error
}

// ParamState is what an optimizer remembers of one parameter.
type ParamState struct {
	Name    string // of the parameter
	Steps   int64  // that the parameter has taken
	Tensors []NamedTensor
}

// NamedTensor is a tensor of an optimizer's state by PyTorch's name: exp_avg and exp_avg_sq (AdamW), momentum_buffer (SGD), mu (LARS).
type NamedTensor struct {
	Name  string
	Value *tensor.Tensor
}

// NewOptimizer makes the optimizer of that name, adamw, sgd or lars, with its usual coefficients, for the parameters that are not frozen.
func NewOptimizer(name string, params []Param) (Optimizer, error) {
	switch name {
	case "adamw":
		return NewAdamW(params), nil
	case "sgd":
		return NewSGD(params), nil
	case "lars":
		return NewLARS(params), nil
	}
	return nil, fmt.Errorf("unknown optimizer %q: there are adamw, sgd and lars", name)
}

// decays says whether weight decay applies to a parameter.
func decays(p Param) bool {
	return !strings.HasSuffix(p.Name, ".bias") && len(p.Value.Shape()) != 1
}

// paramStates are the states of an optimizer's parameters.
type paramStates struct {
	params []Param
	states []ParamState
}

// newParamStates makes states of zeros with tensors of these names for the parameters that are not frozen.
func newParamStates(params []Param, tensors ...string) paramStates {
	var s paramStates
	for _, p := range params {
		if !p.NeedsGrad() {
			continue
		}
		state := ParamState{Name: p.Name}
		for _, name := range tensors {
			state.Tensors = append(state.Tensors, NamedTensor{name, tensor.New(p.Value.Device(), p.Value.Shape()...)})
		}
		s.params = append(s.params, p)
		s.states = append(s.states, state)
	}
	return s
}

// each calls f for every parameter that takes part in a step, after counting the step.
func (s *paramStates) each(skip func(name string) bool, f func(p Param, state *ParamState)) {
	for i, p := range s.params {
		if p.Grad == nil || skip != nil && skip(p.Name) {
			continue
		}
		s.states[i].Steps++
		f(p, &s.states[i])
	}
}

func (s *paramStates) State() []ParamState { return s.states }

func (s *paramStates) LoadState(states []ParamState) error {
	if err := s.fits(states); err != nil {
		return err
	}
	for i, from := range states {
		s.states[i].Steps = from.Steps
		for j, t := range from.Tensors {
			tensor.Copy(s.states[i].Tensors[j].Value, t.Value)
		}
	}
	return nil
}

// fits checks everything before anything is changed.
func (s *paramStates) fits(states []ParamState) error {
	if len(states) != len(s.states) {
		return fmt.Errorf("optimizer state of %d parameters, want %d", len(states), len(s.states))
	}
	for i, from := range states {
		to := s.states[i]
		switch {
		case from.Name != to.Name:
			return fmt.Errorf("optimizer state %d is of parameter %q, want %q", i, from.Name, to.Name)
		case from.Steps < 0:
			return fmt.Errorf("optimizer state of %s counts %d steps", from.Name, from.Steps)
		case len(from.Tensors) != len(to.Tensors):
			return fmt.Errorf("optimizer state of %s has %d tensors, want %d: is it of another optimizer?", from.Name, len(from.Tensors), len(to.Tensors))
		}
		for j, t := range from.Tensors {
			want := to.Tensors[j]
			if t.Name != want.Name {
				return fmt.Errorf("optimizer state of %s has a tensor %q, want %q: is it of another optimizer?", from.Name, t.Name, want.Name)
			}
			if t.Value == nil {
				return fmt.Errorf("optimizer state of %s has no %s", from.Name, t.Name)
			}
			if !tensor.SameShape(t.Value, want.Value) {
				return fmt.Errorf("optimizer state %s of %s has shape %v, want %v", t.Name, from.Name, t.Value.Shape(), want.Value.Shape())
			}
		}
	}
	return nil
}

// Clip scales the gradient of every parameter on its own, so that its norm does not exceed a maximum: g *= min(1, max/(‖g‖+1e-6)).
// The gradients themselves stay as they are; Optimizer.Step applies the scale while it reads them. The zero Clip is ready for PerTensor.
type Clip struct {
	Norms  []float64 // ‖g‖ of each parameter before clipping, 0 for frozen ones
	scales map[*autograd.Var]float32
	grads  []*tensor.Tensor
}

// PerTensor measures the gradients of params, in the memory of the last call, and returns c; with max 0 it only measures them. A gradient that
// is not finite has a norm that is not.
func (c *Clip) PerTensor(params []Param, max float64) *Clip {
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
