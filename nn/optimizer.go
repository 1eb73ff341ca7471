package nn

import (
	"fmt"
	"strings"

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
	// nil, follows the parameters as they are after the step, in the same pass over memory where that is faster. On a GPU a step that clip finds
	// not finite changes nothing; who learns of it calls Undo. Step is Prepare and Apply.
	Step(lr, weightDecay float64, clip *Clip, skip func(name string) bool, average *Average)

	// Prepare is what a step decides on the CPU, which may be before the gradients are there; on a GPU all that are not skipped must be when Apply
	// runs. It tells whether an Apply that was recorded is of no use any more.
	Prepare(lr, weightDecay float64, skip func(name string) bool, average *Average) (changed bool)

	// Apply changes the parameters by their gradients. On a GPU it can be recorded (see tensor.Recorder) and run again after another Prepare.
	Apply(clip *Clip)

	// Undo takes back the counts of the step that was prepared last: it did not take place.
	Undo()

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

// paramStates are the states of an optimizer's parameters, and the step under way.
type paramStates struct {
	params []Param
	states []ParamState

	lr, weightDecay float64
	skip            func(name string) bool
	average         *Average
	counted         []*ParamState   // that took part
	updates         *tensor.Updates // on a GPU
	list            []tensor.Update
}

// prepare notes the step. On a GPU it also lists the parameters: the optimizer's, then those that only have an average, which it changes in the same
// pass. There every one that is not skipped takes part.
func (s *paramStates) prepare(lr, weightDecay float64, skip func(name string) bool, average *Average) (changed bool) {
	s.lr, s.weightDecay, s.skip, s.average = lr, weightDecay, skip, average
	s.counted = s.counted[:0]
	if len(s.params) == 0 || s.params[0].Value.Device().GPU() == nil {
		return false
	}
	if s.updates == nil {
		s.updates = tensor.NewUpdates(s.params[0].Value.Device())
	}
	s.list = s.list[:0]
	for i, p := range s.params {
		u := tensor.Update{P: p.Value, M: s.states[i].Tensors[0].Value, G: p.GradMemory(), T: average.take(p)}
		if len(s.states[i].Tensors) > 1 {
			u.V = s.states[i].Tensors[1].Value
		}
		s.list = append(s.list, u)
	}
	for _, p := range average.others() {
		s.list = append(s.list, tensor.Update{P: p.Value, T: average.take(p)})
	}
	average.reset()
	return s.updates.Set(s.list)
}

// Undo takes the counts back.
func (s *paramStates) Undo() {
	for _, state := range s.counted {
		state.Steps--
	}
	s.counted = s.counted[:0]
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

// each calls f for every parameter that takes part in the step, after counting it, with its place among all.
func (s *paramStates) each(f func(i int, p Param, state *ParamState)) {
	for i, p := range s.params {
		if s.updates == nil && p.Grad == nil || s.skip != nil && s.skip(p.Name) {
			continue
		}
		s.states[i].Steps++
		s.counted = append(s.counted, &s.states[i])
		f(i, p, &s.states[i])
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
