// Products by mma.sync of the tensor cores (compute capability 8.0), for operands T of bf16, or float rounded to TF32: both have pieces of 16 bytes, steps of 32 bytes along K and the
// same fragments in registers, of words that are two bf16 or one TF32.
//
// A block of 4 warps has a tile of TILE×TILE of C, each warp a quarter of it in registers. It goes along K in steps of 64 bytes (32 bf16, 16 TF32), which cp.async
// brings to shared memory three steps ahead, in a ring of four. What is beyond the matrices is filled with zeros. Quarters of 64×64 rather than eight warps with 64×32: a warp reads
// 32 KB of shared memory for 1 MFLOP in place of 48, and two independent blocks fit a multiprocessor, so that one multiplies while the other writes.
//
// In shared memory an operand whose rows go along K (op(A) of A, op(B) of B transposed) lies as TILE rows of 4 pieces; the other as steps along K of TILE elements. Pieces are permuted
// by exclusive or with bits of the row, so that neither cp.async nor ldmatrix has bank conflicts.
//
// Operations are 2·M·N·K, bytes those of the operands once (blocks that run together share rows or columns, in the L2 cache) and of the epilogue. No time here was measured:
// what follows are operations at 250 TFLOP/s of an A100 (peak 312), and at 400 of an H200, whose mma.sync has some 60% of the rate of wgmma; the larger of those
// and of bytes at 1.5 and 4.3 TB/s. For M = 44160 tokens of ViT-S in bf16:
//
//	qkv  N = 1152, K = 384    39 GFLOP  137 MB                 156 µs   98 µs
//	proj N = 384,  K = 384    13 GFLOP  102 MB with residual    68 µs   33 µs
//	fc1  N = 1536, K = 384    52 GFLOP  306 MB with H          208 µs  130 µs
//	fc2  N = 384,  K = 1536   52 GFLOP  205 MB with residual   208 µs  130 µs
//	dw of fc1 or fc2          52 GFLOP  172 MB, 7 parts 33 MB  208 µs  130 µs
#pragma once
#include "gemm.cuh"
#include "mma.cuh"

const int gemm_threads = 128, gemm_stages = 4;

#define INLINE_METHOD __device__ __forceinline__

INLINE u32 load_word(u32 address) {
    u32 r;
    asm volatile("ld.shared.u32 %0, [%1];" : "=r"(r) : "r"(address) : "memory");
    return r;
}
INLINE u32 to_tf32(u32 x) {
    u32 r;
    asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(r) : "f"(as_float(x)));
    return r;
}

// multiply is c += a·b for 16 rows, 8 columns and 32 bytes of terms.
INLINE void multiply(const bf16 *, float *c, const u32 *a, u32 b0, u32 b1) {
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}
INLINE void multiply(const float *, float *c, const u32 *a, u32 b0, u32 b1) {
    asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}
// A word of ones.
INLINE u32 ones(const bf16 *) { return 0x3f803f80u; }
INLINE u32 ones(const float *) { return 0x3f800000u; }

// copy_piece brings the first bytes of 16 to shared memory and zeros behind them. A vector comes by itself; else it is put together of elements and is there at the next barrier.
template <class T> INLINE void copy_piece(u32 to, const T *from, const T *base, int bytes, bool vector) {
    if (vector) {
        copy_async16(to, bytes > 0 ? from : base, bytes);
        return;
    }
    u32 word[4] = {};
    const int words = 4 / sizeof(T);
#pragma unroll
    for (int i = 0; i < (int)(16 / sizeof(T)); i++)
        if (i * (int)sizeof(T) < bytes) {
            if constexpr (sizeof(T) == 4)
                word[i] = as_bits(from[i]);
            else
                word[i / words] |= (u32)from[i].bits << (16 * (i % words));
        }
    asm volatile("st.shared.v4.u32 [%0], {%1, %2, %3, %4};" ::"r"(to), "r"(word[0]), "r"(word[1]), "r"(word[2]), "r"(word[3]) : "memory");
}

