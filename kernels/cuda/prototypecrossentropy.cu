// The cross-entropy of rows of logits with soft targets, for targets (T, n), logits (R, n) and a list of targets for every row: row r is compared with the
// targets index[start[r]] … index[start[r+1]−1].
#include "eights.cuh"

// sums[i] = Σ target[i]. A block a row.
template <class T> INLINE void targets(float *sums, const T *target, int n) {
    __shared__ float s[32];
    target += (i64)blockIdx_x * n;
    bool vector = eights(n, (u64)target);
    float sum = 0;
    for (int i = 8 * threadIdx_x; i < n; i += 8 * blockDim_x) {
        float t[8];
        take8(t, target + i, n - i, vector, 0);
        sum += ((t[0] + t[1]) + (t[2] + t[3])) + ((t[4] + t[5]) + (t[6] + t[7]));
    }
    sum = block_sum(sum, s);
    if (threadIdx_x == 0) sums[blockIdx_x] = sum;
}

// With y = scale·logits[r]: lse[r] = ln Σ exp y and loss[r] = Σ_i sums[i]·lse[r] − Σ_i Σ target[i]·y over the row's targets. A block a row. Bytes: the logits
// once; a target once for every row that has it, out of the second-level cache. DINO's step of 64 images with ten crops, 640 rows of 65,536 in bf16: 84 MB of
// logits and 1,152 rows of targets, 151 MB: 50 µs.
template <class X, class T>
INLINE void forward(float *loss, float *lse, const X *logits, const T *target, const float *sums, const int *start, const int *index, int n, float scale) {
    __shared__ float4 parts[32];
    int r = blockIdx_x, from = start[r], to = start[r + 1];
    logits += (i64)r * n;
    bool vector = eights(n, (u64)logits | (u64)target);
    float k = scale * log2e, dot = 0;
    Softmax s = none();
    for (int i = 8 * threadIdx_x; i < n; i += 8 * blockDim_x) {
        float y[8];
        take8(y, logits + i, n - i, vector, -as_float(0x7f800000));
#pragma unroll 1
        for (int q = from; q < to; q++) {
            float t[8];
            take8(t, target + (i64)index[q] * n + i, n - i, vector, 0);
            float a = 0;
#pragma unroll
            for (int j = 0; j < 8; j++)
                if (vector || j < n - i) a += t[j] * y[j];
            dot += a;
        }
#pragma unroll
        for (int j = 0; j < 8; j++) y[j] *= k;
        s.raise(max8(y));
#pragma unroll
        for (int j = 0; j < 8; j++) s.add(y[j]);
    }
#pragma unroll
    for (int o = 16; o > 0; o >>= 1) s.merge(Softmax{shuffle_xor(s.largest, o), shuffle_xor(s.sum, o), 0});
    dot = warp_sum(dot);
    if ((threadIdx_x & 31) == 0) parts[threadIdx_x >> 5] = (float4){s.largest, s.sum, dot, 0};
    __syncthreads();
    if (threadIdx_x > 0) return;
    for (int w = 1; w < blockDim_x >> 5; w++) {
        float4 p = parts[w];
        s.merge(Softmax{p.x, p.y, 0});
        dot += p.z;
    }
    float l = ln2 * (s.largest + log2_approx(s.sum)), sum = 0;
    for (int q = from; q < to; q++) sum += sums[index[q]];
    lse[r] = l;
    loss[r] = to > from ? sum * l - scale * dot : 0;
}

// dlogits[r] = weight·dloss·scale·(Σ_i sums[i]·exp(scale·logits[r] − lse[r]) − Σ_i target[i]), the gradient of weight·dloss·Σ loss. dlogits may be logits;
// dloss may be null, 1. A block 2,048 columns of a row. Bytes: logits read and written once, targets as above; the same step: 168 MB and 151 MB, 70 µs.
template <class X, class T>
INLINE void backward(X *dlogits, const X *logits, const T *target, const float *lse, const float *sums, const int *start, const int *index, const float *dloss, int n,
                     float scale, float weight) {
    int r = blockIdx_y, from = start[r], to = start[r + 1], i = 8 * (blockIdx_x * blockDim_x + threadIdx_x);
    if (i >= n) return;
    logits += (i64)r * n;
    dlogits += (i64)r * n;
    bool vector = eights(n, (u64)logits | (u64)dlogits | (u64)target);
    float sum = 0, w = weight * scale * (dloss ? *dloss : 1), k = scale * log2e, l = lse[r] * log2e, d[8];
    for (int q = from; q < to; q++) sum += sums[index[q]];
    take8(d, logits + i, n - i, vector, 0);
#pragma unroll
    for (int j = 0; j < 8; j++) d[j] = sum * exp2_approx(k * d[j] - l);
    for (int q = from; q < to; q++) {
        float t[8];
        take8(t, target + (i64)index[q] * n + i, n - i, vector, 0);
#pragma unroll
        for (int j = 0; j < 8; j++) d[j] -= t[j];
    }
#pragma unroll
    for (int j = 0; j < 8; j++) d[j] = to > from ? d[j] * w : 0;
    put8(dlogits + i, d, n - i, vector);
}

#define TARGETS(suffix, T)                                                                                                                             \
    KERNEL(prototypecrossentropy_targets_##suffix, 1024)(float *sums, const T *target, int n) { targets(sums, target, n); }
TARGETS(f32, float)
TARGETS(bf16, bf16)

// X of the logits, T of the targets.
#define CROSSENTROPY(suffix, X, T)                                                                                                                     \
    KERNEL(prototypecrossentropy_forward_##suffix, 256)(float *loss, float *lse, const X *logits, const T *target, const float *sums,                  \
                                                        const int *start, const int *index, int n, float scale) {                                      \
        forward(loss, lse, logits, target, sums, start, index, n, scale);                                                                              \
    }                                                                                                                                                  \
    KERNEL(prototypecrossentropy_backward_##suffix, 256)(X * dlogits, const X *logits, const T *target, const float *lse, const float *sums,           \
                                                         const int *start, const int *index, const float *dloss, int n, float scale, float weight) {   \
        backward(dlogits, logits, target, lse, sums, start, index, dloss, n, scale, weight);                                                           \
    }
CROSSENTROPY(f32_f32, float, float)
CROSSENTROPY(bf16_bf16, bf16, bf16)
CROSSENTROPY(bf16_f32, bf16, float)
