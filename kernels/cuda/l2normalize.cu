// y = x / max(‖x‖, eps) over rows of n columns, and its backward: a block a row, which reads it twice, the second time out of the caches. One read and one
// write an element; backward two reads and one write, and with add one read more.
#include "rows.cuh"

template <class T> INLINE void forward(T *y, float *norm, const T *x, float eps, int n) {
    __shared__ float shared[32];
    constexpr int W = whole<T>;
    y += (i64)blockIdx_x * n, x += (i64)blockIdx_x * n;
    bool vectors = aligned(y, x);
    float sum = 0;
    row_elements<W>(n, vectors, [&]<int V>(int c) {
        Floats<V> v = load<V>(x + c);
        sum += total(v * v);
    });
    float length = sqrt_rn(block_sum(sum, shared));
    float inverse = div_rn(1, length < eps ? eps : length); // NaN stays NaN
    row_elements<W>(n, vectors, [&]<int V>(int c) { store(y + c, load<V>(x + c) * inverse); });
    if (norm && threadIdx_x == 0) norm[blockIdx_x] = length;
}

// dx = (dy − y·Σ dy·y) / norm, or += with add; where the norm was below eps, a constant took its place and dx = dy / eps.
template <class T> INLINE void backward(T *dx, const T *dy, const T *y, const float *norm, float eps, int n, bool add) {
    __shared__ float shared[32];
    constexpr int W = whole<T>;
    dx += (i64)blockIdx_x * n, dy += (i64)blockIdx_x * n, y += (i64)blockIdx_x * n;
    bool vectors = aligned(dx, dy, y);
    float length = norm[blockIdx_x], dot = 0;
    bool below = length < eps;
    if (!below) row_elements<W>(n, vectors, [&]<int V>(int c) { dot += total(load<V>(dy + c) * load<V>(y + c)); });
    dot = block_sum(dot, shared);
    float inverse = div_rn(1, below ? eps : length);
    row_elements<W>(n, vectors, [&]<int V>(int c) {
        Floats<V> d = load<V>(dy + c);
        if (!below) d = d - load<V>(y + c) * dot;
        give(dx + c, d * inverse, add);
    });
}

KERNEL(l2normalize_forward_f32, 1024)(float *y, float *norm, const float *x, float eps, int n) { forward(y, norm, x, eps, n); }
KERNEL(l2normalize_forward_bf16, 1024)(bf16 *y, float *norm, const bf16 *x, float eps, int n) { forward(y, norm, x, eps, n); }
KERNEL(l2normalize_backward_f32, 1024)(float *dx, const float *dy, const float *y, const float *norm, float eps, int n, int add) {
    backward(dx, dy, y, norm, eps, n, add);
}
KERNEL(l2normalize_backward_bf16, 1024)(bf16 *dx, const bf16 *dy, const bf16 *y, const float *norm, float eps, int n, int add) {
    backward(dx, dy, y, norm, eps, n, add);
}
