// Cross-entropy of logits with a class of each row, which has 1 − smoothing of the target, every class smoothing/n more (Szegedy et al. 2016). A block a row. Forward
// one read and one write an element, backward the same, with add one read more.
#include "softmax.cuh"

// logp = logits − log Σ exp(logits), which may be logits itself; loss = −Σ target·logp.
template <class T> INLINE void forward(float *loss, T *logp, const T *logits, const int *labels, float smoothing, int n) {
    __shared__ float shared[32];
    logp += (i64)blockIdx_x * n, logits += (i64)blockIdx_x * n;
    bool vectors = aligned(logp, logits);
    int label = labels[blockIdx_x];
    RowSoftmax s = row_softmax(logits, n, vectors, shared);
    float lse = s.largest + ln2 * log2_approx(s.sum), of_label = 0, all = 0;
    row_elements<whole<T>>(n, vectors, [&]<int W>(int c) {
        Floats<W> v = load<W>(logits + c) - lse;
        all += total(v);
#pragma unroll
        for (int j = 0; j < W; j++)
            if (c + j == label) of_label = v.x[j];
        store(logp + c, v);
    });
    of_label = block_sum(of_label, shared), all = block_sum(all, shared);
    if (threadIdx_x == 0) {
        float l = -(1 - smoothing) * of_label;
        if (smoothing > 0) l -= div_rn(smoothing, n) * all; // else 0·−∞ of a class that is out of reach would make it NaN
        loss[blockIdx_x] = l;
    }
}

// dlogits = weight·dloss·(exp(logp) − target), or += with add; dloss null is 1.
template <class T> INLINE void backward(T *dlogits, const T *logp, const int *labels, float smoothing, float weight, const float *dloss, int n, bool add) {
    dlogits += (i64)blockIdx_x * n, logp += (i64)blockIdx_x * n;
    int label = labels[blockIdx_x];
    float rest = div_rn(smoothing, n);
    if (dloss) weight *= *dloss;
    row_elements<whole<T>>(n, aligned(dlogits, logp), [&]<int W>(int c) {
        Floats<W> v = load<W>(logp + c);
        give(dlogits + c, each<W>([&](int j) { return weight * (exp_approx(v.x[j]) - (c + j == label ? rest + (1 - smoothing) : rest)); }), add);
    });
}

#define KERNELS(T, type)                                                                                                                                       \
    KERNEL(crossentropy_forward_##type, 1024)(float *loss, T *logp, const T *logits, const int *labels, float smoothing, int n) {                              \
        forward(loss, logp, logits, labels, smoothing, n);                                                                                                     \
    }                                                                                                                                                          \
    KERNEL(crossentropy_backward_##type, 1024)                                                                                                                 \
    (T *dlogits, const T *logp, const int *labels, float smoothing, float weight, const float *dloss, int n, int add) {                                        \
        backward(dlogits, logp, labels, smoothing, weight, dloss, n, add);                                                                                     \
    }
KERNELS(float, f32)
KERNELS(bf16, bf16)
