// Matrix products of bf16 with float32 sums on Hopper's tensor cores: wgmma fed by TMA. See Gemm in gemm.go for what is computed; launcher: gemm_sm_90a.go.
//
// A block has three warp groups. One thread of the first brings tiles of A (128×64) and B (64×N) into a ring of stages; the second and third are consumers,
// each of which computes whole tiles of C (128×N, its sums in 2·N/2 registers of each thread): they take turns, so that one writes its tile while the
// tensor cores work for the other. Only this hides the epilogue where K is small: at K = 384 a tile takes 6 stages, some 4,600 cycles, and an epilogue with
// GELU not much less.
//
// Two blocks may form a cluster, which works on two neighbouring tiles. They share a tile of B (tiles below each other) or of A (side by side): each block brings
// half of it and gives it to both, which takes a third from what is read from the L2 cache: 28 KB instead of 40 a stage and block at N = 192, 768 cycles of
// products.
//
// Blocks are persistent and go through the tiles in an order in which those that work at the same time share rows of A or columns of B.
//
// Work: 2·M·N·K operations, and 2·(M·K + N·K + M·N) bytes where operands and C go through memory once, beside what the epilogue reads and writes; parts of sums
// are 4·M·N bytes each, written here and read by gemm_reduce. An epilogue's instructions run beside the products: for every element of a thread 4 to transpose it
// and 2 to round and write it, some 15 for GELU, 20 for its value and derivative; at K = 384 there are 24 cycles for them.
#include "gelu.cuh"
#include "hopper.cuh"

const int tile_m = 128, tile_k = 64;
const int stage_a = tile_m * tile_k * 2; // bytes

template <int N> struct ring {
    static constexpr int stage = stage_a + N * tile_k * 2; // bytes
    static constexpr int stages = N == 192 ? 5 : 6;
    // Where the barriers lie, a tile of ones for row sums, and scales of the rows of both consumers' tiles.
    static constexpr int full = stages * stage, empty = full + 8 * stages, turn = empty + 8 * stages, ones = full + 128, scales = ones + 256, size = scales + 1024;
};

// What the blocks of the grid work on. A cluster's item is one or two tiles of C (size of the cluster), and with splits > 1 a part of the sum.
struct work {
    int tiles_m, tiles_n; // items in a column and in a row of C
    int group;            // items of so many columns are gone through row by row, then those of the next columns
    int splits, steps;    // parts of the sum, and 64s of terms in each: the last part may have some beyond the end, which are 0
    int side_by_side;     // the tiles of a cluster are neighbours in a row, not in a column
};

struct item {
    int m, n, split; // first row and column, part of the sum
};

// A few divisions an item, of some thousand cycles.
template <int N> INLINE item locate(const work &w, int index) {
    int rank = cluster_rank(), size = cluster_size();
    int tiles = w.tiles_m * w.tiles_n;
    int split = index / tiles;
    index -= split * tiles;
    int g = index / (w.group * w.tiles_m);
    index -= g * w.group * w.tiles_m;
    int width = imin(w.group, w.tiles_n - g * w.group);
    int m = index / width, n = g * w.group + index - m * width;
    if (w.side_by_side)
        n = n * size + rank;
    else
        m = m * size + rank;
    return {m * tile_m, n * N, split};
}

