// Package tensor holds dense float32 arrays on a device and the operations on them.
//
// A Tensor is row-major; a slice of its leading dimension is a view of the same memory, any other rearrangement is an operation. Operations
// are functions with the destination first. They check shapes (a mistake panics with a *ShapeError that names the operation and every shape),
// split the work over the cores in chunks that depend on the shapes alone, and call the kernels of the tensor's device: package tensor is
// where "CPU or GPU" is decided, in one visible branch an operation. XForward overwrites its result; XBackward adds to its gradients, unless
// its doc says otherwise. It knows no derivatives' order: that is package autograd.
//
// On a GPU the branch of an operation, after its checks, looks like this:
//
//	if g := x.dev.gpu; g != nil {
//		g.LayerNormForward(y.at(x.typ), mean.f32(), rstd.f32(), x.ptr, w.f32(), b.f32(), rows, n, eps, x.typ)
//		return
//	}
//
// Activations and their gradients have the device's type of activations, all else is float32 (at and f32 check that); weights are read by factor,
// which is their copy in bf16 where the activations are bf16. What an operation writes to a float32 tensor that may be a parameter it says by
// written, so that the copy is made again. Numbers that change from pass to pass come as tensors, see Scalars; lists that do not change are
// resident.
//
// An Arena lends the memory of a pass: everything taken from it goes back at once on Reset and is reused by the next pass, so that a training
// step allocates nothing after its first round.
package tensor
