// What every kernel needs. The sources compile with clang and no CUDA toolkit (internal/cugen says how), and with nvcc.
//
// Rules: no calls (everything is inlined), no double, no division of integers in loops, no printf; structs of floats copy through local memory, so
// vectors are float2, float4 and uint4 here, which are vector types of the compiler.
#pragma once

#if defined(__clang__) && !defined(__NVCC__)
#define __global__ __attribute__((global))
#define __device__ __attribute__((device))
#define __host__ __attribute__((host))
#define __shared__ __attribute__((shared))
#define __constant__ __attribute__((constant))
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...) __attribute__((launch_bounds(__VA_ARGS__)))
#define threadIdx_x ((int)__nvvm_read_ptx_sreg_tid_x())
#define threadIdx_y ((int)__nvvm_read_ptx_sreg_tid_y())
#define blockIdx_x ((int)__nvvm_read_ptx_sreg_ctaid_x())
#define blockIdx_y ((int)__nvvm_read_ptx_sreg_ctaid_y())
#define blockIdx_z ((int)__nvvm_read_ptx_sreg_ctaid_z())
#define blockDim_x ((int)__nvvm_read_ptx_sreg_ntid_x())
#define blockDim_y ((int)__nvvm_read_ptx_sreg_ntid_y())
#define gridDim_x ((int)__nvvm_read_ptx_sreg_nctaid_x())
#define gridDim_y ((int)__nvvm_read_ptx_sreg_nctaid_y())
#define gridDim_z ((int)__nvvm_read_ptx_sreg_nctaid_z())
typedef float float2 __attribute__((ext_vector_type(2)));
typedef float float4 __attribute__((ext_vector_type(4)));
typedef unsigned uint2 __attribute__((ext_vector_type(2)));
typedef unsigned uint4 __attribute__((ext_vector_type(4)));
#else
#define threadIdx_x ((int)threadIdx.x)
#define threadIdx_y ((int)threadIdx.y)
#define blockIdx_x ((int)blockIdx.x)
#define blockIdx_y ((int)blockIdx.y)
#define blockIdx_z ((int)blockIdx.z)
#define blockDim_x ((int)blockDim.x)
#define blockDim_y ((int)blockDim.y)
#define gridDim_x ((int)gridDim.x)
#define gridDim_y ((int)gridDim.y)
#define gridDim_z ((int)gridDim.z)
#endif

// KERNEL declares a kernel of at most that many threads a block: KERNEL(name, 256)(float *x) { … }.
#define KERNEL(name, threads) extern "C" __global__ void __launch_bounds__(threads) name
// KERNEL_BLOCKS also says how many blocks a multiprocessor has room for, which bounds the registers.
#define KERNEL_BLOCKS(name, threads, blocks) extern "C" __global__ void __launch_bounds__(threads, blocks) name

#define INLINE static __device__ __forceinline__

typedef unsigned short u16;
typedef unsigned u32;
typedef unsigned long long u64;
typedef long long i64;

// bf16 is the upper half of a float32; stores round to nearest, ties to even.
struct bf16 {
    u16 bits;
};

INLINE float as_float(u32 x) { return __builtin_bit_cast(float, x); }
INLINE u32 as_bits(float x) { return __builtin_bit_cast(u32, x); }

INLINE float load(const float *p) { return *p; }
INLINE float load(const bf16 *p) { return as_float((u32)p->bits << 16); }

INLINE u16 to_bf16(float x) {
    u16 r;
    asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(r) : "f"(x));
    return r;
}
// pack is two of them in a word, lo at the lower address.
INLINE u32 pack(float lo, float hi) {
    u32 r;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(r) : "f"(hi), "f"(lo));
    return r;
}
INLINE float lower(u32 x) { return as_float(x << 16); }
INLINE float upper(u32 x) { return as_float(x & 0xffff0000u); }

INLINE void store(float *p, float x) { *p = x; }
INLINE void store(bf16 *p, float x) { p->bits = to_bf16(x); }

