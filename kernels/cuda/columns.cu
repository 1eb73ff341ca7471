// sums[c] += Σ_chunk partial[chunk, c], in order: the end of every sum over rows. partial (chunks, S·n); the first n columns go to a, the others to b, either
// of which may be null. A block has 32 columns; its warp w of 8 the chunks w, w + 8, …, whose sums are then added in order.
//
// 4 bytes read a chunk and column, out of the second-level cache.
#include "columns.cuh"

KERNEL(columns_add, 256)(float *a, float *b, const float *partial, int chunks, int n, int columns) {
    __shared__ float shared[8][32];
    int c = blockIdx_x * 32 + lane();
    float sum = 0;
    if (c < columns) {
#pragma unroll 8
        for (int k = warp(); k < chunks; k += 8) sum += partial[(i64)k * columns + c];
    }
    shared[warp()][lane()] = sum;
    __syncthreads();
    if (warp() > 0 || c >= columns) return;
#pragma unroll
    for (int w = 1; w < 8; w++) sum += shared[w][lane()];
    float *to = c < n ? a : b;
    if (to) to[c < n ? c : c - n] += sum;
}
