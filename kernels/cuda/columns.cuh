// Sums over rows, column by column: the gradients of parameters that all rows share. Rows are cut into chunks, whose number depends on the shape alone;
// a block sums the rows of a chunk, and columns.cu adds the chunks' sums in order, so that the same inputs give the same bits.
#pragma once
#include "rows.cuh"

// sum_columns: block (x, y) takes W columns a lane, 32·W in all, and the rows from per·y on; its warp w of 8 the rows w, w + 8, …, whose sums are then
// added in order. f(row, c, sums) adds the terms of columns c…c+W−1 of a row to S sums. partial (chunks, S, n); W is 1 or divides n.
template <int S, int W, class F> INLINE void sum_columns(float *partial, int rows, int n, int per, F f) {
    __shared__ __attribute__((aligned(16))) float shared[8][32 * W];
    int from = 32 * W * blockIdx_x, c = from + W * lane();
    i64 first = (i64)blockIdx_y * per;
    int end = imin(per, (int)(rows - first));
    Floats<W> sums[S];
#pragma unroll
    for (int s = 0; s < S; s++) sums[s] = splat<W>(0);
    if (c < n) {
#pragma unroll 4
        for (int r = warp(); r < end; r += 8) f(first + r, c, sums);
    }
#pragma unroll
    for (int s = 0; s < S; s++) {
        __syncthreads();
        store(&shared[warp()][W * lane()], sums[s]);
        __syncthreads();
        int k = threadIdx_x;
        if (k < 32 * W && from + k < n) {
            float t = 0;
#pragma unroll
            for (int w = 0; w < 8; w++) t += shared[w][k];
            partial[((i64)blockIdx_y * S + s) * n + from + k] = t;
        }
    }
}
