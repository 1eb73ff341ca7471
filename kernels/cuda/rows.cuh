// Kernels over rows: a warp holds a row of up to 1024 columns in registers, or a block of any number of threads strides over a longer one.
#pragma once
#include "elements.cuh"

INLINE int lane() { return threadIdx_x & 31; }
INLINE int warp() { return threadIdx_x >> 5; }

// A tile is 128 columns of a row, four consecutive ones a lane, where n is a multiple of four and the row is aligned. Of columns from n on it reads
// zeros and writes nothing.
INLINE bool in_tile(int from, int n) { return from + 4 * lane() < n; }
template <class T> INLINE Floats<4> load_tile(const T *row, int from, int n) { return in_tile(from, n) ? load<4>(row + from + 4 * lane()) : splat<4>(0); }
template <class T> INLINE void store_tile(T *row, int from, int n, Floats<4> a) {
    if (in_tile(from, n)) store(row + from + 4 * lane(), a);
}

// row_elements: the threads of the block stride over a row of n columns; f<W>(c).
template <int W, class F> INLINE void row_elements(int n, bool vectors, F f) {
    strided<W, int>(threadIdx_x, blockDim_x, n, vectors, f);
}
