// y[b] = x[b], and y[samples[i]] = x[samples[i]] + scale·branch[i], n elements a sample; x null is zeros. samples are in ascending order. One read and one write an
// element, and a read of branch.
#include "elements.cuh"

template <class T>
INLINE void residualsamples(T *y, const T *x, const T *branch, const int *samples, int count, int all, i64 n, float scale) {
    constexpr int W = whole<T>;
    bool vectors = n % W == 0 && aligned(y, x, branch);
    for (int b = blockIdx_y; b < all; b += gridDim_y) {
        int i = 0;
        for (int end = count; i < end;) { // the first sample that is not below b
            int middle = (i + end) >> 1;
            if (samples[middle] < b)
                i = middle + 1;
            else
                end = middle;
        }
        bool taken = i < count && samples[i] == b;
        elements<W>(n, vectors, [&]<int V>(i64 e) {
            Floats<V> v = x ? load<V>(x + b * n + e) : splat<V>(0);
            if (taken) v += load<V>(branch + i * n + e) * scale;
            store(y + b * n + e, v);
        });
    }
}

KERNEL(residualsamples_f32, 256)(float *y, const float *x, const float *branch, const int *samples, int count, int all, i64 n, float scale) {
    residualsamples(y, x, branch, samples, count, all, n, scale);
}
KERNEL(residualsamples_bf16, 256)(bf16 *y, const bf16 *x, const bf16 *branch, const int *samples, int count, int all, i64 n, float scale) {
    residualsamples(y, x, branch, samples, count, all, n, scale);
}
