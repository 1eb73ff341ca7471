// Softmax and log-softmax over rows of n columns, of any number, and their backwards: a block a row, which reads it twice, the second time out of the caches.
// Forward one read and one write an element; backward two reads and one write, and with add one read more.
#include "softmax.cuh"

// y = exp(x) / Σ exp(x).
template <class T> INLINE void softmax(T *y, const T *x, int n) {
    __shared__ float shared[32];
    y += (i64)blockIdx_x * n, x += (i64)blockIdx_x * n;
    bool vectors = aligned(y, x);
    RowSoftmax s = row_softmax(x, n, vectors, shared);
    float inverse = div_rn(1, s.sum);
    row_elements<whole<T>>(n, vectors, [&]<int W>(int c) {
        Floats<W> v = load<W>(x + c) - s.largest;
        store(y + c, each<W>([&](int j) { return exp_approx(v.x[j]); }) * inverse);
    });
}

// y = x − log Σ exp(x).
template <class T> INLINE void logsoftmax(T *y, const T *x, int n) {
    __shared__ float shared[32];
    y += (i64)blockIdx_x * n, x += (i64)blockIdx_x * n;
    bool vectors = aligned(y, x);
    RowSoftmax s = row_softmax(x, n, vectors, shared);
    float lse = s.largest + ln2 * log2_approx(s.sum);
    row_elements<whole<T>>(n, vectors, [&]<int W>(int c) { store(y + c, load<W>(x + c) - lse); });
}

// dx = y·(dy − Σ dy·y), or += with add.
template <class T> INLINE void softmax_backward(T *dx, const T *dy, const T *y, int n, bool add) {
    __shared__ float shared[32];
    dx += (i64)blockIdx_x * n, dy += (i64)blockIdx_x * n, y += (i64)blockIdx_x * n;
    bool vectors = aligned(dx, dy, y);
    float dot = 0;
    row_elements<whole<T>>(n, vectors, [&]<int W>(int c) { dot += total(load<W>(dy + c) * load<W>(y + c)); });
    dot = block_sum(dot, shared);
    row_elements<whole<T>>(n, vectors, [&]<int W>(int c) { give(dx + c, load<W>(y + c) * (load<W>(dy + c) - dot), add); });
}

// dx = dy − exp(y)·Σ dy, or += with add.
template <class T> INLINE void logsoftmax_backward(T *dx, const T *dy, const T *y, int n, bool add) {
    __shared__ float shared[32];
    dx += (i64)blockIdx_x * n, dy += (i64)blockIdx_x * n, y += (i64)blockIdx_x * n;
    bool vectors = aligned(dx, dy, y);
    float sum = 0;
    row_elements<whole<T>>(n, vectors, [&]<int W>(int c) { sum += total(load<W>(dy + c)); });
    sum = block_sum(sum, shared);
    row_elements<whole<T>>(n, vectors, [&]<int W>(int c) {
        Floats<W> v = load<W>(y + c);
        give(dx + c, load<W>(dy + c) - each<W>([&](int j) { return exp_approx(v.x[j]); }) * sum, add);
    });
}

#define KERNELS(T, type)                                                                                                                                       \
    KERNEL(softmax_forward_##type, 1024)(T *y, const T *x, int n) { softmax(y, x, n); }                                                                        \
    KERNEL(softmax_backward_##type, 1024)(T *dx, const T *dy, const T *y, int n, int add) { softmax_backward(dx, dy, y, n, add); }                             \
    KERNEL(logsoftmax_forward_##type, 1024)(T *y, const T *x, int n) { logsoftmax(y, x, n); }                                                                  \
    KERNEL(logsoftmax_backward_##type, 1024)(T *dx, const T *dy, const T *y, int n, int add) { logsoftmax_backward(dx, dy, y, n, add); }
KERNELS(float, f32)
KERNELS(bf16, bf16)