// aligned4 says whether p is aligned to four elements.
template <class T> INLINE bool aligned4(const T *p) { return ((u64)p & (4 * sizeof(T) - 1)) == 0; }

// Four at a time, where p is aligned to four elements.
INLINE float4 load4(const float *p) { return *(const float4 *)p; }
INLINE float4 load4(const bf16 *p) {
    uint2 v = *(const uint2 *)p;
    return (float4){lower(v.x), upper(v.x), lower(v.y), upper(v.y)};
}
INLINE void store4(float *p, float4 x) { *(float4 *)p = x; }
INLINE void store4(bf16 *p, float4 x) { *(uint2 *)p = (uint2){pack(x.x, x.y), pack(x.z, x.w)}; }

// Elementary functions of the special-function unit: relative error about 2^-22, tanh 2^-11.
INLINE float exp2_approx(float x) {
    float r;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(r) : "f"(x));
    return r;
}
INLINE float log2_approx(float x) {
    float r;
    asm("lg2.approx.ftz.f32 %0, %1;" : "=f"(r) : "f"(x));
    return r;
}
INLINE float rcp_approx(float x) {
    float r;
    asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(r) : "f"(x));
    return r;
}
INLINE float rsqrt_approx(float x) {
    float r;
    asm("rsqrt.approx.ftz.f32 %0, %1;" : "=f"(r) : "f"(x));
    return r;
}
INLINE float sqrt_rn(float x) {
    float r;
    asm("sqrt.rn.f32 %0, %1;" : "=f"(r) : "f"(x));
    return r;
}
INLINE float div_rn(float x, float y) {
    float r;
    asm("div.rn.f32 %0, %1, %2;" : "=f"(r) : "f"(x), "f"(y));
    return r;
}
const float log2e = 1.44269504088896340736f, ln2 = 0.693147180559945309417f;

INLINE float exp_approx(float x) { return exp2_approx(x * log2e); }

INLINE float fmax(float a, float b) { return a > b ? a : b; }
INLINE float fmin(float a, float b) { return a < b ? a : b; }
INLINE float fabs(float x) { return as_float(as_bits(x) & 0x7fffffffu); }
INLINE int imin(int a, int b) { return a < b ? a : b; }
INLINE int imax(int a, int b) { return a > b ? a : b; }

// Sums and maxima over a warp: every lane gets the result, in an order of additions that is always the same.
INLINE float shuffle_xor(float x, int mask) {
    float r;
    asm volatile("shfl.sync.bfly.b32 %0, %1, %2, 0x1f, 0xffffffff;" : "=f"(r) : "f"(x), "r"(mask));
    return r;
}
INLINE float warp_sum(float x) {
#pragma unroll
    for (int o = 16; o > 0; o >>= 1) x += shuffle_xor(x, o);
    return x;
}
INLINE float warp_max(float x) {
#pragma unroll
    for (int o = 16; o > 0; o >>= 1) x = fmax(x, shuffle_xor(x, o));
    return x;
}

// Over a block of up to 1024 threads, a multiple of 32; s is shared memory of 32 floats. All threads call it and get the result.
INLINE float block_sum(float x, float *s) {
    x = warp_sum(x);
    __syncthreads();
    if ((threadIdx_x & 31) == 0) s[threadIdx_x >> 5] = x;
    __syncthreads();
    float r = 0;
    for (int i = 0; i < blockDim_x >> 5; i++) r += s[i];
    return r;
}
INLINE float block_max(float x, float *s) {
    x = warp_max(x);
    __syncthreads();
    if ((threadIdx_x & 31) == 0) s[threadIdx_x >> 5] = x;
    __syncthreads();
    float r = s[0];
    for (int i = 1; i < blockDim_x >> 5; i++) r = fmax(r, s[i]);
    return r;
}

// The 32-bit address of shared memory.
INLINE u32 shared_address(const void *p) {
    u32 r;
    asm("{ .reg .u64 t; cvta.to.shared.u64 t, %1; cvt.u32.u64 %0, t; }" : "=r"(r) : "l"(p));
    return r;
}
