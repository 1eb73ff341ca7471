package autograd

import (
	"fmt"
	"slices"

	"github.com/godino-ml/godino/tensor"
)

// Tape runs operations and records how to undo them.
type Tape struct {
	arena     *tensor.Arena
	record    bool
	results   slab[Var] // of operations
	undo      []undo
	kept      []*Var // whose Values the undos read
	loans     slab[loan]
	borrowers []*Var // Vars whose Grad the arena may have lent
	shape     []int  // see withCols
	indices   []int  // see Indices
	taken     int    // of indices
}

// undo is how to undo the operation that made y from y's gradient. backward reads the Values of Tape.kept from where the undo before it ends
// to kept.
type undo struct {
	y        *Var
	backward func(dy *tensor.Tensor)
	kept     int
}

// NewTape makes a tape that records, with the memory of arena.
func NewTape(arena *tensor.Arena) *Tape { return &Tape{arena: arena, record: true} }

// NewEvalTape makes a tape that records nothing: for the teacher and for evaluation.
func NewEvalTape(arena *tensor.Arena) *Tape { return &Tape{arena: arena} }

// Records says whether the tape records.
func (t *Tape) Records() bool { return t.record }

// Arena is the memory of the tape's pass.
func (t *Tape) Arena() *tensor.Arena { return t.arena }

// Reset forgets the recorded pass and takes its memory back: the Vars that its operations have made, and the Grads of its inputs, must not be
// used afterwards. The next pass gets the same Vars again.
func (t *Tape) Reset() {
	clear(t.undo)
	t.undo = t.undo[:0]
	clear(t.kept)
	t.kept = t.kept[:0]
	for _, v := range t.borrowers {
		if v.loan != nil {
			v.Grad, v.loan = nil, nil
		}
	}
	clear(t.borrowers)
	t.borrowers = t.borrowers[:0]
	t.loans.reset()
	for _, y := range t.results.lent() {
		y.Value = nil // whoever still uses it meets nil
	}
	t.results.reset()
	t.taken = 0
	t.arena.Reset()
}

// Indices lends n undefined numbers until Reset, as the samples of SelectSamples.
func (t *Tape) Indices(n int) []int {
	if n > len(t.indices)-t.taken {
		t.indices, t.taken = make([]int, max(n, 2*len(t.indices))), 0
	}
	t.taken += n
	return t.indices[t.taken-n : t.taken : t.taken]
}

// Done says that the caller will not use the Values of these Vars again, results of operations of this tape, in later operations or otherwise.
// What no backward needs gives its memory to the operations that follow, and so does what costs less to compute again than to hold; the rest
// does so in Backward, once it is not needed any more. On a
// tape that records nothing that is everything at once, without which the evaluation of a large image would hold every activation of every
// layer.
func (t *Tape) Done(vs ...*Var) {
	for _, v := range vs {
		v.done = v.kept
		if !v.kept || v.again != nil {
			t.drop(v)
		}
	}
}

// drop gives back a Value; whoever still uses it meets nil.
func (t *Tape) drop(v *Var) {
	t.arena.Free(v.Value)
	v.Value = nil
}

// Backward adds to every parameter and input that the pass of loss, a Var of one element, has used the gradient of loss. Gradients of
// intermediate Vars live only until the operation that made them is undone: their memory is lent to the gradients that follow, and so is
// that of their Values if they are Done. The pass can be undone once.
func (t *Tape) Backward(loss *Var) {
	if loss.Value.Len() != 1 {
		panic(&tensor.ShapeError{Op: "Backward", Shapes: [][]int{loss.Value.Shape()}, Want: "one element; for others see BackwardFrom"})
	}
	seed := t.arena.NewFloat32(loss.Value.Shape()...)
	tensor.Fill(seed, 1)
	t.BackwardFrom(loss, seed)
}

