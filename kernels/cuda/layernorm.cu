// Layer norm: y = (x − mean)·rstd·w + b over rows of n columns, rstd = 1/√(variance + eps) of the biased variance, and its backward.
//
// Rows of up to 1024 columns: a warp a row, which it holds in registers (K tiles of 128 columns; 3 or 8), so that mean and
// variance are two exact passes and memory sees every element once. Longer rows, and those that are not aligned: a block a row, the later passes out of the caches.
// Bytes an element (2 in bf16, 4 in float32): forward one read and one write; backward two reads and one write, and one read more with add. A few operations.
#include "columns.cuh"

template <int K, class T>
INLINE void warp_forward(T *y, float *mean, float *rstd, const T *x, const float *w, const float *b, float eps, int rows, int n) {
    int row = blockIdx_x * 8 + warp();
    if (row >= rows) return;
    x += (i64)row * n, y += (i64)row * n;
    Floats<4> v[K];
    float sum = 0, squares = 0;
#pragma unroll
    for (int k = 0; k < K; k++) v[k] = load_tile(x, 128 * k, n);
#pragma unroll
    for (int k = 0; k < K; k++) sum += total(v[k]);
    float m = div_rn(warp_sum(sum), n);
#pragma unroll
    for (int k = 0; k < K; k++) {
        v[k] = in_tile(128 * k, n) ? v[k] - m : splat<4>(0);
        squares += total(v[k] * v[k]);
    }
    float r = rsqrt_approx(div_rn(warp_sum(squares), n) + eps);
#pragma unroll
    for (int k = 0; k < K; k++) {
        Floats<4> scale = load_tile(w, 128 * k, n), shift = load_tile(b, 128 * k, n);
        store_tile(y, 128 * k, n, v[k] * r * scale + shift);
    }
    if (mean && lane() == 0) mean[row] = m, rstd[row] = r;
}

template <class T>
INLINE void block_forward(T *y, float *mean, float *rstd, const T *x, const float *w, const float *b, float eps, int n) {
    __shared__ float shared[32];
    constexpr int W = whole<T>;
    int row = blockIdx_x;
    x += (i64)row * n, y += (i64)row * n;
    bool vectors = aligned(y, x, w, b);
    float sum = 0, squares = 0;
    row_elements<W>(n, vectors, [&]<int V>(int c) { sum += total(load<V>(x + c)); });
    float m = div_rn(block_sum(sum, shared), n);
    row_elements<W>(n, vectors, [&]<int V>(int c) {
        Floats<V> d = load<V>(x + c) - m;
        squares += total(d * d);
    });
    float r = rsqrt_approx(div_rn(block_sum(squares, shared), n) + eps);
    row_elements<W>(n, vectors, [&]<int V>(int c) { store(y + c, (load<V>(x + c) - m) * r * load<V>(w + c) + load<V>(b + c)); });
    if (mean && threadIdx_x == 0) mean[row] = m, rstd[row] = r;
}

// The backward, with x̂ = (x − mean)·rstd and g = dy·w:
//
//	dx = rstd·(g − average(g) − x̂·average(g·x̂)), or += with add
//	partial (blocks, 2, n) = the block's sums over its rows of dy·x̂ and of dy
//
// A block of 8 warps has the rows from per·block on, its warp w the rows w, w + 8, …. dx or partial may be null: not wanted.
template <int K, class T>
INLINE void warp_backward(T *dx, float *partial, const T *dy, const T *x, const float *w, const float *mean, const float *rstd, int rows, int n, int per, bool add) {
    __shared__ __attribute__((aligned(16))) float shared[128 * K];
    Floats<4> dw[K], db[K];
#pragma unroll
    for (int k = 0; k < K; k++) dw[k] = db[k] = splat<4>(0);
    int first = blockIdx_x * per, end = imin(rows, first + per);
    for (int row = first + warp(); row < end; row += 8) {
        const T *dyr = dy + (i64)row * n, *xr = x + (i64)row * n;
        float m = mean[row], r = rstd[row], sum = 0, dot = 0;
        Floats<4> xhat[K], g[K];
#pragma unroll
        for (int k = 0; k < K; k++) xhat[k] = load_tile(xr, 128 * k, n), g[k] = load_tile(dyr, 128 * k, n);
#pragma unroll
        for (int k = 0; k < K; k++) {
            xhat[k] = (xhat[k] - m) * r; // anything beyond n, where dy is 0
            dw[k] += g[k] * xhat[k];
            db[k] += g[k];
            g[k] = g[k] * load_tile(w, 128 * k, n);
            sum += total(g[k]);
            dot += total(g[k] * xhat[k]);
        }
        if (!dx) continue;
        sum = div_rn(warp_sum(sum), n), dot = div_rn(warp_sum(dot), n);
        T *dxr = dx + (i64)row * n;
#pragma unroll
        for (int k = 0; k < K; k++) {
            Floats<4> d = (g[k] - sum - xhat[k] * dot) * r;
            if (add) d += load_tile(dxr, 128 * k, n);
            store_tile(dxr, 128 * k, n, d);
        }
    }
    if (!partial) return;
    // The warps' sums, in order, one half at a time.
    partial += (i64)blockIdx_x * 2 * n;
#pragma unroll
    for (int half = 0; half < 2; half++) {
#pragma unroll 1
        for (int w = 0; w < 8; w++) {
            __syncthreads();
            if (warp() != w) continue;
#pragma unroll
            for (int k = 0; k < K; k++) {
                Floats<4> s = half ? db[k] : dw[k];
                if (w > 0) s += load_tile(shared, 128 * k, 128 * K);
                store_tile(shared, 128 * k, 128 * K, s);
            }
        }
        __syncthreads();
#pragma unroll 1
        for (int c = threadIdx_x; c < n; c += 256) partial[half * n + c] = shared[c];
    }
}

