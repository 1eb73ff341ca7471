// What the kernels of matrix products share: the arguments that say what is done to a product on its way to memory, and the doing of it. gemm.go has the meaning.
#pragma once
#include "common.cuh"
#include "gelu.cuh"

// Bits of Epilogue.flags; gemm.go has the same.
enum {
    vector_a = 1, // A may be read in pieces of 16 bytes
    vector_b = 2,
    vector_c = 4, // C, H, activation and residual may be read and written in pieces of 8 elements, bias read
    c_bf16 = 8,
    with_gelu = 16,
    with_gelu_derivative = 32,
    rows_first = 64, // neighbouring blocks have neighbouring rows of C, not columns
};

struct Epilogue {
    int M, N, ldc, sample_rows, flags;
    void *C, *H, *activation;
    const void *residual;
    const float *bias, *scale;
    float alpha, beta;
};

// A kernel's parameters end with those of its epilogue.
#define EPILOGUE_PARAMETERS                                                                                                                                    \
    int M, int N, void *C, int ldc, float alpha, float beta, const float *bias, void *H, void *activation,      \
        const void *residual, const float *scale, int sample_rows, int flags
#define EPILOGUE                                                                                                                                               \
    Epilogue { M, N, ldc, sample_rows, flags, C, H, activation, residual, bias, scale, alpha, beta }

// Eight adjacent elements. Where they are not whole, or p is not aligned to 16 bytes, only the first n are there.

INLINE void get8(float *v, const float *p, bool whole, int n) {
    if (whole) {
        float4 a = ((const float4 *)p)[0], b = ((const float4 *)p)[1];
        v[0] = a.x, v[1] = a.y, v[2] = a.z, v[3] = a.w, v[4] = b.x, v[5] = b.y, v[6] = b.z, v[7] = b.w;
        return;
    }
#pragma unroll
    for (int i = 0; i < 8; i++) v[i] = i < n ? p[i] : 0.f;
}
INLINE void get8(float *v, const bf16 *p, bool whole, int n) {
    if (whole) {
        uint4 a = *(const uint4 *)p;
        v[0] = lower(a.x), v[1] = upper(a.x), v[2] = lower(a.y), v[3] = upper(a.y), v[4] = lower(a.z), v[5] = upper(a.z), v[6] = lower(a.w), v[7] = upper(a.w);
        return;
    }
#pragma unroll
    for (int i = 0; i < 8; i++) v[i] = i < n ? load(p + i) : 0.f;
}
INLINE void put8(float *p, const float *v, bool whole, int n) {
    if (whole) {
        ((float4 *)p)[0] = (float4){v[0], v[1], v[2], v[3]};
        ((float4 *)p)[1] = (float4){v[4], v[5], v[6], v[7]};
        return;
    }
#pragma unroll
    for (int i = 0; i < 8; i++)
        if (i < n) p[i] = v[i];
}
INLINE void put8(bf16 *p, const float *v, bool whole, int n) {
    if (whole) {
        *(uint4 *)p = (uint4){pack(v[0], v[1]), pack(v[2], v[3]), pack(v[4], v[5]), pack(v[6], v[7])};
        return;
    }
#pragma unroll
    for (int i = 0; i < 8; i++)
        if (i < n) store(p + i, v[i]);
}

INLINE float round_to(const float *, float x) { return x; }
INLINE float round_to(const bf16 *, float x) { return lower(to_bf16(x)); }

