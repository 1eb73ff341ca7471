// y = GELU(x), and dx = dy·GELU'(x), or += with add. Forward one read and one write an element, 15 to 30 operations; backward one read more, and another with
// add.
#include "elements.cuh"
#include "gelu.cuh"

template <class T> INLINE void forward(T *y, const T *x, i64 n) {
    elements<whole<T>>(n, aligned(y, x), [&]<int W>(i64 i) {
        Floats<W> v = load<W>(x + i);
        store(y + i, each<W>([&](int j) { return gelu<T>(v.x[j]); }));
    });
}
template <class T> INLINE void backward(T *dx, const T *dy, const T *x, i64 n, bool add) {
    elements<whole<T>>(n, aligned(dx, dy, x), [&]<int W>(i64 i) {
        Floats<W> v = load<W>(x + i);
        give(dx + i, load<W>(dy + i) * each<W>([&](int j) { return gelu_derivative<T>(v.x[j]); }), add);
    });
}

KERNEL(gelu_forward_f32, 256)(float *y, const float *x, i64 n) { forward(y, x, n); }
KERNEL(gelu_forward_bf16, 256)(bf16 *y, const bf16 *x, i64 n) { forward(y, x, n); }
KERNEL(gelu_backward_f32, 256)(float *dx, const float *dy, const float *x, i64 n, int add) { backward(dx, dy, x, n, add); }
KERNEL(gelu_backward_bf16, 256)(bf16 *dx, const bf16 *dy, const bf16 *x, i64 n, int add) { backward(dx, dy, x, n, add); }
