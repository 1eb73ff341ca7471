// y[b] = scale[b]·x[b], or += with add, n elements an item b; scale null is 1 throughout. What is scaled by 0 is not read, and with add not written. One read
// and one write an element, two reads with add.
#include "elements.cuh"

template <class T> INLINE void scalerows(T *y, const T *x, const float *scale, int count, i64 n, bool add) {
    constexpr int W = whole<T>;
    bool vectors = n % W == 0 && aligned(y, x);
    items<W>(count, n, vectors, [&]<int V>(int b, i64 i) {
        float a = scale ? scale[b] : 1;
        i += b * n;
        if (a == 0) {
            if (!add) store(y + i, splat<V>(0));
        } else {
            give(y + i, load<V>(x + i) * a, add);
        }
    });
}

KERNEL(scalerows_f32, 256)(float *y, const float *x, const float *scale, int count, i64 n, int add) { scalerows(y, x, scale, count, n, add); }
KERNEL(scalerows_bf16, 256)(bf16 *y, const bf16 *x, const float *scale, int count, i64 n, int add) { scalerows(y, x, scale, count, n, add); }
