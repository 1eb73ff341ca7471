// What the kernels that go through all parameters in one launch share: see Parameters in parameters.go. A block takes a chunk of one parameter, a thread four
// elements at a time.
#pragma once
#include "common.cuh"

// The arrays of one parameter; those that it does not have are null.
struct Parameter {
    int n;      // elements
    int chunks; // before its first
    float *p, *m, *v, *g, *t;
    bf16 *p16, *t16;
};

const int chunk_size = 4096;

// Says whether four elements at a time may be loaded: m, v and g only where they take part.
INLINE bool aligned(const Parameter &q, bool moments) {
    u64 a = (u64)q.p | (u64)q.t | (u64)q.p16 << 1 | (u64)q.t16 << 1;
    if (moments) a |= (u64)q.m | (u64)q.v | (u64)q.g;
    return (a & 15) == 0;
}

// The first n of four elements, or all at once.
INLINE float4 quad(const float *p, int n, bool vector) {
    if (vector && n >= 4) return load4(p);
    float4 x = {0, 0, 0, 0};
    x.x = p[0];
    if (n > 1) x.y = p[1];
    if (n > 2) x.z = p[2];
    if (n > 3) x.w = p[3];
    return x;
}
template <class T> INLINE void put(T *p, float4 x, int n, bool vector) {
    if (vector && n >= 4) return store4(p, x);
    store(p, x.x);
    if (n > 1) store(p + 1, x.y);
    if (n > 2) store(p + 2, x.z);
    if (n > 3) store(p + 3, x.w);
}

// The moving average of four elements at i whose parameter is x: t = momentum·t + (1 − momentum)·x.
INLINE void follow(const Parameter &q, int i, float4 x, float momentum, int n, bool vector) {
    if (!q.t) return;
    float4 t = quad(q.t + i, n, vector);
    t = momentum * t + (1 - momentum) * x;
    put(q.t + i, t, n, vector);
    if (q.t16) put(q.t16 + i, t, n, vector);
}

// Calls f(i, n) for the quads of chunk number blockIdx_x: elements i to i+n.
#define EACH_QUAD(q, number, i, left)                                                                                                                  \
    for (int i = (number) * chunk_size + 4 * threadIdx_x, end = imin((q).n, ((number) + 1) * chunk_size), left = end - i; i < end;                      \
         i += 4 * blockDim_x, left = end - i)
