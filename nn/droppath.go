package nn

import (
	"github.com/godino-ml/godino/autograd"
	"github.com/godino-ml/godino/tensor"
)

// DropPath decides which residual branches of which samples are dropped in one pass (stochastic depth, Huang et al. 2016). Decisions are
// keyed: the same key drops the same branches, whatever else happens. A nil *DropPath drops nothing.
type DropPath struct {
	Seed, Step uint64
	Pass       uint64 // of the step: passes of one step, as those of different resolutions, must differ in it
}

// The branches of a block.
const (
	attentionBranch = iota
	mlpBranch
)

// paths says which of n samples take the branch of a block: each with probability 1−rate. The list is lent by the tape.
func (d *DropPath) paths(t *autograd.Tape, rate float64, block, branch, n int) paths {
	p := paths{all: n, scale: 1}
	if d == nil || rate == 0 {
		return p
	}
	keep := 1 - rate
	p.scale = float32(1 / keep)
	p.samples = t.Indices(n)[:0]
	for i := range n {
		if float64(tensor.Uniform(d.Seed, d.Step, d.Pass, uint64(block), uint64(branch), uint64(i))) < keep {
			p.samples = append(p.samples, i)
		}
	}
	return p
}

// paths are the samples that take a branch, in ascending order, and what it is multiplied by, 1/(1−rate), so that its expectation stays. Without
// drop path samples is nil: all take it.
type paths struct {
	samples []int
	all     int
	scale   float32
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

// scales are what the branch is multiplied by for every sample if all take it or none, nil for all ones; their memory is the tape's.
func (p paths) scales(t *autograd.Tape) []float32 {
	if p.samples == nil {
		return nil
	}
	scales := t.Arena().New(p.all).Data()
	for i := range scales {
		scales[i] = p.scale
	}
	if len(p.samples) == 0 {
		clear(scales)
	}
	return scales
}