template <class T>
INLINE void block_backward(T *dx, const T *dy, const T *x, const float *w, const float *mean, const float *rstd, int n, bool add) {
    __shared__ float shared[32];
    constexpr int W = whole<T>;
    int row = blockIdx_x;
    float m = mean[row], r = rstd[row], sum = 0, dot = 0;
    dx += (i64)row * n, dy += (i64)row * n, x += (i64)row * n;
    bool vectors = aligned(dx, dy, x, w);
    row_elements<W>(n, vectors, [&]<int V>(int c) {
        Floats<V> g = load<V>(dy + c) * load<V>(w + c), xhat = (load<V>(x + c) - m) * r;
        sum += total(g);
        dot += total(g * xhat);
    });
    sum = div_rn(block_sum(sum, shared), n), dot = div_rn(block_sum(dot, shared), n);
    row_elements<W>(n, vectors, [&]<int V>(int c) {
        Floats<V> g = load<V>(dy + c) * load<V>(w + c), xhat = (load<V>(x + c) - m) * r;
        give(dx + c, (g - sum - xhat * dot) * r, add);
    });
}

// The sums of dw and db for rows of any length, as partial of the backward.
template <int W, class T>
INLINE void parameters(float *partial, const T *dy, const T *x, const float *mean, const float *rstd, int rows, int n, int per) {
    sum_columns<2, W>(partial, rows, n, per, [&](i64 row, int c, Floats<W> *sums) {
        Floats<W> d = load<W>(dy + row * n + c);
        sums[0] += d * ((load<W>(x + row * n + c) - mean[row]) * rstd[row]);
        sums[1] += d;
    });
}

// Rows of up to 128·K columns, a multiple of four, all aligned to 16 bytes.
#define WARP(K, columns, T, type)                                                                                                                              \
    KERNEL(layernorm_forward_##columns##_##type, 256)                                                                                                          \
    (T *y, float *mean, float *rstd, const T *x, const float *w, const float *b, float eps, int rows, int n) {                                                 \
        warp_forward<K>(y, mean, rstd, x, w, b, eps, rows, n);                                                                                                      \
    }                                                                                                                                                          \
    KERNEL(layernorm_backward_##columns##_##type, 256)                                                                                                         \
    (T *dx, float *partial, const T *dy, const T *x, const float *w, const float *mean, const float *rstd, int rows, int n, int per, int add) {                \
        warp_backward<K>(dx, partial, dy, x, w, mean, rstd, rows, n, per, add);                                                                                     \
    }
// All others.
#define BLOCK(T, type)                                                                                                                                         \
    KERNEL(layernorm_forward_##type, 1024)                                                                                                                     \
    (T *y, float *mean, float *rstd, const T *x, const float *w, const float *b, float eps, int n) { block_forward(y, mean, rstd, x, w, b, eps, n); }          \
    KERNEL(layernorm_backward_##type, 1024)                                                                                                                    \
    (T *dx, const T *dy, const T *x, const float *w, const float *mean, const float *rstd, int n, int add) {                                                   \
        block_backward(dx, dy, x, w, mean, rstd, n, add);                                                                                                      \
    }                                                                                                                                                          \
    KERNEL(layernorm_parameters_##type, 256)                                                                                                                   \
    (float *partial, const T *dy, const T *x, const float *mean, const float *rstd, int rows, int n, int per, int vectors) {                                   \
        if (vectors)                                                                                                                                           \
            parameters<4>(partial, dy, x, mean, rstd, rows, n, per);                                                                                           \
        else                                                                                                                                                   \
            parameters<1>(partial, dy, x, mean, rstd, rows, n, per);                                                                                           \
    }

WARP(3, 384, float, f32)
WARP(8, 1024, float, f32)
BLOCK(float, f32)
WARP(3, 384, bf16, bf16)
WARP(8, 1024, bf16, bf16)
BLOCK(bf16, bf16)
