// index[r] = the column of the largest element of row r, the first of several; NaN is passed over, unless it comes first. A block a row. One read an element.
#include "rows.cuh"

struct Best {
    float x;
    int at;
};
INLINE Best better(Best a, Best b) { return b.x > a.x || (b.x == a.x && b.at < a.at) ? b : a; }

template <class T> INLINE void argmax(int *index, const T *x, int n) {
    __shared__ float largest[32];
    __shared__ int place[32];
    x += (i64)blockIdx_x * n;
    const int none = 0x7fffffff;
    Best best = {-as_float(0x7f800000), none};
    row_elements<whole<T>>(n, aligned(x), [&]<int W>(int c) {
        Floats<W> v = load<W>(x + c);
#pragma unroll
        for (int j = 0; j < W; j++) best = better(best, {v.x[j], c + j});
    });
#pragma unroll
    for (int o = 16; o > 0; o >>= 1) best = better(best, {shuffle_xor(best.x, o), (int)as_bits(shuffle_xor(as_float(best.at), o))});
    if (lane() == 0) largest[warp()] = best.x, place[warp()] = best.at;
    __syncthreads();
    if (threadIdx_x > 0) return;
    for (int w = 1; w < blockDim_x >> 5; w++) best = better(best, {largest[w], place[w]});
    float first = load(x);
    index[blockIdx_x] = first != first || best.at == none ? 0 : best.at;
}

KERNEL(argmax_f32, 1024)(int *index, const float *x, int n) { argmax(index, x, n); }
KERNEL(argmax_bf16, 1024)(int *index, const bf16 *x, int n) { argmax(index, x, n); }
