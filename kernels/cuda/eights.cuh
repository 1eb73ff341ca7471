// Rows of logits, eight elements at a time: 16 bytes of bf16.
#pragma once
#include "common.cuh"

INLINE void load8(float (&x)[8], const float *p) {
    float4 a = load4(p), b = load4(p + 4);
#pragma unroll
    for (int j = 0; j < 4; j++) x[j] = a[j], x[j + 4] = b[j];
}
INLINE void load8(float (&x)[8], const bf16 *p) {
    uint4 v = *(const uint4 *)p;
#pragma unroll
    for (int j = 0; j < 4; j++) x[2 * j] = lower(v[j]), x[2 * j + 1] = upper(v[j]);
}
INLINE void store8(float *p, const float (&x)[8]) {
    store4(p, (float4){x[0], x[1], x[2], x[3]});
    store4(p + 4, (float4){x[4], x[5], x[6], x[7]});
}
INLINE void store8(bf16 *p, const float (&x)[8]) { *(uint4 *)p = (uint4){pack(x[0], x[1]), pack(x[2], x[3]), pack(x[4], x[5]), pack(x[6], x[7])}; }

// The first n of eight elements, or all at once; the rest is filled up. vector says that all rows are aligned to 16 bytes and n is a multiple of 8.
template <class T> INLINE void take8(float (&x)[8], const T *p, int n, bool vector, float fill) {
    if (vector) return load8(x, p);
#pragma unroll
    for (int j = 0; j < 8; j++) x[j] = j < n ? load(p + j) : fill;
}
template <class T> INLINE void put8(T *p, const float (&x)[8], int n, bool vector) {
    if (vector) return store8(p, x);
#pragma unroll
    for (int j = 0; j < 8; j++)
        if (j < n) store(p + j, x[j]);
}

INLINE bool eights(int n, u64 addresses) { return (n & 7) == 0 && (addresses & 15) == 0; }

// A softmax under way, of y in units of log 2: the largest y, Σ 2^(y − largest), and Σ 2^(y − largest)·(y − largest).
struct Softmax {
    float largest, sum, moment;

    // Makes the largest at least m.
    __device__ __forceinline__ void raise(float m) {
        if (!(m > largest)) return;
        float f = exp2_approx(largest - m);
        moment = f * (moment + sum * (largest - m));
        sum *= f;
        largest = m;
    }
    __device__ __forceinline__ void add(float y) {
        float d = y - largest, e = exp2_approx(d);
        sum += e;
        moment += e * fmax(d, -1e4f); // −Inf times 0 is 0 here
    }
    __device__ __forceinline__ void merge(Softmax o) {
        raise(o.largest);
        float f = exp2_approx(o.largest - largest);
        moment += f * (o.moment + o.sum * (o.largest - largest));
        sum += f * o.sum;
    }
};

// That of no elements. The largest is the least finite number, so that differences to it are numbers.
INLINE Softmax none() { return Softmax{-3.40282347e38f, 0, 0}; }

INLINE float max8(const float (&x)[8]) { return fmax(fmax(fmax(x[0], x[1]), fmax(x[2], x[3])), fmax(fmax(x[4], x[5]), fmax(x[6], x[7]))); }
