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

// scale is what the branch of a block is multiplied by for each of n samples: 0 with probability rate, else 1/(1−rate), so that its
// expectation stays. It is nil, for all ones, without drop path; its memory is the tape's.
func (d *DropPath) scale(t *autograd.Tape, rate float64, block, branch, n int) []float32 {
	if d == nil || rate == 0 {
		return nil
	}
	scale := t.Arena().New(n).Data()
	keep := 1 - rate
	for i := range scale {
		scale[i] = 0
		if float64(tensor.Uniform(d.Seed, d.Step, d.Pass, uint64(block), uint64(branch), uint64(i))) < keep {
			scale[i] = float32(1 / keep)
		}
	}
	return scale
}
