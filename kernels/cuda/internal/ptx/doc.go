// Package ptx runs PTX in Go, so that the kernels of package cuda are tested on machines without a GPU. It is a cuda.Driver for tests alone.
//
// It is stricter than a GPU. A launch fails, with the kernel, the line of PTX, the block and the thread, for accesses outside of what was allocated or not
// aligned, for values that nobody wrote, for barriers that some threads do not reach, for races of warps in shared memory and of blocks in global memory,
// and for data of asynchronous copies that nobody waited for.
//
// Arithmetic is IEEE's with PTX's rules, and fma is rounded once. What the special-function unit approximates is exact here and then rounded, and the tensor
// cores add their products in float32 and in order: comparisons need tolerances. Not looked for are races within a block in global memory, and between lanes
// of a warp beyond one instruction. What blocks hand on to each other by fences and atomics is reported as a race: no kernel does that.
//
// A warp runs in one goroutine until it waits for something; the warps of a block take turns, and blocks run in parallel. Registers hold 32 lanes: one
// array a register, so that an instruction is a loop over lanes. Every instruction becomes a closure when the kernel is first used; which function makes
// the closure of an opcode is in one table, to which the files of this package add in their init functions (see decoders).
package ptx
