// y[b] = x[b] + scale[b]·branch[b], n elements an item b, such as an image; scale null is 1 throughout. A branch that is scaled by 0 is not read: drop path. Two
// reads and one write an element.
#include "elements.cuh"

template <class T> INLINE void residual(T *y, const T *x, const T *branch, const float *scale, int count, i64 n) {
    constexpr int W = whole<T>;
    bool vectors = n % W == 0 && aligned(y, x, branch);
    items<W>(count, n, vectors, [&]<int V>(int b, i64 i) {
        float a = scale ? scale[b] : 1;
        i += b * n;
        Floats<V> v = load<V>(x + i);
        if (a != 0) v += load<V>(branch + i) * a;
        store(y + i, v);
    });
}

KERNEL(residual_f32, 256)(float *y, const float *x, const float *branch, const float *scale, int count, i64 n) { residual(y, x, branch, scale, count, n); }
KERNEL(residual_bf16, 256)(bf16 *y, const bf16 *x, const bf16 *branch, const float *scale, int count, i64 n) { residual(y, x, branch, scale, count, n); }
