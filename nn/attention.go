package nn

import (
	"github.com/godino-ml/godino/autograd"
	"github.com/godino-ml/godino/tensor"
)

// Attention is multi-head self-attention. QKV gives queries, keys and values in one product; scores are scaled by 1/√D, D the size of a head.
type Attention struct {
	QKV, Proj Linear
	Heads     int
}

func newAttention(in initializer, name string, dim, heads int) Attention {
	return Attention{QKV: newLinear(in, name+".qkv", dim, 3*dim), Proj: newLinear(in, name+".proj", dim, dim), Heads: heads}
}

// heads maps tokens (B, N, C) to what the heads have gathered, before Proj mixes it: (B, N, C).
func (a *Attention) heads(t *autograd.Tape, x *autograd.Var) *autograd.Var {
	qkv := a.QKV.Forward(t, x)
	y := t.Attention(qkv, a.Heads)
	t.Done(qkv)
	return y
}

// Weights are the softmaxed scores of tokens x (B, N, C): p[b, h, i, j] is how much token i attends to token j in head h. The tensor is lent
// by the tape's arena.
func (a *Attention) Weights(t *autograd.Tape, x *autograd.Var) *tensor.Tensor {
	b, n := x.Value.Dim(0), x.Value.Dim(1)
	qkv := a.QKV.Forward(t, x)
	p := t.Arena().New(b, a.Heads, n, n)
	tensor.AttentionWeights(p, qkv.Value, a.Heads)
	t.Done(qkv)
	return p
}
