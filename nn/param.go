package nn

import (
	"hash/fnv"
	"math"
	"math/rand/v2"

	"github.com/godino-ml/godino/autograd"
	"github.com/godino-ml/godino/tensor"
)

// Param is a parameter and its name, the reference's state-dict key.
type Param struct {
	Name string
	*autograd.Var
}

// NumParams is the number of elements of all parameters.
func NumParams(params []Param) int {
	n := 0
	for _, p := range params {
		n += p.Value.Len()
	}
	return n
}

// Freeze freezes every parameter for good, as a teacher's or an evaluated model's are: they get no gradients and hold no memory for them.
func Freeze(params []Param) {
	for _, p := range params {
		p.Freeze()
	}
}

// ZeroGrad forgets the gradients; see autograd.Var.ZeroGrad.
func ZeroGrad(params []Param) {
	for _, p := range params {
		p.ZeroGrad()
	}
}

// initializer makes the parameters of a model. Each is drawn from a stream of its own, keyed by the seed and its name, so that the values
// depend neither on the order in which layers are made nor on other layers.
type initializer struct {
	dev  *tensor.Device
	seed uint64
}

func (in initializer) stream(name string) *rand.Rand {
	h := fnv.New64a()
	h.Write([]byte(name))
	return tensor.Stream(in.seed, h.Sum64())
}

// normal is N(0, std²).
func (in initializer) normal(name string, std float64, shape ...int) Param {
	r := in.stream(name)
	return in.drawn(name, func() float32 { return float32(r.NormFloat64() * std) }, shape...)
}

// uniform is uniform within ±1/√fanIn: the default of PyTorch's linear and convolution layers, for weight and bias alike.
func (in initializer) uniform(name string, fanIn int, shape ...int) Param {
	r := in.stream(name)
	bound := 1 / math.Sqrt(float64(fanIn))
	return in.drawn(name, func() float32 { return float32((2*r.Float64() - 1) * bound) }, shape...)
}

// drawn has elements drawn one after the other.
func (in initializer) drawn(name string, draw func() float32, shape ...int) Param {
	n := 1
	for _, d := range shape {
		n *= d
	}
	x := make([]float32, n)
	for i := range x {
		x[i] = draw()
	}
	return Param{Name: name, Var: autograd.NewParam(tensor.FromSlice(in.dev, x, shape...))}
}

// constant is value everywhere.
func (in initializer) constant(name string, value float32, shape ...int) Param {
	t := tensor.New(in.dev, shape...)
	if value != 0 {
		tensor.Fill(t, value)
	}
	return Param{Name: name, Var: autograd.NewParam(t)}
}
