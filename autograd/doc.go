// Package autograd records operations on tensors and undoes them for their gradients.
//
// A Tape runs each operation at once and, when an input needs a gradient, records the closure that undoes it. Backward calls those in
// reverse. An operation's backward is written in the same function as its forward. A tape that records nothing serves the teacher and
// evaluation.
//
// Gradients add up: a Var used twice receives both. Parameters and inputs hold theirs; those of results live within Backward only.
//
// All memory of a pass comes from the tape's arena: Reset forgets the pass and takes it back. Done gives a Value back earlier, as soon as no
// backward reads it, so that a pass holds little more than what its backward needs.
package autograd
