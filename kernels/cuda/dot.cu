// Sums over all elements: every block its own to partial, in an order that the grid decides, and one block those sums to the result. One read an element and
// array.
#include "rows.cuh"

template <class T, class F> INLINE void sum_elements(float *partial, i64 n, bool vectors, F f) {
    __shared__ float shared[32];
    float sum = 0;
    elements<whole<T>>(n, vectors, [&]<int W>(i64 i) { sum += total(f.template operator()<W>(i)); });
    sum = block_sum(sum, shared);
    if (threadIdx_x == 0) partial[blockIdx_x] = sum;
}

// Σ x[i]·y[i]; Σ x[i]; Σ x[i]².
template <class T> INLINE void dot(float *partial, const T *x, const T *y, i64 n) {
    sum_elements<T>(partial, n, aligned(x, y), [&]<int W>(i64 i) { return load<W>(x + i) * load<W>(y + i); });
}
template <class T> INLINE void sum(float *partial, const T *x, i64 n) {
    sum_elements<T>(partial, n, aligned(x), [&]<int W>(i64 i) { return load<W>(x + i); });
}
template <class T> INLINE void sumsquares(float *partial, const T *x, i64 n) {
    sum_elements<T>(partial, n, aligned(x), [&]<int W>(i64 i) {
        Floats<W> v = load<W>(x + i);
        return v * v;
    });
}

KERNEL(dot_f32, 256)(float *partial, const float *x, const float *y, i64 n) { dot(partial, x, y, n); }
KERNEL(dot_bf16, 256)(float *partial, const bf16 *x, const bf16 *y, i64 n) { dot(partial, x, y, n); }
KERNEL(sum_f32, 256)(float *partial, const float *x, i64 n) { sum(partial, x, n); }
KERNEL(sum_bf16, 256)(float *partial, const bf16 *x, i64 n) { sum(partial, x, n); }
KERNEL(sumsquares_f32, 256)(float *partial, const float *x, i64 n) { sumsquares(partial, x, n); }
KERNEL(sumsquares_bf16, 256)(float *partial, const bf16 *x, i64 n) { sumsquares(partial, x, n); }

// y = a·Σ partial[i].
KERNEL(dot_end, 256)(float *y, const float *partial, float a, int n) {
    __shared__ float shared[32];
    float sum = 0;
    row_elements<4>(n, aligned(partial), [&]<int W>(int i) { sum += total(load<W>(partial + i)); });
    sum = block_sum(sum, shared);
    if (threadIdx_x == 0) *y = a * sum;
}
