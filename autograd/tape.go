package autograd

import (
	"fmt"

	"github.com/godino-ml/godino/tensor"
)

// Tape runs operations and records how to undo them.
type Tape struct {
	arena     *tensor.Arena
	record    bool
	undo      []func()
	borrowers []*Var // Vars whose Grad the arena may have lent
}

// NewTape makes a tape that records, with the memory of arena.
func NewTape(arena *tensor.Arena) *Tape { return &Tape{arena: arena, record: true} }

// NewEvalTape makes a tape that records nothing: for the teacher and for evaluation.
func NewEvalTape(arena *tensor.Arena) *Tape { return &Tape{arena: arena} }

// Records says whether the tape records.
func (t *Tape) Records() bool { return t.record }

// Arena is the memory of the tape's pass.
func (t *Tape) Arena() *tensor.Arena { return t.arena }

// Reset forgets the recorded pass and takes its memory back: Values and Grads of its Vars must not be used afterwards, those of
// parameters excepted.
func (t *Tape) Reset() {
	clear(t.undo)
	t.undo = t.undo[:0]
	for _, v := range t.borrowers {
		if v.loan != nil {
			v.Grad, v.loan = nil, nil
		}
	}
	clear(t.borrowers)
	t.borrowers = t.borrowers[:0]
	t.arena.Reset()
}

// Done says that no later operation uses the Values of these Vars, results of operations of this tape. A tape that records keeps them for
// Backward; one that does not gives their memory to the operations that follow, without which the evaluation of a large image would hold
// every activation of every layer.
func (t *Tape) Done(vs ...*Var) {
	if t.record {
		return
	}
	for _, v := range vs {
		t.arena.Free(v.Value)
	}
}

// Backward adds to every parameter and input that the pass of loss, a Var of one element, has used the gradient of loss. Gradients of
// intermediate Vars live only until the operation that made them is undone: their memory is lent to the gradients that follow. The pass can be
// undone once.
func (t *Tape) Backward(loss *Var) {
	if loss.Value.Len() != 1 {
		panic(&tensor.ShapeError{Op: "Backward", Shapes: [][]int{loss.Value.Shape()}, Want: "one element; for others see BackwardFrom"})
	}
	seed := t.arena.New(loss.Value.Shape()...)
	seed.Data()[0] = 1
	t.BackwardFrom(loss, seed)
}

// BackwardFrom is Backward for a Var of any shape whose gradient dy is known; dy is read only.
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
	if y.result {
		y.Grad, y.loan = dy, nil // nobody adds to it: operations that used y are not part of this loss
	} else {
		t.add(y, dy)
	}
	for i := len(t.undo) - 1; i >= 0; i-- {
		t.undo[i]()
		t.undo[i] = nil
	}
	t.undo = t.undo[:0]
}

// output makes the Var of an operation's result, of undefined elements, which needs a gradient if an input does.
func (t *Tape) output(shape []int, inputs ...*Var) *Var {
	y := &Var{Value: t.arena.New(shape...), result: true}
	if t.record {
		for _, x := range inputs {
			if x != nil && x.needsGrad {
				y.needsGrad = true
			}
		}
	}
	return y
}

// undoes records backward, which undoes the operation that made y; it is called only if a gradient has reached y, whose memory is given back
// afterwards.
func (t *Tape) undoes(y *Var, backward func(dy *tensor.Tensor)) {
	if !y.needsGrad {
		return
	}
	t.undo = append(t.undo, func() {
		if y.Grad == nil {
			return
		}
		backward(y.Grad)
		t.release(y)
	})
}
