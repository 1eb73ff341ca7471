// Kernels over elements. The body of one is a generic lambda, which is called as f<W>(i) for elements i…i+W−1: with the W of 16 bytes where `vectors`
// says that all addresses allow it, with 1 for the rest of the elements or for all of them.
#pragma once
#include "vectors.cuh"

// strided: the elements first, first + step, … of n.
template <int W, class I, class F> INLINE void strided(I first, I step, I n, bool vectors, F f) {
    I done = 0;
    if (vectors) {
        for (I i = first * W; i + W <= n; i += step * W) f.template operator()<W>(i);
        done = n - n % W;
    }
    for (I i = done + first; i < n; i += step) f.template operator()<1>(i);
}

// elements: a grid of blocks of 256 threads strides over n elements.
template <int W, class F> INLINE void elements(i64 n, bool vectors, F f) {
    strided<W, i64>((i64)blockIdx_x * 256 + threadIdx_x, (i64)gridDim_x * 256, n, vectors, f);
}

// items: n elements each of count items, such as the images of a batch; f<W>(item, i). The grid is (blocks over n, items).
template <int W, class F> INLINE void items(int count, i64 n, bool vectors, F f) {
    for (int item = blockIdx_y; item < count; item += gridDim_y)
        elements<W>(n, vectors, [&]<int V>(i64 i) { f.template operator()<V>(item, i); });
}
