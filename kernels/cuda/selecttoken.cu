// One token, of d elements, of every image: y[b] = x[b, index], x of count images with n elements; at = index·d. Its way back is dx[b, index] = dy[b] with
// zeros for the other tokens, or += with add. One read and one write an element of y; backward one write an element of dx.
#include "elements.cuh"

template <class T> INLINE void forward(T *y, const T *x, int count, i64 n, i64 at, int d) {
    constexpr int W = whole<T>;
    bool vectors = d % W == 0 && n % W == 0 && aligned(y, x);
    items<W>(count, d, vectors, [&]<int V>(int b, i64 i) { store(y + (i64)b * d + i, load<V>(x + b * n + at + i)); });
}
template <class T> INLINE void backward(T *dx, const T *dy, int count, i64 n, i64 at, int d, bool add) {
    constexpr int W = whole<T>;
    bool vectors = d % W == 0 && n % W == 0 && aligned(dx, dy);
    i64 from = add ? at : 0; // with add the others stay as they are
    items<W>(count, add ? d : n, vectors, [&]<int V>(int b, i64 i) {
        i += from;
        T *to = dx + b * n + i;
        if (i >= at && i < at + d)
            give(to, load<V>(dy + (i64)b * d + i - at), add);
        else
            store(to, splat<V>(0));
    });
}

#define KERNELS(T, type)                                                                                                                                       \
    KERNEL(selecttoken_forward_##type, 256)(T *y, const T *x, int count, i64 n, i64 at, int d) { forward(y, x, count, n, at, d); }                             \
    KERNEL(selecttoken_backward_##type, 256)(T *dx, const T *dy, int count, i64 n, i64 at, int d, int add) { backward(dx, dy, count, n, at, d, add); }
KERNELS(float, f32)
KERNELS(bf16, bf16)
