// Products of bf16, and what is common to those of all types; gemm.go has the meaning.
#include "gemm_mma.cuh"

GEMM_KERNELS(bf16, bf16)

// gemm_reduce adds up the parts of a product in their order and finishes it. A thread has eight adjacent elements of C: blocks of 8 rows and 256 columns.
// Bytes: 4 a part and element, beside those of the epilogue.
KERNEL(gemm_reduce, 256)(const float *partial, int parts, float *row_sums, EPILOGUE_PARAMETERS) {
    Epilogue e = EPILOGUE;
    int i = blockIdx_y * 8 + (threadIdx_x >> 5), lane = threadIdx_x & 31, j = (blockIdx_x * 32 + lane) * 8;
    if (i >= M) return;
    int columns = partial_columns(N);
    if (row_sums && j == 0) {
        const float *p = partial + (i64)parts * M * columns + i;
        float sum = 0;
        for (int s = 0; s < parts; s++, p += M) sum += *p;
        row_sums[i] += sum;
    }
    if (j >= N) return;
    float v[8] = {}, w[8], b[8];
    const float *p = partial + (i64)i * columns + j;
#pragma unroll 4
    for (int s = 0; s < parts; s++, p += (i64)M * columns) {
        get8(w, p, true, 8);
#pragma unroll
        for (int k = 0; k < 8; k++) v[k] += w[k];
    }
    bias8(e, j, b);
    finish(e, i, j, v, b);
}

// sums[i] += the sum of row i of A, (M, K). Block: 8 rows, a warp each, whose lanes take every 32nd element. This is for products whose kernels do not sum
// rows on the way: those of A that is not transposed.
template <class T> INLINE void row_sums(float *sums, const T *A, int lda, int M, int K) {
    int i = blockIdx_x * 8 + (threadIdx_x >> 5), lane = threadIdx_x & 31;
    if (i >= M) return;
    float sum = 0;
    for (int k = lane; k < K; k += 32) sum += load(A + (i64)i * lda + k);
    sum = warp_sum(sum);
    if (lane == 0) sums[i] += sum;
}

KERNEL(gemm_row_sums_f32, 256)(float *sums, const float *A, int lda, int M, int K) { row_sums(sums, A, lda, M, K); }
KERNEL(gemm_row_sums_bf16, 256)(float *sums, const bf16 *A, int lda, int M, int K) { row_sums(sums, A, lda, M, K); }
