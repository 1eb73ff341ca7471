// Package cuda is the room of the NVIDIA kernels: their CUDA C++ sources, the PTX that clang makes of them, and one launcher a kernel, which knows its
// grid, its block and the order of its arguments.
//
// Of shapes, gradients and layers it knows nothing, and it imports nothing of godino. A launcher takes addresses in the GPU's memory (Ptr), numbers of
// rows and columns, and the type of elements; it validates nothing and waits for nothing. Launchers of one Device run in the order of their calls.
//
// The GPU itself is behind Driver. Programs built with the tag cuda have the CUDA driver there (see Open); tests have an interpreter of the
// committed PTX (package cudatest), so that every kernel runs in plain "go test", on any machine.
//
// Errors are sticky, as CUDA's own: after the first one a Device does nothing more, and Err and Sync return it.
package cuda

//go:generate go run ./internal/cugen
