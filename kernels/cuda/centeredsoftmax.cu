// What DINO's teacher says: the softmax of scale·(x − center) over rows of n columns, and what is asked of it in the same pass.
#include "eights.cuh"

// A row's softmax under way, with the first column of its largest element.
struct Row {
    Softmax s;
    int at;

    __device__ __forceinline__ void merge(Row o) {
        at = o.s.largest > s.largest ? o.at : o.s.largest == s.largest ? imin(at, o.at) : at;
        s.merge(o.s);
    }
};

// A row's softmax under way as it goes from thread to thread.
INLINE float4 put(Row r) { return (float4){r.s.largest, r.s.sum, r.s.moment, as_float((u32)r.at)}; }
INLINE Row take(float4 v) { return Row{{v.x, v.y, v.z}, (int)as_bits(v.w)}; }

INLINE float4 shuffle(float4 v, int mask) {
    return (float4){shuffle_xor(v.x, mask), shuffle_xor(v.y, mask), shuffle_xor(v.z, mask), shuffle_xor(v.w, mask)};
}

// y[j] = scale·(x[j] − center[j]) for eight columns.
template <class T> INLINE void logits(float (&y)[8], const T *x, const float *center, int n, bool vector, float scale) {
    float c[8];
    take8(y, x, n, vector, -as_float(0x7f800000));
    take8(c, center, n, vector, 0);
#pragma unroll
    for (int j = 0; j < 8; j++) y[j] = (y[j] - c[j]) * scale;
}

// A block a row, which it reads twice (the second time out of the second-level cache, mostly): for the largest element and the sum, at one go, and for the
// result. entropy[r] = −Σ y·ln y, index[r] is the column of the largest element, and used[index[r]] becomes 1, each unless null. Bytes an element of bf16: 2
// read, 2 written. 128 × 65,536: 34 MB, 8 µs.
template <class T> INLINE void forward(T *y, const T *x, const float *center, const float *scale, float *entropy, int *index, float *used, int n) {
    __shared__ float4 rows[32];
    i64 at = (i64)blockIdx_x * n;
    x += at;
    y += at;
    bool vector = eights(n, (u64)x | (u64)y | (u64)center);
    float k = *scale * log2e;
    int step = 8 * blockDim_x;
    Row row = {none(), 0x7fffffff};
    for (int i = 8 * threadIdx_x; i < n; i += step) {
        float v[8];
        logits(v, x + i, center + i, n - i, vector, k);
        float m = max8(v);
        if (m > row.s.largest) {
            row.s.raise(m);
#pragma unroll
            for (int j = 7; j >= 0; j--)
                if (v[j] == m) row.at = i + j;
        }
#pragma unroll
        for (int j = 0; j < 8; j++) row.s.add(v[j]);
    }
#pragma unroll
    for (int o = 16; o > 0; o >>= 1) row.merge(take(shuffle(put(row), o)));
    if ((threadIdx_x & 31) == 0) rows[threadIdx_x >> 5] = put(row);
    __syncthreads();
    row = take(rows[0]);
    for (int w = 1; w < blockDim_x >> 5; w++) row.merge(take(rows[w]));
    if (threadIdx_x == 0) {
        int first = row.at < n ? row.at : 0;
        if (entropy) entropy[blockIdx_x] = ln2 * (log2_approx(row.s.sum) - div_rn(row.s.moment, row.s.sum));
        if (index) index[blockIdx_x] = first;
        if (used) asm volatile("red.or.b32 [%0], 0x3f800000;" ::"l"(used + first) : "memory"); // 1, if it was 0 or 1; several rows may have the same
    }
    float inv = div_rn(1.f, row.s.sum);
    for (int i = 8 * threadIdx_x; i < n; i += step) {
        float v[8];
        logits(v, x + i, center + i, n - i, vector, k);
#pragma unroll
        for (int j = 0; j < 8; j++) v[j] = exp2_approx(v[j] - row.s.largest) * inv;
        put8(y + i, v, n - i, vector);
    }
}

#define FORWARD(name, T)                                                                                                                               \
    KERNEL(name, 1024)(T * y, const T *x, const float *center, const float *scale, float *entropy, int *index, float *used, int n) {                    \
        forward(y, x, center, scale, entropy, index, used, n);                                                                                         \
    }
FORWARD(centeredsoftmax_forward_f32, float)
FORWARD(centeredsoftmax_forward_bf16, bf16)
