// y[i] = scale·x[samples[i]], or += with add, n elements a sample: the samples that take a residual branch. One read and one write an element, with add one read
// more.
#include "elements.cuh"

template <class T> INLINE void selectsamples(T *y, const T *x, const int *samples, int count, i64 n, float scale, bool add) {
    constexpr int W = whole<T>;
    bool vectors = n % W == 0 && aligned(y, x);
    items<W>(count, n, vectors, [&]<int V>(int i, i64 e) { give(y + i * n + e, load<V>(x + samples[i] * n + e) * scale, add); });
}

KERNEL(selectsamples_f32, 256)(float *y, const float *x, const int *samples, int count, i64 n, float scale, int add) {
    selectsamples(y, x, samples, count, n, scale, add);
}
KERNEL(selectsamples_bf16, 256)(bf16 *y, const bf16 *x, const int *samples, int count, i64 n, float scale, int add) {
    selectsamples(y, x, samples, count, n, scale, add);
}