// Brings a stage: A at shared, B behind it. What lies outside of the matrices becomes 0. A K-major operand comes in boxes of 64 terms × half of the tile's
// rows or columns, an MN-major one in boxes of 64 rows or columns × 32 terms.
template <int N, int TA, int TB> INLINE void bring(u32 shared, u32 barrier, const void *map_a, const void *map_b, int m, int n, int k, int side_by_side) {
    int rank = cluster_rank(), size = cluster_size();
    barrier_expect(barrier, ring<N>::stage);
    bool give_a = size == 2 && side_by_side, give_b = size == 2 && !side_by_side;
#pragma unroll
    for (int half = 0; half < 2; half++) {
        if (TA) {
#pragma unroll
            for (int c = 0; c < tile_m / 64; c++) {
                u32 to = shared + c * 8192 + half * 4096;
                if (!give_a)
                    tma_load(to, map_a, barrier, m + 64 * c, k + 32 * half);
                else if (half == rank)
                    tma_load(to, map_a, barrier, m + 64 * c, k + 32 * half, 3);
            }
        } else {
            u32 to = shared + half * (stage_a / 2);
            if (!give_a)
                tma_load(to, map_a, barrier, k, m + half * (tile_m / 2));
            else if (half == rank)
                tma_load(to, map_a, barrier, k, m + half * (tile_m / 2), 3);
        }
        if (TB) {
#pragma unroll
            for (int c = 0; c < N / 64; c++) {
                u32 to = shared + stage_a + c * 8192 + half * 4096;
                if (!give_b)
                    tma_load(to, map_b, barrier, n + 64 * c, k + 32 * half);
                else if (half == rank)
                    tma_load(to, map_b, barrier, n + 64 * c, k + 32 * half, 3);
            }
        } else {
            u32 to = shared + stage_a + half * (N * tile_k);
            if (!give_b)
                tma_load(to, map_b, barrier, k, n + half * (N / 2));
            else if (half == rank)
                tma_load(to, map_b, barrier, k, n + half * (N / 2), 3);
        }
    }
}

// A consumer's tile: goes through the stages of its terms, gives each back when the products that read it are done, lets the other consumer begin, and writes the
// sums. RowSums is a template's argument, not a branch in the loop: products on both sides of a branch are groups of their own to ptxas, and the wait for all
// but the last group would be one for all products.
template <int N, int TA, int TB, bool RowSums, class Epilogue>
INLINE void compute(const Epilogue &epilogue, item t, u32 shared, u32 other_turn, u32 scales, int &stage, int &parity, int steps, int size, int warp, int lane) {
    using R = ring<N>;
    float sums[2][N / 2], rows[2][4];
#pragma unroll
    for (int h = 0; h < 2; h++) { // cleared, not left to the first product: a register that was undefined could be moved between products
#pragma unroll
        for (int j = 0; j < N / 2; j++) sums[h][j] = 0;
#pragma unroll
        for (int j = 0; j < 4; j++) rows[h][j] = 0;
    }
    for (int k = 0; k < steps; k++) {
        u32 at = shared + stage * R::stage;
        u64 a = descriptor(at, TA ? 8192 : 16), b = descriptor(at + stage_a, TB ? 8192 : 16);
        barrier_wait(shared + R::full + 8 * stage, parity);
        warp_sync(); // lanes that arrived, and those that waited longer
        wgmma_fence();
#pragma unroll
        for (int q = 0; q < tile_k / 16; q++) {
            u64 db = further(b, q * (TB ? 2048 : 32));
#pragma unroll
            for (int h = 0; h < 2; h++) {
                u64 da = further(a, h * 8192 + q * (TA ? 2048 : 32));
                wgmma<TA, TB>(sums[h], da, db);
                if (RowSums) wgmma<TA, 0>(rows[h], da, (u64)(128 >> 4) << 16 | (u64)(128 >> 4) << 32 | (shared + R::ones) >> 4);
            }
        }
        wgmma_commit();
        if (k > 0) { // the products of the stage before are done
            wgmma_wait<1>();
            if (lane < size) barrier_arrive(shared + R::empty + 8 * (stage > 0 ? stage - 1 : R::stages - 1), lane);
        }
        if (++stage == R::stages) stage = 0, parity ^= 1;
    }
    if (lane == 0) barrier_arrive(other_turn);
    warp_sync();
    wgmma_wait<0>();
    if (lane < size) barrier_arrive(shared + R::empty + 8 * (stage > 0 ? stage - 1 : R::stages - 1), lane);
    warp_sync();
    epilogue.template write<N, RowSums>(t, sums, rows, scales, warp, lane);
}

