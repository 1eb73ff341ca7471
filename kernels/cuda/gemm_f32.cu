// Products of float32 as float32 has them; gemm.go has the meaning.
//
// Every warp has a tile of 32 rows and COLUMNS columns of C in registers, eight rows of every lane: 4·(lane/8) to +3 and those 16 below, and four columns, 4·(lane%8) to +3, of every 32. So of
// what it reads of shared memory, eight or four lanes read the same. A block goes along K in steps of 8, of which the next is on its way through registers meanwhile: operands lie in shared memory as
// rows of equal k, so that one that goes along K is transposed on the way. 2·128·128·8 operations take as many multiply-adds as 64 lanes·8·64, and 4 KB·2 of loads.
#include "gemm.cuh"

// Operand is one of A and B, as that of gemm_mma.cuh. A thread brings four elements a step.
template <int TILE, int THREADS, bool ALONG_K> struct Operand {
    static const int depth = 8, pitch = TILE + 4; // the pitch keeps transposing threads in different banks
    const float *from;
    i64 step;
    int left, to;
    float v[4];

    __device__ __forceinline__ Operand(const float *base, int ld, int line, int lines, int k) {
        int t = threadIdx_x;
        int l = ALONG_K ? t / 2 : t % (TILE / 4) * 4, p = ALONG_K ? t % 2 * 4 : t / (TILE / 4);
        from = base + (ALONG_K ? (i64)(line + l) * ld + k + p : (i64)(k + p) * ld + line + l);
        step = ALONG_K ? depth : (i64)depth * ld;
        left = lines - line - l;
        to = p * pitch + l;
    }
    // load reads the next step, of which terms are left, into v.
    __device__ __forceinline__ void load(int terms, bool vector) {
        int t = threadIdx_x;
        terms -= ALONG_K ? t % 2 * 4 : t / (TILE / 4);
        int n = ALONG_K ? (left > 0 ? terms : 0) : (terms > 0 ? left : 0);
        if (vector && n >= 4) {
            float4 x = *(const float4 *)from;
            v[0] = x.x, v[1] = x.y, v[2] = x.z, v[3] = x.w;
        } else {
#pragma unroll
            for (int i = 0; i < 4; i++) v[i] = i < n ? from[i] : 0.f;
        }
        from += step;
    }
    __device__ __forceinline__ void put(float *stage) const {
        if (ALONG_K)
#pragma unroll
            for (int i = 0; i < 4; i++) stage[to + i * pitch] = v[i];
        else
            *(float4 *)(stage + to) = (float4){v[0], v[1], v[2], v[3]};
    }
};