// finish does with eight adjacent sums v of row i, columns j to j+7, what e says, and writes them. bias are those columns'. Rows and columns that C has not are left out.
template <class T> INLINE void finish_as(const Epilogue &e, int i, int j, float *v, const float *bias) {
    i64 at = (i64)i * e.ldc + j;
    int n = e.N - j;
    bool whole = (e.flags & vector_c) && n >= 8;
    T *C = (T *)e.C + at, *H = (T *)e.H + at;
    float other[8];
#pragma unroll
    for (int k = 0; k < 8; k++) v[k] = __builtin_fmaf(e.alpha, v[k], bias[k]);
    if (e.flags & with_gelu) {
        if (e.H) put8(H, v, whole, n);
#pragma unroll
        for (int k = 0; k < 8; k++) v[k] = gelu<T>(round_to(C, v[k]));
    }
    if (e.flags & with_gelu_derivative) {
        get8(other, H, whole, n);
#pragma unroll
        for (int k = 0; k < 8; k++) {
            NormalTail t = normal_tail<T>(other[k]);
            v[k] *= gelu_derivative_of(other[k], t);
            other[k] = gelu_of(other[k], t);
        }
        if (e.activation) put8((T *)e.activation + at, other, whole, n);
    }
    if (e.residual) {
        get8(other, (const T *)e.residual + at, whole, n);
        float scale = e.scale ? e.scale[i / e.sample_rows] : 1.f;
#pragma unroll
        for (int k = 0; k < 8; k++) v[k] = scale == 0.f ? other[k] : __builtin_fmaf(scale, v[k], other[k]);
    }
    if (e.beta != 0.f) {
        get8(other, C, whole, n);
#pragma unroll
        for (int k = 0; k < 8; k++) v[k] = __builtin_fmaf(e.beta, other[k], v[k]);
    }
    put8(C, v, whole, n);
}
INLINE void finish(const Epilogue &e, int i, int j, float *v, const float *bias) {
    if (i >= e.M || j >= e.N) return;
    if (e.flags & c_bf16)
        finish_as<bf16>(e, i, j, v, bias);
    else
        finish_as<float>(e, i, j, v, bias);
}

INLINE void bias8(const Epilogue &e, int j, float *bias) {
    if (e.bias && j < e.N)
        get8(bias, e.bias + j, (e.flags & vector_c) && j + 8 <= e.N, e.N - j);
    else
#pragma unroll
        for (int k = 0; k < 8; k++) bias[k] = 0.f;
}

// A product that is cut along its terms has a matrix of sums for each part, M rows of N rounded up to eight, one part after the other, and behind them M sums of op(A)'s rows a part.
// Kernel gemm_reduce adds up the parts.
INLINE int partial_columns(int N) { return (N + 7) & ~7; }

// A warp's tile of sums goes through shared memory, so that every lane gets eight adjacent ones. Its words lie in rows of COLUMNS (32 or 64) as units of eight, which
// are permuted so that neither lanes that write pairs of a column of rows, nor lanes that read units of a row, meet in a bank. staged is the place of
// columns 8·unit + 4·half to + 3.
template <int COLUMNS> INLINE int staged(int row, int unit, int half) {
    int u = unit ^ (row & (COLUMNS / 8 - 1));
    int h = half ^ (COLUMNS == 64 ? u >> 2 : row & 1);
    return row * COLUMNS + u * 8 + h * 4;
}

INLINE void sync_warp() { asm volatile("bar.warp.sync 0xffffffff;" ::: "memory"); }

// write_tile finishes the ROWS×COLUMNS tile at (i, j) of C that a warp has staged; of a part of a product it only writes the sums.
template <int ROWS, int COLUMNS> INLINE void write_tile(const Epilogue &e, const float *stage, int i, int j, float *partial) {
    const int across = COLUMNS / 8; // lanes a row
    int lane = threadIdx_x & 31, unit = lane & (across - 1), row = lane / across;
    int column = j + unit * 8;
    float bias[8], v[8];
    if (!partial) bias8(e, column, bias);
#pragma unroll 1
    for (; row < ROWS; row += 32 / across) {
        float4 a = *(const float4 *)(stage + staged<COLUMNS>(row, unit, 0)), b = *(const float4 *)(stage + staged<COLUMNS>(row, unit, 1));
        v[0] = a.x, v[1] = a.y, v[2] = a.z, v[3] = a.w, v[4] = b.x, v[5] = b.y, v[6] = b.z, v[7] = b.w;
        if (!partial)
            finish(e, i + row, column, v, bias);
        else if (i + row < e.M && column < e.N)
            put8(partial + (i64)(i + row) * partial_columns(e.N) + column, v, true, 8);
    }
}

// The tile of C that a block has: its number of rows of tiles and of columns of tiles.
INLINE void tile_of_block(int flags, int *row, int *column) {
    bool first = flags & rows_first;
    *row = first ? blockIdx_x : blockIdx_y;
    *column = first ? blockIdx_y : blockIdx_x;
}