// The main part of all kernels here: Epilogue::write(item, sums) gets a tile's sums. sums[b][4j+2h+q] of a thread is row 64b+16·warp+8h+lane/4, column
// 8j+2(lane%4)+q. With RowSums, sums of A's rows come beside: rows[b][2h] of row 64b+16·warp+8h+lane/4, computed for the tiles of column 0 as a product with ones.
template <int N, int TA, int TB, bool RowSums, class Epilogue>
INLINE void gemm(const void *map_a, const void *map_b, const work &w, const Epilogue &epilogue) {
    using R = ring<N>;
    extern __shared__ char dynamic[];
    u32 shared = (shared_address(dynamic) + 1023) & ~1023u; // the same in all blocks of a cluster
    int size = cluster_size();
    int group = threadIdx_x >> 7, warp = threadIdx_x >> 5 & 3, lane = threadIdx_x & 31;

    if (threadIdx_x == 0) {
        tma_prefetch(map_a);
        tma_prefetch(map_b);
        for (int i = 0; i < R::stages; i++) {
            barrier_init(shared + R::full + 8 * i, 1);
            barrier_init(shared + R::empty + 8 * i, 4 * size); // warps of the consumers that read the stage, in all blocks that it was given to
        }
        barrier_init(shared + R::turn, 4);
        barrier_init(shared + R::turn + 8, 4);
        barrier_init_done();
    }
    if (RowSums && threadIdx_x < 64) {
        asm volatile("st.shared.u32 [%0], %1;" ::"r"(shared + R::ones + 4 * threadIdx_x), "r"(0x3f803f80) : "memory");
        asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
    }
    cluster_sync();

    int items = w.tiles_m * w.tiles_n * w.splits;
    if (group == 0) {
        REGISTERS_FEWER(24);
        if (threadIdx_x == 0) {
            int stage = 0, parity = 1; // of the phase before the first: waiting for it returns at once
            for (int i = cluster_index(); i < items; i += cluster_count()) {
                item t = locate<N>(w, i);
                for (int k = t.split * w.steps; k < (t.split + 1) * w.steps; k++) {
                    barrier_wait(shared + R::empty + 8 * stage, parity);
                    bring<N, TA, TB>(shared + stage * R::stage, shared + R::full + 8 * stage, map_a, map_b, t.m, t.n, k * tile_k, w.side_by_side);
                    if (++stage == R::stages) stage = 0, parity ^= 1;
                }
            }
        }
    } else {
        REGISTERS_MORE(240);
        // A consumer multiplies when the other has seen all stages of the tile before: a barrier tells a phase from the one before, but not from the one before that.
        u32 turn = shared + R::turn + 8 * (group - 1), other_turn = shared + R::turn + 8 * (2 - group);
        int waited = group - 2 & 1; // the first is the first consumer's
        int stage = 0, parity = 0, skip = (group - 1) * w.steps; // stages of the other's tile before mine
        for (int i = cluster_index() + (group - 1) * cluster_count(); i < items; i += 2 * cluster_count()) {
            stage += skip;
            parity ^= stage / R::stages & 1;
            stage %= R::stages;
            skip = w.steps;
            item t = locate<N>(w, i);
            u32 scales = shared + R::scales + (threadIdx_x - 128 & ~31) * 4; // of the warp's rows
            epilogue.template prepare<N>(t, scales, warp, lane);
            barrier_wait(turn, waited);
            waited ^= 1;
            if (RowSums && t.n == 0)
                compute<N, TA, TB, true>(epilogue, t, shared, other_turn, scales, stage, parity, w.steps, size, warp, lane);
            else
                compute<N, TA, TB, false>(epilogue, t, shared, other_turn, scales, stage, parity, w.steps, size, warp, lane);
        }
    }
    cluster_sync(); // a block's shared memory and barriers must exist until the other block has no more to give and to say
}

// A 4×4 transposition of pairs over the lanes of a quad: v[2j+q] of lane t becomes v[2t+q] of lane j. So a thread gets 8 neighbours of a row from pieces of 2.
INLINE void exchange(float &low, float &high, bool upper, int lanes) {
    float got = shuffle_xor(upper ? low : high, lanes);
    if (upper)
        low = got;
    else
        high = got;
}
INLINE void transpose_quad(float (&v)[8], int lane) {
#pragma unroll
    for (int q = 0; q < 2; q++) {
        exchange(v[q], v[2 + q], lane & 1, 1);
        exchange(v[4 + q], v[6 + q], lane & 1, 1);
        exchange(v[q], v[4 + q], lane & 2, 2);
        exchange(v[2 + q], v[6 + q], lane & 2, 2);
    }
}

