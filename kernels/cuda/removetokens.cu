// All tokens of images but some, and the way back; y of count images with n elements, x with gap more, from at on. One read and one write an element; one
// read more with add.
#include "elements.cuh"

// y = x without the gap, or += with add.
template <class T> INLINE void forward(T *y, const T *x, int count, i64 n, i64 at, i64 gap, bool add) {
    constexpr int W = whole<T>;
    bool vectors = n % W == 0 && at % W == 0 && gap % W == 0 && aligned(y, x);
    items<W>(count, n, vectors, [&]<int V>(int b, i64 i) { give(y + b * n + i, load<V>(x + b * (n + gap) + (i < at ? i : i + gap)), add); });
}

// dx = dy with zeros in the gap, or += with add, which leaves the gap alone.
template <class T> INLINE void backward(T *dx, const T *dy, int count, i64 n, i64 at, i64 gap, bool add) {
    constexpr int W = whole<T>;
    bool vectors = n % W == 0 && at % W == 0 && gap % W == 0 && aligned(dx, dy);
    items<W>(count, n + gap, vectors, [&]<int V>(int b, i64 i) {
        T *to = dx + b * (n + gap) + i;
        if (i < at || i >= at + gap)
            give(to, load<V>(dy + b * n + (i < at ? i : i - gap)), add);
        else if (!add)
            store(to, splat<V>(0));
    });
}

#define KERNELS(T, type)                                                                                                                                       \
    KERNEL(removetokens_forward_##type, 256)(T *y, const T *x, int count, i64 n, i64 at, i64 gap, int add) { forward(y, x, count, n, at, gap, add); }          \
    KERNEL(removetokens_backward_##type, 256)(T *dx, const T *dy, int count, i64 n, i64 at, i64 gap, int add) { backward(dx, dy, count, n, at, gap, add); }
KERNELS(float, f32)
KERNELS(bf16, bf16)