// BackwardFrom is Backward for a Var of any shape whose gradient dy is known; dy is read only.
func (t *Tape) BackwardFrom(y *Var, dy *tensor.Tensor) {
	if !t.record {
		panic("autograd: Backward on a tape that records nothing")
	}
	if !slices.Equal(y.Shape(), dy.Shape()) {
		panic(&tensor.ShapeError{Op: "BackwardFrom", Shapes: [][]int{y.Shape(), dy.Shape()}, Want: "the same shape twice"})
	}
	if !y.needsGrad {
		panic(fmt.Sprintf("autograd: Backward from a Var of shape %v, which no parameter reaches", y.Shape()))
	}
	if y.shape != nil {
		y.Grad, y.loan = dy, nil // nobody adds to it: operations that used y are not part of this loss
	} else {
		t.add(y, dy)
	}
	for i := len(t.undo) - 1; i >= 0; i-- {
		y, backward := t.undo[i].y, t.undo[i].backward
		t.undo[i].backward = nil
		if y.Grad == nil {
			continue // it is not part of this loss
		}
		t.remake(i)
		backward(y.Grad)
		t.release(y)
		if y.done {
			t.drop(y)
		}
	}
	clear(t.undo)
	t.undo = t.undo[:0]
	clear(t.kept)
	t.kept = t.kept[:0]
}

// remake computes again what undo number i reads and Done has given back.
func (t *Tape) remake(i int) {
	from := 0
	if i > 0 {
		from = t.undo[i-1].kept
	}
	for _, v := range t.kept[from:t.undo[i].kept] {
		if v.Value == nil && v.again != nil {
			v.Value = t.memory(v, v.shape...)
			v.again()
		}
	}
}

// output makes the Var of an operation's result, of undefined elements, which needs a gradient if an input does. Its memory has room for as
// many samples as an input's.
func (t *Tape) output(shape []int, inputs ...*Var) *Var {
	var r room
	for _, x := range inputs {
		if x != nil && x.room != (room{}) {
			r = x.room
		}
	}
	return t.outputOf(r, shape, inputs...)
}

// outputOf is output with that room.
func (t *Tape) outputOf(r room, shape []int, inputs ...*Var) *Var {
	y := t.result(r, shape, inputs)
	y.Value = t.memory(y, y.shape...)
	return y
}

// outputFloat32 is output of what is float32 whatever the activations are, and so is its gradient: a loss, logits, what is made of parameters alone.
func (t *Tape) outputFloat32(shape []int, inputs ...*Var) *Var {
	y := t.result(room{}, shape, inputs)
	y.wide = true
	y.Value = t.statistics(y, y.shape...)
	return y
}

// result is a Var without a Value.
func (t *Tape) result(r room, shape []int, inputs []*Var) *Var {
	y := t.results.next()
	*y = Var{shape: append(y.shape[:0], shape...), room: r}
	if t.record {
		for _, x := range inputs {
			if x != nil && x.needsGrad {
				y.needsGrad = true
			}
		}
	}
	return y
}

// memory is a tensor of undefined elements with as much room as y has, for activations.
func (t *Tape) memory(y *Var, shape ...int) *tensor.Tensor {
	return t.arena.NewOf(y.room.of(shape), shape...)
}

// statistics is memory for what is float32 whatever the activations are.
func (t *Tape) statistics(y *Var, shape ...int) *tensor.Tensor {
	return t.arena.NewFloat32Of(y.room.of(shape), shape...)
}

// of is how many elements all samples need when those that are used have that shape.
func (r room) of(shape []int) int {
	n := 1
	for _, d := range shape {
		n *= d
	}
	if r.used > 0 {
		n = (n*r.all + r.used - 1) / r.used
	}
	return n
}

// keeps says that the backward of the operation that made y, which undoes records next, reads the Values of these Vars.
func (t *Tape) keeps(y *Var, vs ...*Var) {
	if !y.needsGrad {
		return
	}
	for _, v := range vs {
		v.kept = true
	}
	t.kept = append(t.kept, vs...)
}

// recomputes says that forward writes y's Value again, from what the operation that made y keeps, and does it so fast that its memory is worth
// more: whoever reads it in Backward gets it made again if it is Done. On a GPU the time is worth more: a pass over memory is a fiftieth of a
// transformer's training.
func (t *Tape) recomputes(y *Var, forward func()) {
	if y.needsGrad && t.arena.Device().GPU() == nil {
		y.again = forward
	}
}

// undoes records backward, which undoes the operation that made y; it is called only if a gradient has reached y, whose memory is given back
// afterwards.
func (t *Tape) undoes(y *Var, backward func(dy *tensor.Tensor)) {
	if !y.needsGrad {
		return
	}
	t.undo = append(t.undo, undo{y, backward, len(t.kept)})
}