INLINE void unpack(uint4 x, float (&v)[8]) {
    v[0] = lower(x.x), v[1] = upper(x.x), v[2] = lower(x.y), v[3] = upper(x.y);
    v[4] = lower(x.z), v[5] = upper(x.z), v[6] = lower(x.w), v[7] = upper(x.w);
}
INLINE uint4 pack(const float (&v)[8]) { return (uint4){pack(v[0], v[1]), pack(v[2], v[3]), pack(v[4], v[5]), pack(v[6], v[7])}; }

// What is done to sums before they are written as bf16. There is a kernel for each, and not one for all, so that the choice costs no registers.
enum step { plain, with_gelu, with_residual, with_derivative };

// ld is that of c, h, activation and residual.
template <step S> struct finish {
    bf16 *c;
    int M, N, ld;
    float alpha;
    const float *bias;
    bf16 *h, *activation;
    const bf16 *residual;
    const float *scale;
    int sample_rows;

    // What write reads.
    __device__ __forceinline__ const bf16 *reads() const { return S == with_residual ? residual : S == with_derivative ? h : nullptr; }

    // From a thread's first row to its r-th of 4.
    static __device__ __forceinline__ int rows_to(int r) { return r / 2 * 64 + r % 2 * 8; }

    // Before the products: lane i sees to the i-th row of the warp's. Brings to the L2 cache what write will read, and its scale to shared memory.
    template <int W> __device__ __forceinline__ void prepare(item t, u32 scales, int warp, int lane) const {
        if (S == with_residual || S == with_derivative) {
            int row = t.m + 16 * warp + (lane & 15) + (lane & 16) * 4;
            if (S == with_residual) {
                float s = scale == nullptr ? 1 : row < M ? scale[row / sample_rows] : 0;
                warp_sync();
                asm volatile("st.shared.f32 [%0], %1;" ::"r"(scales + 4 * lane), "f"(s) : "memory");
                warp_sync();
            }
            if (row >= M) return;
            const bf16 *p = reads() + (i64)row * ld + t.n;
#pragma unroll
            for (int j = 0; j < W; j += 64)
                if (t.n + j < N) asm volatile("prefetch.global.L2 [%0];" ::"l"(p + j));
        }
    }

    template <int W, bool RowSums> __device__ __forceinline__ void write(item t, float (&sums)[2][W / 2], float (&)[2][4], u32 scales, int warp, int lane) const {
        int row = t.m + 16 * warp + (lane >> 2), column = t.n + 8 * (lane & 3);
        i64 at = (i64)row * ld + column;
#pragma unroll
        for (int a = 0; a < W / 32; a++) {
            bool in = column + 32 * a < N;
            float4 b0 = {0, 0, 0, 0}, b1 = {0, 0, 0, 0};
            if (S != with_derivative && bias && in) b0 = *(const float4 *)(bias + column + 32 * a), b1 = *(const float4 *)(bias + column + 32 * a + 4);
            uint4 other[4]; // four loads at a time where there are registers for it
            if (S == with_derivative) {
#pragma unroll
                for (int r = 0; r < 4; r++) {
                    other[r] = (uint4){0, 0, 0, 0};
                    if (in && row + rows_to(r) < M) other[r] = *(const uint4 *)(reads() + at + (rows_to(r) * ld + 32 * a));
                }
            }
#pragma unroll
            for (int r = 0; r < 4; r++) {
                float v[8], o[8];
                asm volatile("" ::: "memory");
#pragma unroll
                for (int j = 0; j < 4; j++)
#pragma unroll
                    for (int q = 0; q < 2; q++) v[2 * j + q] = sums[r / 2][16 * a + 4 * j + 2 * (r % 2) + q];
                transpose_quad(v, lane);
                bool inside = in && row + rows_to(r) < M;
                i64 here = at + (rows_to(r) * ld + 32 * a);
                if (S == with_residual) {
                    other[r] = (uint4){0, 0, 0, 0};
                    if (inside) other[r] = *(const uint4 *)(reads() + here);
                }
#pragma unroll
                for (int j = 0; j < 8; j++) v[j] = alpha * v[j] + (j < 4 ? b0[j & 3] : b1[j & 3]);
                if (S == with_gelu) {
                    uint4 rounded = pack(v);
                    if (h && inside) *(uint4 *)(h + here) = rounded;
                    unpack(rounded, v);
#pragma unroll
                    for (int j = 0; j < 8; j++) v[j] = gelu<bf16>(v[j]);
                }
                if (S == with_derivative) {
                    unpack(other[r], o);
#pragma unroll
                    for (int j = 0; j < 8; j++) {
                        NormalTail tail = normal_tail<bf16>(o[j]);
                        v[j] *= gelu_derivative_of(o[j], tail);
                        o[j] = gelu_of(o[j], tail);
                    }
                    if (activation && inside) *(uint4 *)(activation + here) = pack(o);
                }
                if (S == with_residual) {
                    float s;
                    asm volatile("ld.shared.f32 %0, [%1];" : "=f"(s) : "r"(scales + 32 * r + (lane >> 2) * 4));
                    unpack(other[r], o);
#pragma unroll
                    for (int j = 0; j < 8; j++) v[j] = s == 0 ? o[j] : o[j] + s * v[j];
                }
                if (inside) *(uint4 *)(c + here) = pack(v);
            }
        }
    }
};

