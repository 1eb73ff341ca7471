// Package autograd records operations on tensors and undoes them for their gradients.
//
// A Tape runs each operation at once and, when an input needs a gradient, records the closure that undoes it. Backward calls those in
// reverse. An operation's backward is written in the same function as its forward. A tape that records nothing serves the teacher and
// evaluation.
//
//	y := tape.Linear(autograd.NewConst(x), w, b) // computed now
//	z := tape.GELU(y)
//	tape.Done(y)                                 // its memory may go as soon as no backward needs it
//	tape.BackwardFrom(z, dz)                     // w.Grad and b.Grad have grown
//	tape.Reset()                                 // y and z are gone
//
// A loss of your own needs no operation: compute its gradient with respect to the last Var yourself and hand it to BackwardFrom, as the example does.
//
// Gradients add up: a Var used twice receives both. Parameters and inputs hold theirs; those of results live within Backward only.
//
// All memory of a pass comes from the tape's arena: Reset forgets the pass and takes it back. Done gives a Value back earlier, as soon as no
// backward reads it, so that a pass holds little more than what its backward needs.
package autograd
