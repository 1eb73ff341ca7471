// Layer scale: y = x·gamma over rows of n columns, gamma (n), and its backward. Forward one read and one write an element; backward dx the same, one read more
// with add, and dgamma two reads.
#include "columns.cuh"

// A warp a row.
template <class T> INLINE void layerscale(T *y, const T *x, const float *gamma, int rows, int n, bool add) {
    constexpr int W = whole<T>;
    int row = blockIdx_x * 8 + warp();
    if (row >= rows) return;
    y += (i64)row * n, x += (i64)row * n;
    strided<W>(lane(), 32, n, aligned(y, x, gamma), [&]<int V>(int c) { give(y + c, load<V>(x + c) * load<V>(gamma + c), add); });
}

// partial: sums of dy·x.
template <int W, class T> INLINE void dgamma(float *partial, const T *dy, const T *x, int rows, int n, int per) {
    sum_columns<1, W>(partial, rows, n, per, [&](i64 r, int c, Floats<W> *sums) { sums[0] += load<W>(dy + r * n + c) * load<W>(x + r * n + c); });
}

#define KERNELS(T, type)                                                                                                                                       \
    KERNEL(layerscale_##type, 256)(T *y, const T *x, const float *gamma, int rows, int n, int add) { layerscale(y, x, gamma, rows, n, add); }                  \
    KERNEL(layerscale_dgamma_##type, 256)(float *partial, const T *dy, const T *x, int rows, int n, int per, int vectors) {                                    \
        if (vectors)                                                                                                                                           \
            dgamma<4>(partial, dy, x, rows, n, per);                                                                                                           \
        else                                                                                                                                                   \
            dgamma<1>(partial, dy, x, rows, n, per);                                                                                                           \
    }
KERNELS(float, f32)
KERNELS(bf16, bf16)
