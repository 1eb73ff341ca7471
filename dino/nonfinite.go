package dino

import (
	"fmt"

	"github.com/godino-ml/godino/autograd"
	"github.com/godino-ml/godino/tensor"
)

// NonFiniteError is a step that produced NaN or infinity and was not taken.
type NonFiniteError struct {
	Tensor string // the first tensor that is not finite, in the order of the step
	Epoch  int
	Step   int // over the whole run
}

func (e *NonFiniteError) Error() string {
	return fmt.Sprintf("step %d (epoch %d) was skipped: %s is not finite (NaN or infinity)", e.Step, e.Epoch, e.Tensor)
}

// blame finds where a loss that is not finite came from: the first bad tensor in the order of the step.
func (t *Trainer) blame(b crops, target *tensor.Tensor, bottleneck *autograd.Var) string {
	for i, v := range b.views {
		if !allFinite(v.Value) {
			return []string{"the batch's global crops", "the batch's local crops"}[i]
		}
	}
	for _, n := range []struct {
		name string
		*Network
	}{{"teacher", t.Teacher}, {"student", t.Student}} {
		for _, p := range n.Params() {
			if !allFinite(p.Value) {
				return n.name + "." + p.Name
			}
		}
	}
	if !allFinite(t.Loss.Center) {
		return "dino_loss.center"
	}
	// The parameters are good and the numbers grew too large on the way: ask block by block.
	if !allFinite(target) {
		return t.blameBlock(t.Teacher, "teacher", b.views[:1])
	}
	if !allFinite(bottleneck.Value) {
		return t.blameBlock(t.Student, "student", b.views)
	}
	return "the student's logits" // all that is left between them and the loss
}

// blameAgain is blame, or blameGradient, for a step that a GPU has found not finite: its passes are run again to see where. Nothing that the step would have
// changed has changed.
func (t *Trainer) blameAgain(u *underWay) string {
	defer t.Loss.Discard()
	if finite(u.stats.Loss) {
		return t.blameGradient(t.clip.Fetch().Norms)
	}
	last := len(u.crops) - 1
	for i, b := range u.crops {
		target := t.teach(b)
		bottleneck := t.Student.Bottleneck(t.still, b.views, t.dropPath(i))
		if i == last || !allFinite(target) || !allFinite(bottleneck.Value) {
			defer t.still.Reset()
			return t.blame(b, target, bottleneck)
		}
		t.still.Reset()
	}
	return ""
}

// blameBlock names the first block whose output is not finite. It runs the backbone again, in memory of its own, without dropped paths.
func (t *Trainer) blameBlock(n *Network, name string, views []*autograd.Var) string {
	for _, v := range views {
		tape := autograd.NewEvalTape(tensor.NewArena(t.dev))
		defer tape.Arena().Release()
		for i, x := range n.Backbone.IntermediateLayers(tape, v, n.Backbone.Config().Depth) {
			if !allFinite(x.Value) {
				return fmt.Sprintf("the output of %s.backbone.blocks.%d", name, i)
			}
		}
	}
	return "the output of " + name + ".head"
}

// blameGradient names the first bad gradient; norms are in the order of the trained parameters.
func (t *Trainer) blameGradient(norms []float64) string {
	// Backward runs from the last parameter to the first: the last bad one is where it began.
	for i := len(norms) - 1; i >= 0; i-- {
		if !finite(norms[i]) {
			return "the gradient of " + t.trained[i].Name
		}
	}
	return "the norm of the gradients"
}

// allFinite says whether every element is a number. The sum of squares is not when one is not; a large finite one may overflow too, so ask
// again one by one.
func allFinite(x *tensor.Tensor) bool {
	if finite(tensor.SumSquares(x)) {
		return true
	}
	for _, v := range x.Floats() {
		if !finite(float64(v)) {
			return false
		}
	}
	return true
}
