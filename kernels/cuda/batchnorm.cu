// Batch norm of rows (rows, n): every column by its own mean and biased variance, y = (x − mean)·rstd·w + b, and its backward. A block has 32 columns, a lane each;
// its warp w of 32 the rows w, w + 32, …. Forward three reads, two of them out of the caches, and one write an element; backward four reads, two of them out of
// the caches, and one write.
#include "rows.cuh"

// down sums x over the warps of the block, in order, for each lane.
INLINE float down(float x, float (*shared)[32]) {
    __syncthreads();
    shared[warp()][lane()] = x;
    __syncthreads();
    float sum = 0;
#pragma unroll 4
    for (int w = 0; w < 32; w++) sum += shared[w][lane()];
    return sum;
}

template <class T> INLINE void forward(T *y, float *mean, float *rstd, const T *x, const float *w, const float *b, float eps, int rows, int n) {
    __shared__ float shared[32][32];
    int c = 32 * blockIdx_x + lane();
    bool in = c < n;
    x += c, y += c;
    float sum = 0, squares = 0;
    if (in)
        for (int r = warp(); r < rows; r += 32) sum += load(x + (i64)r * n);
    float m = div_rn(down(sum, shared), rows);
    if (in)
        for (int r = warp(); r < rows; r += 32) {
            float d = load(x + (i64)r * n) - m;
            squares += d * d;
        }
    float s = div_rn(1, sqrt_rn(div_rn(down(squares, shared), rows) + eps));
    if (!in) return;
    if (warp() == 0) mean[c] = m, rstd[c] = s;
    float scale = w[c], shift = b[c];
    for (int r = warp(); r < rows; r += 32) store(y + (i64)r * n, (load(x + (i64)r * n) - m) * s * scale + shift);
}

// With x̂ = (x − mean)·rstd: dw += Σ dy·x̂, db += Σ dy, dx = w·rstd·(dy − average(dy) − x̂·average(dy·x̂)), or += with add. Each may be null: not wanted.
template <class T>
INLINE void backward(T *dx, float *dw, float *db, const T *dy, const T *x, const float *w, const float *mean, const float *rstd, int rows, int n, bool add) {
    __shared__ float shared[32][32];
    int c = 32 * blockIdx_x + lane();
    bool in = c < n;
    bool wanted = dx;
    x += c, dy += c, dx += c;
    float m = in ? mean[c] : 0, s = in ? rstd[c] : 0, sum = 0, dot = 0;
    if (in)
        for (int r = warp(); r < rows; r += 32) {
            float d = load(dy + (i64)r * n);
            sum += d;
            dot += d * ((load(x + (i64)r * n) - m) * s);
        }
    sum = down(sum, shared), dot = down(dot, shared);
    if (!in) return;
    if (warp() == 0) {
        if (dw) dw[c] += dot;
        if (db) db[c] += sum;
    }
    if (!wanted) return;
    float scale = w[c] * s;
    sum = div_rn(sum, rows), dot = div_rn(dot, rows);
    for (int r = warp(); r < rows; r += 32) {
        i64 i = (i64)r * n;
        float d = scale * (load(dy + i) - sum - (load(x + i) - m) * s * dot);
        store(dx + i, add ? load(dx + i) + d : d);
    }
}

// running = (1 − momentum)·running + momentum·batch, with the variance times unbiased = rows/(rows − 1). A thread a column.
KERNEL(batchnorm_update, 256)(float *running_mean, float *running_var, const float *mean, const float *rstd, float unbiased, float eps, float momentum, int n) {
    int c = blockIdx_x * 256 + threadIdx_x;
    if (c >= n) return;
    float variance = div_rn(1, rstd[c] * rstd[c]) - eps;
    running_mean[c] += momentum * (mean[c] - running_mean[c]);
    running_var[c] += momentum * (variance * unbiased - running_var[c]);
}

#define KERNELS(T, type)                                                                                                                                       \
    KERNEL(batchnorm_forward_##type, 1024)(T *y, float *mean, float *rstd, const T *x, const float *w, const float *b, float eps, int rows, int n) {           \
        forward(y, mean, rstd, x, w, b, eps, rows, n);                                                                                                         \
    }                                                                                                                                                          \
    KERNEL(batchnorm_backward_##type, 1024)                                                                                                                    \
    (T *dx, float *dw, float *db, const T *dy, const T *x, const float *w, const float *mean, const float *rstd, int rows, int n, int add) {                   \
        backward(dx, dw, db, dy, x, w, mean, rstd, rows, n, add);                                                                                              \
    }
KERNELS(float, f32)
KERNELS(bf16, bf16)