// Operand is one of A and B: where this thread reads it, and where in a stage of shared memory it puts it and finds its fragments. ALONG_K: its rows go along K. IS_A: op(A), not op(B).
template <class T, int TILE, bool ALONG_K, bool IS_A> struct Operand {
    static const int piece = 16 / sizeof(T), depth = 64 / sizeof(T); // elements
    static const int bytes = TILE * 64;                              // of a stage
    static const int across = ALONG_K ? 4 : TILE / piece;            // pieces a row in shared memory
    static const int down = gemm_threads / across;                   // rows that the block copies at once
    static const int times = TILE * 4 / gemm_threads;

    const T *base, *from;
    i64 jump, step; // elements to the row down rows below; to the next stage
    int left;       // rows (along K) or bytes of the piece (else) that the matrix has from here on
    u32 to, fragment;
    bool vector, inside; // rows may be read in pieces of 16 bytes; and the matrix has all lines of the tile

    // line is the number of the first row of op(A), or column of op(B), of the tile, and lines their number; k the first term.
    INLINE_METHOD Operand(const T *base, int ld, int line, int lines, int k, int warp_line, bool vector)
        : base(base), vector(vector), inside(vector && line + TILE <= lines) {
        int t = threadIdx_x, row = t / across, column = t % across, lane = t & 31;
        jump = (i64)down * ld;
        if (ALONG_K) {
            from = base + (i64)(line + row) * ld + k + column * piece;
            step = depth;
            left = lines - line - row;
            to = row * 64 + ((column ^ (row >> 1 & 3)) << 4);
            // ldmatrix: four matrices of 8 lines and 16 bytes; two of lines first, or two of terms.
            int l = warp_line + (IS_A ? lane & 15 : (lane & 7) + (lane >> 4 << 3)), p = IS_A ? lane >> 4 : lane >> 3 & 1;
            fragment = l * 64 + ((p ^ (l >> 1 & 3)) << 4);
        } else {
            from = base + (i64)(k + row) * ld + line + column * piece;
            step = (i64)depth * ld;
            left = (lines - line - column * piece) * (int)sizeof(T);
            left = left > 16 ? 16 : left;
            to = row * TILE * sizeof(T) + ((column ^ swizzle(row)) << 4);
            if (sizeof(T) == 2) {
                int r = (lane & 7) + ((IS_A ? lane >> 4 : lane >> 3 & 1) << 3), p = warp_line / piece + (IS_A ? lane >> 3 & 1 : lane >> 4);
                fragment = r * TILE * 2 + ((p ^ swizzle(r)) << 4);
            } else {
                int r = lane & 3, l = warp_line + (lane >> 2); // words, since ldmatrix transposes halves only
                fragment = r * TILE * 4 + ((l / 4 ^ swizzle(r)) << 4) + (l & 3) * 4;
            }
        }
    }
    static INLINE_METHOD int swizzle(int row) { return sizeof(T) == 2 ? row & 7 : (row & 3) << 1; }

    // load copies the next step to the stage at address; terms are left.
    INLINE_METHOD void load(u32 address, int terms) {
        const int pitch = down * (ALONG_K ? 64 : TILE * (int)sizeof(T));
        address += to;
        if (inside && terms >= depth) {
#pragma unroll
            for (int i = 0; i < times; i++) copy_async16(address + i * pitch, from + i * jump);
            from += step;
            return;
        }
        int column = threadIdx_x % across, row = threadIdx_x / across;
        int bytes = ALONG_K ? (terms - column * piece) * (int)sizeof(T) : left;
        bytes = bytes > 16 ? 16 : bytes;
#pragma unroll
        for (int i = 0; i < times; i++) {
            bool there = ALONG_K ? i * down < left : row + i * down < terms;
            copy_piece(address + i * pitch, from + i * jump, base, there && bytes > 0 ? bytes : 0, vector);
        }
        if (!vector) sync_warp(); // ldmatrix and mma want all lanes together
        from += step;
    }

    // get loads the fragments of 16 lines, number i of the warp's, and 32 bytes of terms, number k of the stage's.
    INLINE_METHOD void get(u32 *r, u32 address, int i, int k) {
        if (ALONG_K) {
            ldmatrix(r, address + (fragment ^ k << 5) + i * 16 * 64);
        } else if (sizeof(T) == 2) {
            ldmatrix_transposed(r, (address + fragment ^ i << 5) + k * 16 * TILE * 2);
        } else {
            u32 a = (address + fragment ^ i << 6) + k * 8 * TILE * 4, b = a ^ 32;
            r[0] = load_word(a), r[IS_A ? 1 : 2] = load_word(b);
            r[IS_A ? 2 : 1] = load_word(a + 4 * TILE * 4), r[3] = load_word(b + 4 * TILE * 4);
        }
        if (sizeof(T) == 4)
#pragma unroll
            for (int j = 0; j < 4; j++) r[j] = to_tf32(r[j]);
    }
};

