// Package kernels holds the numeric loops of the engine: what every operation means, in plain Go, and the list that says which
// implementation of each runs on this CPU.
//
// A kernel knows slices and lengths. It does not know shapes, devices or gradients, it does not start goroutines, allocate or check its
// arguments: package tensor does that. The plain Go version is the definition; the assembly in kernels/avx2 and kernels/avx512 has to agree
// with it, and the conformance tests of this package say how closely.
//
// A Table names one kernel an operation. Reference is the table of plain Go, Tables lists those that this CPU can run, Best is the one
// chosen for it. The environment variable GODINO_KERNELS=reference|avx2|avx512 forces one.
//
// Letters: a matrix product is C (M×N) += A (M×K) · B (K×N). A micro-kernel computes an MR×NR tile of C from packed panels; MC, KC and NC
// are the block sizes that keep those panels in the caches.
//
// Conventions: destination first, as in Go's copy. XForward writes its result, XBackward adds to its gradients.
package kernels
