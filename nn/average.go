package nn

import (
	"github.com/godino-ml/godino/autograd"
	"github.com/godino-ml/godino/tensor"
)

// Average is the moving average of another network's parameters: t = momentum·t + (1 − momentum)·p, as of a mean teacher (Tarvainen and Valpola
// 2017). An optimizer brings it up to date while it has the parameters at hand. A nil *Average is none.
type Average struct {
	Momentum float64

	dev     *tensor.Device
	target  map[*autograd.Var]*tensor.Tensor // t of p
	params  []Param                          // p
	taken   map[*autograd.Var]bool           // by the step under way
	t, rest []*tensor.Tensor                 // of the others
	scalars *tensor.Scalars                  // Momentum
}

// NewAverage makes the values of averages, in the order of params, follow those of params.
func NewAverage(averages, params []Param) *Average {
	a := &Average{params: params, target: map[*autograd.Var]*tensor.Tensor{}, taken: map[*autograd.Var]bool{}}
	for i, p := range params {
		a.target[p.Var], a.dev = averages[i].Value, p.Value.Device()
	}
	if len(params) > 0 {
		a.scalars = tensor.NewScalars(a.dev, 1)
	}
	return a
}

// take is p's average, which the caller is going to bring up to date, or nil if there is none.
func (a *Average) take(p Param) *tensor.Tensor {
	if a == nil {
		return nil
	}
	a.taken[p.Var] = true
	return a.target[p.Var]
}

// momentum is that of a nil Average too.
func (a *Average) momentum() float32 {
	if a == nil {
		return 1
	}
	return float32(a.Momentum)
}

// others are the parameters that nobody has taken.
func (a *Average) others() (list []Param) {
	if a == nil {
		return nil
	}
	for _, p := range a.params {
		if !a.taken[p.Var] {
			list = append(list, p)
		}
	}
	return list
}

// reset forgets who has been taken.
func (a *Average) reset() {
	if a != nil {
		clear(a.taken)
	}
}

// finish brings up to date what nobody has taken: frozen and skipped parameters follow as well.
func (a *Average) finish() {
	if a == nil {
		return
	}
	a.t, a.rest = a.t[:0], a.rest[:0]
	for _, p := range a.others() {
		a.t, a.rest = append(a.t, a.target[p.Var]), append(a.rest, p.Value)
	}
	a.reset()
	if len(a.t) > 0 {
		a.scalars.Set(0, float32(a.Momentum))
		a.scalars.Send()
		tensor.EMA(a.dev, a.t, a.rest, a.scalars.At(0))
	}
}
