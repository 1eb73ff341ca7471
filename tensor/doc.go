// Package tensor holds dense float32 arrays on a device and the operations on them.
//
// A Tensor is row-major; a slice of its leading dimension is a view of the same memory, any other rearrangement is an operation. Operations
// are functions with the destination first. They check shapes (a mistake panics with a *ShapeError that names the operation and every shape),
// split the work over the cores in chunks that depend on the shapes alone, and call the kernels of the tensor's device: package tensor is
// where "CPU or GPU" is decided, in one visible branch an operation. XForward overwrites its result; XBackward adds to its gradients, unless
// its doc says otherwise. It knows no derivatives' order: that is package autograd.
//
// An Arena lends the memory of a pass: everything taken from it goes back at once on Reset and is reused by the next pass, so that a training
// step allocates nothing after its first round.
package tensor
