package dino

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/godino-ml/godino/autograd"
	"github.com/godino-ml/godino/nn"
	"github.com/godino-ml/godino/tensor"
)

// HeadConfig is the shape of a projection head.
type HeadConfig struct {
	InDim         int // D, of the backbone's features
	HiddenDim     int
	BottleneckDim int
	OutDim        int  // K
	Layers        int  // linear layers of the MLP; 1 is a lone linear layer InDim→BottleneckDim
	UseBN         bool // batch norm after every hidden linear layer
	NormLastLayer bool // weight_g stays 1
}

// Head is the projection head: an MLP (GELU between its layers) to a bottleneck, L2 normalisation, and a weight-normalised linear layer to
// K logits. With NormLastLayer a logit is the cosine of the bottleneck vector and its prototype.
//
// Parameters have the reference's names: mlp.0.weight, mlp.0.bias, mlp.2…, last_layer.weight_g (K, 1), last_layer.weight_v
// (K, bottleneck). With batch norm the numbers count it: mlp.0, mlp.1 (norm), mlp.3, mlp.4 (norm), mlp.6. A lone layer is mlp.weight.
type Head struct {
	config HeadConfig
	layers []headLayer
	v, g   *autograd.Var
	params []nn.Param
	norms  []nn.NamedTensor // running statistics of batch norms
}

type headLayer struct {
	weight, bias *autograd.Var
	norm         *batchNorm // nil without
}

type batchNorm struct {
	weight, bias *autograd.Var
	mean, vari   *tensor.Tensor // running statistics: written, not used in training
}

// Key of the random streams of initialisation, after the seed.
const initHead = 0x68656164 // "head"

// NewHead makes a head initialised as the reference's: linear weights N(0, 0.02), biases 0, prototype directions uniform within
// ±1/√bottleneck (PyTorch's default of a linear layer), prototype lengths 1. The same seed gives the same head.
func NewHead(dev *tensor.Device, c HeadConfig, seed uint64) *Head {
	h := &Head{config: c}
	param := func(name string, fill func(r *rand.Rand) float32, shape ...int) *autograd.Var {
		n := 1
		for _, d := range shape {
			n *= d
		}
		rng := tensor.Stream(seed, initHead, uint64(len(h.params)))
		x := make([]float32, n)
		for i := range x {
			x[i] = fill(rng)
		}
		p := autograd.NewParam(tensor.FromSlice(dev, x, shape...))
		h.params = append(h.params, nn.Param{Name: name, Var: p})
		return p
	}
	zero := func(*rand.Rand) float32 { return 0 }
	one := func(*rand.Rand) float32 { return 1 }
	// The reference calls it a truncated normal, but its bounds of ±2 are a hundred standard deviations away.
	normal := func(r *rand.Rand) float32 { return float32(r.NormFloat64() * 0.02) }
	bound := 1 / math.Sqrt(float64(c.BottleneckDim))
	uniform := func(r *rand.Rand) float32 { return float32((2*r.Float64() - 1) * bound) }

	in, number := c.InDim, 0
	for i := range c.Layers {
		out, prefix := c.HiddenDim, fmt.Sprintf("mlp.%d", number)
		if i == c.Layers-1 {
			out = c.BottleneckDim
		}
		if c.Layers == 1 {
			prefix = "mlp"
		}
		l := headLayer{weight: param(prefix+".weight", normal, out, in), bias: param(prefix+".bias", zero, out)}
		number++
		if c.UseBN && i < c.Layers-1 {
			prefix = fmt.Sprintf("mlp.%d", number)
			n := &batchNorm{mean: tensor.New(dev, out), vari: tensor.New(dev, out)}
			n.weight, n.bias = param(prefix+".weight", one, out), param(prefix+".bias", zero, out)
			tensor.Fill(n.vari, 1)
			h.norms = append(h.norms, nn.NamedTensor{Name: prefix + ".running_mean", Value: n.mean}, nn.NamedTensor{Name: prefix + ".running_var", Value: n.vari})
			l.norm = n
			number++
		}
		number++ // GELU
		h.layers = append(h.layers, l)
		in = out
	}
	h.g = param("last_layer.weight_g", one, c.OutDim, 1)
	h.v = param("last_layer.weight_v", uniform, c.OutDim, c.BottleneckDim)
	if c.NormLastLayer {
		h.g.Freeze()
	}
	return h
}

// Config is the head's shape.
func (h *Head) Config() HeadConfig { return h.config }

// Params are the head's parameters in the reference's order. weight_g is among them even when it is frozen.
func (h *Head) Params() []nn.Param { return h.params }

// Buffers are the running statistics of batch norms, none without.
func (h *Head) Buffers() []nn.NamedTensor { return h.norms }

// whole is all that a file of the head holds: parameters and buffers.
func (h *Head) whole() []nn.Param {
	list := slices.Clone(h.params)
	for _, b := range h.norms {
		list = append(list, nn.Param{Name: b.Name, Var: autograd.NewConst(b.Value)})
	}
	return list
}

// Forward maps features x (R, D) to logits (R, K).
func (h *Head) Forward(t *autograd.Tape, x *autograd.Var) *autograd.Var {
	z := h.Bottleneck(t, x)
	logits := t.Prototypes(z, h.v, h.g)
	t.Done(z)
	return logits
}

// Bottleneck maps features (R, D) to the vectors of length 1 that the last layer compares with its prototypes: (R, bottleneck).
func (h *Head) Bottleneck(t *autograd.Tape, features *autograd.Var) *autograd.Var {
	x := features
	// then goes on with y, which was made of x: nobody needs x any more, but for the features, which are the caller's.
	then := func(y *autograd.Var) {
		if x != features {
			t.Done(x)
		}
		x = y
	}
	for i, l := range h.layers {
		then(t.Linear(x, l.weight, l.bias))
		if i == len(h.layers)-1 {
			break
		}
		if l.norm != nil {
			then(t.BatchNorm(x, l.norm.weight, l.norm.bias, l.norm.mean, l.norm.vari, batchNormEps, batchNormMomentum))
		}
		then(t.GELU(x))
	}
	then(t.L2Normalize(x, 1e-12))
	return x
}

// PyTorch's defaults of BatchNorm1d.
const (
	batchNormEps      = 1e-5
	batchNormMomentum = 0.1
)
