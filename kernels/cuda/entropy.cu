// h[r] = −Σ p·ln p of row r, over p > 0: p·ln p goes to 0 with p. A block a row. One read and some ten operations an element.
#include "rows.cuh"

template <class T> INLINE void entropy(float *h, const T *p, int n) {
    __shared__ float shared[32];
    p += (i64)blockIdx_x * n;
    float sum = 0;
    row_elements<whole<T>>(n, aligned(p), [&]<int W>(int c) {
        Floats<W> v = load<W>(p + c);
        sum += total(each<W>([&](int j) { return v.x[j] > 0 ? v.x[j] * log2_approx(v.x[j]) : 0.0f; }));
    });
    sum = block_sum(sum, shared);
    if (threadIdx_x == 0) h[blockIdx_x] = -ln2 * sum;
}

KERNEL(entropy_f32, 1024)(float *h, const float *p, int n) { entropy(h, p, n); }
KERNEL(entropy_bf16, 1024)(float *h, const bf16 *p, int n) { entropy(h, p, n); }
