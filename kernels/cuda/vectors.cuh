// Vectors of W elements as floats: kernels read and write 16 bytes at once and stay one line an operation.
#pragma once
#include "common.cuh"

template <int W> struct Floats {
    float x[W];
};

// each is the vector of f(0), …, f(W−1).
template <int W, class F> INLINE Floats<W> each(F f) {
    Floats<W> r;
#pragma unroll
    for (int j = 0; j < W; j++) r.x[j] = f(j);
    return r;
}
template <int W> INLINE Floats<W> splat(float a) {
    return each<W>([&](int) { return a; });
}
template <int W> INLINE Floats<W> operator+(Floats<W> a, Floats<W> b) {
    return each<W>([&](int j) { return a.x[j] + b.x[j]; });
}
template <int W> INLINE Floats<W> operator-(Floats<W> a, Floats<W> b) {
    return each<W>([&](int j) { return a.x[j] - b.x[j]; });
}
template <int W> INLINE Floats<W> operator*(Floats<W> a, Floats<W> b) {
    return each<W>([&](int j) { return a.x[j] * b.x[j]; });
}
template <int W> INLINE Floats<W> operator+(Floats<W> a, float b) { return a + splat<W>(b); }
template <int W> INLINE Floats<W> operator-(Floats<W> a, float b) { return a - splat<W>(b); }
template <int W> INLINE Floats<W> operator*(Floats<W> a, float b) { return a * splat<W>(b); }
template <int W> INLINE void operator+=(Floats<W> &a, Floats<W> b) { a = a + b; }

template <int W> INLINE float total(Floats<W> a) {
    float s = a.x[0];
#pragma unroll
    for (int j = 1; j < W; j++) s += a.x[j];
    return s;
}
template <int W> INLINE float largest(Floats<W> a) {
    float m = a.x[0];
#pragma unroll
    for (int j = 1; j < W; j++) m = fmax(m, a.x[j]);
    return m;
}

// load<W> and store are one access of 16 bytes, several of them, or one of 8, where W is a multiple of four: p must be aligned to that (see aligned).
template <int W> INLINE Floats<W> load(const float *p) {
    Floats<W> r;
    if constexpr (W % 4 == 0) {
#pragma unroll
        for (int k = 0; k < W; k += 4) {
            float4 v = *(const float4 *)(p + k);
            r.x[k] = v.x, r.x[k + 1] = v.y, r.x[k + 2] = v.z, r.x[k + 3] = v.w;
        }
    } else {
#pragma unroll
        for (int j = 0; j < W; j++) r.x[j] = p[j];
    }
    return r;
}
template <int W> INLINE Floats<W> load(const bf16 *p) {
    Floats<W> r;
    if constexpr (W == 8) {
        uint4 v = *(const uint4 *)p;
        r.x[0] = lower(v.x), r.x[1] = upper(v.x), r.x[2] = lower(v.y), r.x[3] = upper(v.y);
        r.x[4] = lower(v.z), r.x[5] = upper(v.z), r.x[6] = lower(v.w), r.x[7] = upper(v.w);
    } else if constexpr (W == 4) {
        uint2 v = *(const uint2 *)p;
        r.x[0] = lower(v.x), r.x[1] = upper(v.x), r.x[2] = lower(v.y), r.x[3] = upper(v.y);
    } else {
#pragma unroll
        for (int j = 0; j < W; j++) r.x[j] = load(p + j);
    }
    return r;
}
template <int W> INLINE void store(float *p, Floats<W> a) {
    if constexpr (W % 4 == 0) {
#pragma unroll
        for (int k = 0; k < W; k += 4) *(float4 *)(p + k) = (float4){a.x[k], a.x[k + 1], a.x[k + 2], a.x[k + 3]};
    } else {
#pragma unroll
        for (int j = 0; j < W; j++) p[j] = a.x[j];
    }
}
template <int W> INLINE void store(bf16 *p, Floats<W> a) {
    if constexpr (W == 8) {
        *(uint4 *)p = (uint4){pack(a.x[0], a.x[1]), pack(a.x[2], a.x[3]), pack(a.x[4], a.x[5]), pack(a.x[6], a.x[7])};
    } else if constexpr (W == 4) {
        *(uint2 *)p = (uint2){pack(a.x[0], a.x[1]), pack(a.x[2], a.x[3])};
    } else {
#pragma unroll
        for (int j = 0; j < W; j++) store(p + j, a.x[j]);
    }
}

// give writes a to p, or adds it: the end of a backward.
template <int W, class T> INLINE void give(T *p, Floats<W> a, bool add) {
    if (add) a = load<W>(p) + a;
    store(p, a);
}

// aligned says whether addresses allow vectors; a null address does.
template <class... P> INLINE bool aligned(P... p) { return (((u64)p | ...) & 15) == 0; }

// whole<T> is how many elements 16 bytes hold.
template <class T> constexpr int whole = 16 / sizeof(T);