template <bool TRANS_A, bool TRANS_B, int TILE>
INLINE void gemm(const float *A, int lda, const float *B, int ldb, int K, int part, float *row_sums, float *partial, const Epilogue &e) {
    extern __shared__ __attribute__((aligned(1024))) unsigned char memory[];
    const int threads = TILE * 2, columns = TILE / 2, wide = columns / 32;
    const int depth = 8, pitch = TILE + 4;
    float *shared = (float *)memory;

    int tile_row, tile_column;
    tile_of_block(e.flags, &tile_row, &tile_column);
    int warp = threadIdx_x >> 5, lane = threadIdx_x & 31;
    int warp_row = (warp >> 1) * 32, warp_column = (warp & 1) * columns;
    int k = blockIdx_z * part, terms = imin(K - k, part);

    Operand<TILE, threads, !TRANS_A> a(A, lda, tile_row * TILE, e.M, k);
    Operand<TILE, threads, TRANS_B> b(B, ldb, tile_column * TILE, e.N, k);
    bool vector_of_a = e.flags & vector_a, vector_of_b = e.flags & vector_b;

    float c[8][4 * wide] = {};
    bool summing = TRANS_A && row_sums && tile_column == 0 && warp_column == 0;
    float sums[8] = {};

    const float *rows = shared + warp_row + lane / 8 * 4, *cols = shared + depth * pitch + warp_column + lane % 8 * 4;
    int stage = 0;
    if (terms > 0) {
        a.load(terms, vector_of_a);
        b.load(terms, vector_of_b);
        a.put(shared);
        b.put(shared + depth * pitch);
    }
    __syncthreads();
#pragma unroll 1
    for (; terms > 0; terms -= depth) {
        bool more = terms > depth;
        if (more) {
            a.load(terms - depth, vector_of_a);
            b.load(terms - depth, vector_of_b);
        }
#pragma unroll
        for (int p = 0; p < depth; p++) {
            float x[8], y[4 * wide];
#pragma unroll
            for (int i = 0; i < 2; i++) {
                float4 v = *(const float4 *)(rows + stage + p * pitch + i * 16);
                x[i * 4] = v.x, x[i * 4 + 1] = v.y, x[i * 4 + 2] = v.z, x[i * 4 + 3] = v.w;
            }
#pragma unroll
            for (int j = 0; j < wide; j++) {
                float4 v = *(const float4 *)(cols + stage + p * pitch + j * 32);
                y[j * 4] = v.x, y[j * 4 + 1] = v.y, y[j * 4 + 2] = v.z, y[j * 4 + 3] = v.w;
            }
#pragma unroll
            for (int i = 0; i < 8; i++)
#pragma unroll
                for (int j = 0; j < 4 * wide; j++) c[i][j] = __builtin_fmaf(x[i], y[j], c[i][j]);
            if (TRANS_A && summing)
#pragma unroll
                for (int i = 0; i < 8; i++) sums[i] += x[i];
        }
        stage = 2 * depth * pitch - stage;
        if (more) {
            a.put(shared + stage);
            b.put(shared + stage + depth * pitch);
        }
        __syncthreads();
    }

    if (partial) {
        row_sums = partial + (i64)gridDim_z * e.M * partial_columns(e.N) + (i64)blockIdx_z * e.M;
        partial += (i64)blockIdx_z * e.M * partial_columns(e.N);
    }
    int row = tile_row * TILE + warp_row, column = tile_column * TILE + warp_column;
    if (summing && lane % 8 == 0) {
#pragma unroll
        for (int i = 0; i < 8; i++) {
            int r = row + i / 4 * 16 + lane / 8 * 4 + i % 4;
            if (r < e.M) row_sums[r] = sums[i] + (partial ? 0.f : row_sums[r]);
        }
    }
    float *tile = shared + warp * 32 * columns;
#pragma unroll
    for (int i = 0; i < 8; i++)
#pragma unroll
        for (int j = 0; j < wide; j++)
            *(float4 *)(tile + staged<columns>(i / 4 * 16 + lane / 8 * 4 + i % 4, j * 4 + lane % 8 / 2, lane & 1)) =
                (float4){c[i][j * 4], c[i][j * 4 + 1], c[i][j * 4 + 2], c[i][j * 4 + 3]};
    sync_warp();
    write_tile<32, columns>(e, tile, row, column, partial);
}

// Parameters and grid are those of the kernels of gemm_mma.cuh; a part's number of terms may be any.
#define GEMM_KERNEL(name, trans_a, trans_b, tile)                                                                                                              \
    KERNEL_BLOCKS(name##_##tile, 2 * tile, tile == 128 ? 1 : 4)(const float *A, int lda, const float *B, int ldb, int K, int part, float *row_sums, float *partial, EPILOGUE_PARAMETERS) {   \
        gemm<trans_a, trans_b, tile>(A, lda, B, ldb, K, part, row_sums, partial, EPILOGUE);                                                                     \
    }
GEMM_KERNEL(gemm_f32_nn, false, false, 64)
GEMM_KERNEL(gemm_f32_nt, false, true, 64)
GEMM_KERNEL(gemm_f32_tn, true, false, 64)
GEMM_KERNEL(gemm_f32_tt, true, true, 64)
GEMM_KERNEL(gemm_f32_nn, false, false, 128)
GEMM_KERNEL(gemm_f32_nt, false, true, 128)
GEMM_KERNEL(gemm_f32_tn, true, false, 128)
