// The exact GELU, x·Φ(x), and its derivative Φ(x) + x·φ(x), Φ and φ the standard normal distribution function and density; kernels/gelu.go defines them.
//
// T is the type that the result will be rounded to. With float both are exact to a few ulp, in about 30 instructions. With bf16 they have a relative error of
// 1e-4, a twentieth of what the rounding adds, in about 15: in the epilogue of a product they would otherwise cost a good part of the product's time.
#pragma once
#include "common.cuh"

struct NormalTail {
    float a, tail, e; // a = min(|x|, 14.5), Φ(−a), exp(−a²/2)
};

// normal_tail computes Φ(−a) = e·u·P(a·u), u = 1/(1 + 0.4·a): the form of Hastings (26.2.17 in Abramowitz, Stegun 1964), which keeps the relative accuracy of the left
// tail. Beyond 14.5 it is 0 in float32. NaN stays NaN. The long P is that of the CPU's kernels (1.7e-8); both are minimax fits by Lawson's iteration.
template <class T> INLINE NormalTail normal_tail(float x) {
    float a = fabs(x);
    a = a > 14.5f ? 14.5f : a;
    float u = rcp_approx(__builtin_fmaf(a, 0.4f, 1.f)), w = a * u;
    const float c = -0.5f * log2e; // e = 2^(c·a²)
    if constexpr (sizeof(T) == 2) {
        float p = -0.0020778888763382615f;
        p = __builtin_fmaf(p, w, 0.012071128580555859f);
        p = __builtin_fmaf(p, w, 0.007668509329386171f);
        p = __builtin_fmaf(p, w, -0.19823843273215383f);
        p = __builtin_fmaf(p, w, 0.5f);
        float e = exp2_approx(a * a * c);
        return {a, e * u * p, e};
    }
    float p = -8.352125748799676e-06f;
    p = __builtin_fmaf(p, w, 7.318107385565524e-05f);
    p = __builtin_fmaf(p, w, -0.0002047859652500291f);
    p = __builtin_fmaf(p, w, 0.00022492694037373444f);
    p = __builtin_fmaf(p, w, -0.0006120377665010029f);
    p = __builtin_fmaf(p, w, 0.0005729742157620453f);
    p = __builtin_fmaf(p, w, 0.007472065674784237f);
    p = __builtin_fmaf(p, w, 0.010854821563277703f);
    p = __builtin_fmaf(p, w, -0.1989427537139661f);
    p = __builtin_fmaf(p, w, 0.5f);
    // The rounding error of c·a², up to 9e-6 for large a, would be the relative error of e: carry it along.
    const float c_rest = -9.6298150e-9f; // −log2(e)/2 − c
    float square = a * a, rest = __builtin_fmaf(a, a, -square);
    float power = square * c;
    float more = __builtin_fmaf(square, c, -power) + __builtin_fmaf(square, c_rest, rest * c);
    float e = exp2_approx(power);
    e = __builtin_fmaf(e * ln2, more, e);
    return {a, e * u * p, e};
}

INLINE float gelu_of(float x, NormalTail t) { return __builtin_fmaf(-t.a, t.tail, x >= 0.f ? x : 0.f); }

// 1/2 + sign(x)·(1/2 − Φ(−|x|) + |x|·φ(x))
INLINE float gelu_derivative_of(float x, NormalTail t) {
    float odd = __builtin_fmaf(t.a, t.e * 0.39894228040143267794f, 0.5f - t.tail);
    return 0.5f + (x < 0.f ? -odd : odd);
}

template <class T> INLINE float gelu(float x) { return gelu_of(x, normal_tail<T>(x)); }
template <class T> INLINE float gelu_derivative(float x) { return gelu_derivative_of(x, normal_tail<T>(x)); }