// Sums of a part of the terms, as gemm_reduce takes them: of M rows of N rounded up to eight, and behind those of all parts the sums of rows.
struct part {
    float *partial, *rows;
    int M, N;

    template <int W> __device__ __forceinline__ void prepare(item, u32, int, int) const {}

    template <int W, bool RowSums> __device__ __forceinline__ void write(item t, float (&sums)[2][W / 2], float (&row_sums)[2][4], u32, int warp, int lane) const {
#pragma unroll
        for (int r = 0; r < 4; r++) {
            int row = t.m + r / 2 * 64 + 16 * warp + r % 2 * 8 + (lane >> 2), column = t.n + 2 * (lane & 3);
            asm volatile("" : "+r"(column)); // where t.n is 0 they would be kept in registers from tile to tile
            if (row >= M) continue;
            float *to = partial + ((i64)t.split * M + row) * N + column;
#pragma unroll
            for (int j = 0; j < W / 8; j++)
                if (column + 8 * j < N) *(float2 *)(to + 8 * j) = (float2){sums[r / 2][4 * j + 2 * (r % 2)], sums[r / 2][4 * j + 2 * (r % 2) + 1]};
            if (RowSums && rows && (lane & 3) == 0) rows[(i64)t.split * M + row] = row_sums[r / 2][2 * (r % 2)];
        }
    }
};

// clang-format off
#define GEMM(name, width, tb, step) \
    KERNEL_BLOCKS(name, 384, 1)(tensor_map a, tensor_map b, bf16 *c, int M, int N, int ldc, float alpha, const float *bias, bf16 *h, bf16 *activation, const bf16 *residual, \
                      const float *scale, int sample_rows, int tiles_m, int tiles_n, int group, int steps, int side_by_side) { \
        const void *map_a, *map_b; \
        PARAMETER(map_a, name, 0); \
        PARAMETER(map_b, name, 1); \
        gemm<width, 0, tb, false>(map_a, map_b, work{tiles_m, tiles_n, group, 1, steps, side_by_side}, \
                                finish<step>{c, M, N, ldc, alpha, bias, h, activation, residual, scale, sample_rows}); \
    }
#define GEMM_PARTS(name, width) \
    KERNEL_BLOCKS(name, 384, 1)(tensor_map a, tensor_map b, float *partial, float *rows, int M, int N, int tiles_m, int tiles_n, int group, int splits, int steps, int side_by_side) { \
        const void *map_a, *map_b; \
        PARAMETER(map_a, name, 0); \
        PARAMETER(map_b, name, 1); \
        gemm<width, 1, 1, true>(map_a, map_b, work{tiles_m, tiles_n, group, splits, steps, side_by_side}, part{partial, rows, M, (N + 7) & ~7}); \
    }
// clang-format on

// With a derivative the epilogue is what takes the time, and needs registers: its tile is smaller.
GEMM(gemm_nt, 192, 0, plain)
GEMM(gemm_nt_gelu, 192, 0, with_gelu)
GEMM(gemm_nt_residual, 192, 0, with_residual)
GEMM(gemm_nn, 192, 1, plain)
GEMM(gemm_nn_residual, 192, 1, with_residual)
GEMM(gemm_nn_derivative, 128, 1, with_derivative)
GEMM_PARTS(gemm_tn, 192)
