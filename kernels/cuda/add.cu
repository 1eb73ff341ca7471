// Sums and products of elements: one thread 16 bytes at a time. Add reads two arrays and writes one, the others read and write y and read x: three passes, two
// of scale; one or two operations an element.
#include "elements.cuh"

// y[i] = a[i] + b[i].
template <class T> INLINE void add(T *y, const T *a, const T *b, i64 n) {
    elements<whole<T>>(n, aligned(y, a, b), [&]<int W>(i64 i) { store(y + i, load<W>(a + i) + load<W>(b + i)); });
}
// y[i] += a·x[i].
template <class T> INLINE void addscaled(T *y, const T *x, float a, i64 n) {
    elements<whole<T>>(n, aligned(y, x), [&]<int W>(i64 i) { store(y + i, load<W>(y + i) + load<W>(x + i) * a); });
}
// y[i] *= x[i].
template <class T> INLINE void mul(T *y, const T *x, i64 n) {
    elements<whole<T>>(n, aligned(y, x), [&]<int W>(i64 i) { store(y + i, load<W>(y + i) * load<W>(x + i)); });
}
// x[i] *= a.
template <class T> INLINE void scale(T *x, float a, i64 n) {
    elements<whole<T>>(n, aligned(x), [&]<int W>(i64 i) { store(x + i, load<W>(x + i) * a); });
}

KERNEL(add_f32, 256)(float *y, const float *a, const float *b, i64 n) { add(y, a, b, n); }
KERNEL(add_bf16, 256)(bf16 *y, const bf16 *a, const bf16 *b, i64 n) { add(y, a, b, n); }
KERNEL(addscaled_f32, 256)(float *y, const float *x, float a, i64 n) { addscaled(y, x, a, n); }
KERNEL(addscaled_bf16, 256)(bf16 *y, const bf16 *x, float a, i64 n) { addscaled(y, x, a, n); }
KERNEL(mul_f32, 256)(float *y, const float *x, i64 n) { mul(y, x, n); }
KERNEL(mul_bf16, 256)(bf16 *y, const bf16 *x, i64 n) { mul(y, x, n); }
KERNEL(scale_f32, 256)(float *x, float a, i64 n) { scale(x, a, n); }
KERNEL(scale_bf16, 256)(bf16 *x, float a, i64 n) { scale(x, a, n); }
