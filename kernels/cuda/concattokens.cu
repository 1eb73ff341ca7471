// y[b, 0] = cls + pos[0]; y[b, 1+i] = patches[b, i] + pos[1+i], of count images with n elements of patches, d a token; cls and pos are float32. One read and one
// write an element, pos out of the caches.
#include "elements.cuh"

template <class T> INLINE void concattokens(T *y, const float *cls, const T *patches, const float *pos, int count, i64 n, int d) {
    constexpr int W = whole<T>;
    bool vectors = d % W == 0 && aligned(y, cls, patches, pos);
    items<W>(count, n + d, vectors, [&]<int V>(int b, i64 i) {
        Floats<V> token = i < d ? load<V>(cls + i) : load<V>(patches + b * n + i - d);
        store(y + b * (n + d) + i, token + load<V>(pos + i));
    });
}

KERNEL(concattokens_f32, 256)(float *y, const float *cls, const float *patches, const float *pos, int count, i64 n, int d) {
    concattokens(y, cls, patches, pos, count, n, d);
}
KERNEL(concattokens_bf16, 256)(bf16 *y, const float *cls, const bf16 *patches, const float *pos, int count, i64 n, int d) {
    concattokens(y, cls, patches, pos, count, n, d);
}
