// y[r] = Σ_k weight[k]·x[index[k]] for start[r] <= k < start[r+1], or += with add: rows of d columns, each a weighted sum of rows of x, added in order. The resize
// of position embeddings, and its way back with the transposed weights.
//
// A block a row. 16 to 20 terms a row for bicubic resizes, more for the way back from a larger grid; x comes out of the caches.
#include "rows.cuh"

KERNEL(interpolatepos, 256)(float *y, const float *x, const int *start, const int *index, const float *weight, int d, int add) {
    int from = start[blockIdx_x], to = start[blockIdx_x + 1];
    y += (i64)blockIdx_x * d;
    row_elements<4>(d, d % 4 == 0 && aligned(y, x), [&]<int W>(int c) {
        Floats<W> sum = splat<W>(0);
        for (int k = from; k < to; k++) sum += load<W>(x + (i64)index[k] * d + c) * weight[k];
        give(y + c, sum, add);
    });
}