template <class T, bool TRANS_A, bool TRANS_B, int TILE>
INLINE void gemm(const T *A, int lda, const T *B, int ldb, int K, int part, float *row_sums, float *partial, const Epilogue &e) {
    extern __shared__ __attribute__((aligned(1024))) unsigned char memory[];
    const int warp_tile = TILE / 2, high = warp_tile / 16, wide = warp_tile / 8;
    const int depth = 64 / sizeof(T);
    const T *type = nullptr;

    int tile_row, tile_column;
    tile_of_block(e.flags, &tile_row, &tile_column);
    int warp = threadIdx_x >> 5, lane = threadIdx_x & 31;
    int warp_row = (warp >> 1) * warp_tile, warp_column = (warp & 1) * warp_tile;
    int k = blockIdx_z * part, terms = imin(K - k, part);

    // Tiles of 128 are for operands that can be read in pieces: gemm.go knows.
    Operand<T, TILE, !TRANS_A, true> a(A, lda, tile_row * TILE, e.M, k, warp_row, TILE == 128 || e.flags & vector_a);
    Operand<T, TILE, TRANS_B, false> b(B, ldb, tile_column * TILE, e.N, k, warp_column, TILE == 128 || e.flags & vector_b);
    const int stage = a.bytes + b.bytes;
    u32 shared = shared_address(memory);

    float c[high][wide][4] = {};
    // Sums of op(A)'s rows are a product with ones; one warp of each row of the first tile makes them.
    bool summing = TRANS_A && row_sums && tile_column == 0 && warp_column == 0;
    float sums[high][4] = {};
    u32 one = summing ? ones(type) : 0;

    int steps = (terms + depth - 1) / depth;
#pragma unroll
    for (int s = 0; s < gemm_stages - 1; s++) {
        if (s < steps) {
            a.load(shared + s * stage, terms - s * depth);
            b.load(shared + s * stage + a.bytes, terms - s * depth);
        }
        commit_copies();
    }
    u32 reading = shared, writing = shared + (gemm_stages - 1) * stage, end = shared + gemm_stages * stage;
#pragma unroll 1
    for (int s = 0; s < steps; s++) {
        wait_copies<gemm_stages - 2>();
        __syncthreads(); // the stage at reading is there, and nobody reads that at writing any more
        int ahead = s + gemm_stages - 1;
        if (ahead < steps) {
            a.load(writing, terms - ahead * depth);
            b.load(writing + a.bytes, terms - ahead * depth);
        }
        commit_copies();
#pragma unroll
        for (int k = 0; k < 2; k++) {
            u32 x[high][4], y[wide / 2][4];
#pragma unroll
            for (int j = 0; j < wide / 2; j++) b.get(y[j], reading + a.bytes, j, k);
#pragma unroll
            for (int i = 0; i < high; i++) a.get(x[i], reading, i, k);
#pragma unroll
            for (int i = 0; i < high; i++) {
#pragma unroll
                for (int j = 0; j < wide; j++) multiply(type, c[i][j], x[i], y[j / 2][j % 2 * 2], y[j / 2][j % 2 * 2 + 1]);
                if (TRANS_A && summing) multiply(type, sums[i], x[i], one, one);
            }
        }
        reading = reading + stage == end ? shared : reading + stage;
        writing = writing + stage == end ? shared : writing + stage;
    }
    wait_copies<0>();
    __syncthreads(); // everything is read: the memory is free for the tile of C

    if (partial) {
        row_sums = partial + (i64)gridDim_z * e.M * partial_columns(e.N) + (i64)blockIdx_z * e.M;
        partial += (i64)blockIdx_z * e.M * partial_columns(e.N);
    }
    int row = tile_row * TILE + warp_row, column = tile_column * TILE + warp_column;
    if (summing && (lane & 3) == 0) {
#pragma unroll
        for (int i = 0; i < 2 * high; i++) {
            int r = row + i * 8 + (lane >> 2);
            if (r < e.M) row_sums[r] = sums[i / 2][i % 2 * 2] + (partial ? 0.f : row_sums[r]);
        }
    }
    float *tile = (float *)memory + warp * warp_tile * warp_tile;
#pragma unroll
    for (int i = 0; i < 2 * high; i++) {
#pragma unroll
        for (int j = 0; j < wide; j++) {
            const float *v = &c[i / 2][j][i % 2 * 2];
            *(float2 *)(tile + staged<warp_tile>(i * 8 + (lane >> 2), j, lane >> 1 & 1) + (lane & 1) * 2) = (float2){v[0], v[1]};
        }
    }
    sync_warp();
    write_tile<warp_tile, warp_tile>(e, tile, row, column, partial);
}

// The kernels of a type. The parameters before the epilogue's: part is how many terms a part has, a multiple of 64 bytes of them; partial, if it is not null, where the
// sums of parts go. Grid: tiles, tiles, parts; see tile_of_block.
#define GEMM_KERNEL(name, T, trans_a, trans_b, tile)                                                                                                           \
    KERNEL_BLOCKS(name##_##tile, gemm_threads, tile == 128 ? 2 : 4)(const T *A, int lda, const T *B, int ldb, int K, int part, float *row_sums, float *partial, EPILOGUE_PARAMETERS) {        \
        gemm<T, trans_a, trans_b, tile>(A, lda, B, ldb, K, part, row_sums, partial, EPILOGUE);                                                                  \
    }
#define GEMM_KERNELS(type, T)                                                                                                                                  \
    GEMM_KERNEL(gemm_##type##_nn, T, false, false, 64)                                                                                                         \
    GEMM_KERNEL(gemm_##type##_nt, T, false, true, 64)                                                                                                          \
    GEMM_KERNEL(gemm_##type##_tn, T, true, false, 64)                                                                                                          \
    GEMM_KERNEL(gemm_##type##_tt, T, true, true, 64)                                                                                                           \
    GEMM_KERNEL(gemm_##type##_nn, T, false, false, 128)                                                                                                        \
    GEMM_KERNEL(gemm_##type##_nt, T, false, true, 128)                                                                                                         \
    GEMM_KERNEL(gemm_##type##_tn, T, true, false, 128)
