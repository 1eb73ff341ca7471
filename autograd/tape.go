package autograd

import (
	"fmt"

	"github.com/godino-ml/godino/tensor"
)

// Tape runs operations and records how to undo them.
type Tape struct {
	arena  *tensor.Arena
	record bool
	undo   []func()
}

// Var is a tensor on its way through a pass.
type Var struct {
	Value *tensor.Tensor
	// Grad is the gradient of the loss: for a parameter always there and added to, for an intermediate Var nil until Backward reaches it.
	Grad *tensor.Tensor

	needsGrad bool
}

// NewTape makes a tape that records, with the memory of arena.
func NewTape(arena *tensor.Arena) *Tape { return &Tape{arena: arena, record: true} }

// NewEvalTape makes a tape that records nothing: for the teacher and for evaluation.
func NewEvalTape(arena *tensor.Arena) *Tape { return &Tape{arena: arena} }

// NewParam makes a Var that outlives passes, with a gradient of zeros.
func NewParam(value *tensor.Tensor) *Var {
	return &Var{Value: value, Grad: tensor.New(value.Device(), value.Shape()...), needsGrad: true}
}

// NewConst makes a Var that needs no gradient.
func NewConst(value *tensor.Tensor) *Var { return &Var{Value: value} }

// NewInput makes a Var whose gradient is wanted although no operation produced it.
func NewInput(value *tensor.Tensor) *Var { return &Var{Value: value, needsGrad: true} }

// NeedsGrad says whether gradients reach the Var.
func (v *Var) NeedsGrad() bool { return v.needsGrad }

// Freeze makes the Var a constant for the passes that follow; Unfreeze undoes it.
func (v *Var) Freeze() { v.needsGrad = false }

// Unfreeze lets gradients reach the Var again.
func (v *Var) Unfreeze() { v.needsGrad = true }

// Records says whether the tape records.
func (t *Tape) Records() bool { return t.record }

// Arena is the memory of the tape's pass.
func (t *Tape) Arena() *tensor.Arena { return t.arena }

// Reset forgets the recorded pass and takes its memory back: Values and Grads of its Vars must not be used afterwards, those of
// parameters excepted.
func (t *Tape) Reset() {
	clear(t.undo)
	t.undo = t.undo[:0]
	t.arena.Reset()
}

// Backward adds to every Var that needs it the gradient of loss, a Var of one element.
func (t *Tape) Backward(loss *Var) {
	if loss.Value.Len() != 1 {
		panic(&tensor.ShapeError{Op: "Backward", Shapes: [][]int{loss.Value.Shape()}, Want: "one element; for others see BackwardFrom"})
	}
	seed := t.arena.New(loss.Value.Shape()...)
	seed.Data()[0] = 1
	t.BackwardFrom(loss, seed)
}

// BackwardFrom is Backward for a Var of any shape whose gradient dy is known.
func (t *Tape) BackwardFrom(y *Var, dy *tensor.Tensor) {
	if !t.record {
		panic("autograd: Backward on a tape that records nothing")
	}
	if !tensor.SameShape(y.Value, dy) {
		panic(&tensor.ShapeError{Op: "BackwardFrom", Shapes: [][]int{y.Value.Shape(), dy.Shape()}, Want: "the same shape twice"})
	}
	if !y.needsGrad {
		panic(fmt.Sprintf("autograd: Backward from %v, which no parameter reaches", y.Value))
	}
	y.Grad = dy
	for i := len(t.undo) - 1; i >= 0; i-- {
		t.undo[i]()
		t.undo[i] = nil
	}
	t.undo = t.undo[:0]
}

// output makes the Var of an operation's result and says whether its inputs need gradients.
func (t *Tape) output(value *tensor.Tensor, inputs ...*Var) *Var {
	y := &Var{Value: value}
	if t.record {
		for _, x := range inputs {
			if x != nil && x.needsGrad {
				y.needsGrad = true
			}
		}
	}
	return y
}

// undoes records backward, which undoes the operation that made y; it is called only if a gradient has reached y.
func (t *Tape) undoes(y *Var, backward func(dy *tensor.Tensor)) {
	if !y.needsGrad {
		return
	}
	t.undo = append(t.undo, func() {
		if y.Grad != nil {
			backward(y.Grad)
		}
	})
}

// grad is the tensor that a backward writes x's gradient to, and whether it must add to it: an intermediate Var's first gradient
// overwrites undefined memory. It is nil when x needs none.
func (t *Tape) grad(x *Var) (dx *tensor.Tensor, add bool) {
	if x == nil || !x.needsGrad {
		return nil, false
	}
	if x.Grad == nil {
		x.Grad = t.arena.New(x.Value.Shape()...)
		return x.Grad, false
	}
	return x.Grad, true
}
