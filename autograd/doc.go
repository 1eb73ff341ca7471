// Package autograd records operations on tensors and undoes them for their gradients.
//
// A Tape runs each operation at once and, when an input needs a gradient, records the closure that undoes it. Backward calls those in
// reverse. An operation's backward is written in the same function as its forward. A tape that records nothing serves the teacher and
// evaluation. All memory of a pass comes from the tape's arena: Reset forgets the pass and takes it back.
//
// Gradients add up: a Var used twice receives both.
package autograd
