package nn

import (
	"github.com/godino-ml/godino/autograd"
	"github.com/godino-ml/godino/tensor"
)

// DropPath decides which residual branches of which samples are dropped in one pass (stochastic depth, Huang et al. 2016). Decisions are
// keyed: the same key drops the same branches, whatever else happens. A nil *DropPath drops nothing.
type DropPath struct {
	Seed uint64
	Step *tensor.Count
	Pass uint64 // of the step: passes of one step, as those of different resolutions, must differ in it
}

// The branches of a block.
const (
	attentionBranch = iota
	mlpBranch
)

// paths says which of n samples take the branch of a block: each with probability 1−rate. The list is lent by the tape. On a GPU, whose passes keep
// their shapes so that they can be recorded, the decisions become factors that the device makes, of the same key.
func (d *DropPath) paths(t *autograd.Tape, rate float64, block, branch, n int) paths {
	p := paths{all: n, scale: 1}
	if d == nil || rate == 0 {
		return p
	}
	keep := 1 - rate
	if t.Arena().Device().GPU() != nil {
		p.each = t.Arena().NewFloat32(n)
		tensor.DropPath(p.each, d.Seed, d.Step, d.Pass, block, branch, keep)
		return p
	}
	p.scale = float32(1 / keep)
	p.samples = t.Indices(n)[:0]
	for i := range n {
		if !tensor.Dropped(d.Seed, d.Step, d.Pass, block, branch, i, keep) {
			p.samples = append(p.samples, i)
		}
	}
	return p
}

// paths are the samples that take a branch, in ascending order, and what it is multiplied by, 1/(1−rate), so that its expectation stays. Without
// drop path samples is nil: all take it. With factors for each sample, all take it as well, though some are multiplied by 0.
type paths struct {
	samples []int
	all     int
	scale   float32
	each    *tensor.Tensor // (all), or nil
}

// some says that some samples take the branch and others do not: what they would add is not computed at all.
func (p paths) some() bool { return len(p.samples) > 0 && len(p.samples) < p.all }

// of is x of the samples that take the branch.
func (p paths) of(t *autograd.Tape, x *autograd.Var) *autograd.Var {
	if !p.some() {
		return x
	}
	return t.SelectSamples(x, p.samples)
}

// scales are what the branch is multiplied by for every sample unless some take it, nil for all ones; their memory is the tape's.
func (p paths) scales(t *autograd.Tape) *tensor.Tensor {
	if p.samples == nil {
		return p.each
	}
	scales := t.Arena().NewFloat32(p.all)
	scale := p.scale
	if len(p.samples) == 0 {
		scale = 0
	}
	tensor.Fill(scales, scale)
	return scales
}
