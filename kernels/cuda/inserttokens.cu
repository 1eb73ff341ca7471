// The same tokens in every image, before its token at: x of count images with n elements; at, and the gap between, in elements. tokens is float32. One read
// and one write an element.
#include "elements.cuh"

template <class T> INLINE void inserttokens(T *y, const T *x, const float *tokens, int count, i64 n, i64 at, i64 gap) {
    constexpr int W = whole<T>;
    bool vectors = n % W == 0 && at % W == 0 && gap % W == 0 && aligned(y, x, tokens);
    items<W>(count, n + gap, vectors, [&]<int V>(int b, i64 i) {
        Floats<V> v;
        if (i >= at && i < at + gap)
            v = load<V>(tokens + i - at);
        else
            v = load<V>(x + b * n + (i < at ? i : i - gap));
        store(y + b * (n + gap) + i, v);
    });
}

KERNEL(inserttokens_f32, 256)(float *y, const float *x, const float *tokens, int count, i64 n, i64 at, i64 gap) { inserttokens(y, x, tokens, count, n, at, gap); }
KERNEL(inserttokens_bf16, 256)(bf16 *y, const bf16 *x, const float *tokens, int count, i64 n, i64 at, i64 gap) { inserttokens(y, x, tokens, count, n, at, gap); }
