// Scaled dot-product attention of packed projections (Vaswani et al. 2017, §3.2.1), all in float32: the kernels of float32, and of bf16 for heads that the
// tensor cores' kernels (attention_bf16.cuh) do not take.
//
//   qkv   (B, N, 3C)       [q | k | v], each of heads × d elements, C = heads·d
//   y     (B, N, C)        y[i] = Σ_j p[i,j]·v[j] with p[i,j] = exp(s[i,j] − lse[i]), s[i,j] = q[i]·k[j]/√d
//   lse   (B, heads, N)    log Σ_j exp(s[i,j]), float32
//   p     (B, heads, N, N)
//
// and with delta[i] = Σ_j p[i,j]·(dy[i]·v[j]) = dy[i]·y[i] (Dao et al. 2022, FlashAttention, appendix B.2)
//
//   ds[i,j] = p[i,j]·(dy[i]·v[j] − delta[i])/√d
//   dq[i] = Σ_j ds[i,j]·k[j]    dk[j] = Σ_i ds[i,j]·q[i]    dv[j] = Σ_i p[i,j]·dy[i]
//
// In all kernels blockIdx.y is a head, z a sample, x a block of 4·ROWS rows (queries; keys in dk and dv), ROWS a warp. The other side streams by, 32 rows at a
// time, one a lane for scores. Sums over the stream are in registers, columns lane, lane + 32, … of a row. WIDTH is 64, 128 or 256, and d no more.
#include "common.cuh"

const float infinity = __builtin_inff();

extern __shared__ __attribute__((aligned(16))) float shared[];

INLINE int lane_index() { return threadIdx_x & 31; }
INLINE int warp_index() { return threadIdx_x >> 5; }

INLINE float maximum(float a, float b) { return __builtin_fmaxf(a, b); } // of NaN and a number: the number
INLINE float warp_maximum(float x) {
#pragma unroll
    for (int o = 16; o > 0; o >>= 1) x = maximum(x, shuffle_xor(x, o));
    return x;
}
INLINE void sync_warp() { asm volatile("bar.warp.sync 0xffffffff;" ::: "memory"); }

// A row of WIDTH elements in shared memory: 16 bytes of 8 rows then lie in 32 different banks.
template <int WIDTH> constexpr int row_of = WIDTH + 4;

// load_rows copies rows of d elements, ld apart, the first there > 0 of them; the rest of the rows, and of each row, is zeros.
template <int WIDTH, class T> INLINE void load_rows(float *to, const T *from, int ld, int rows, int there, int d) {
    to += warp_index() * row_of<WIDTH> + lane_index();
#pragma unroll 1
    for (int r = warp_index(); r < rows; r += 4) {
        const T *row = from + imin(r, there - 1) * ld;
#pragma unroll
        for (int c = 0; c < WIDTH; c += 32) {
            const int l = c + lane_index();
            const float x = load(row + imin(l, d - 1));
            to[c] = r < there && l < d ? x : 0;
        }
        to += 4 * row_of<WIDTH>;
    }
}

// dot computes s[r] = own[r]·x of ROWS rows with one row a lane.
template <int WIDTH, int ROWS> INLINE void dot(float (&s)[ROWS], const float *own, const float *x, int d) {
#pragma unroll
    for (int r = 0; r < ROWS; r++) s[r] = 0;
    for (int c = 0; c < d; c += 4) {
        const float4 b = load4(x + c);
#pragma unroll
        for (int r = 0; r < ROWS; r++) {
            const float4 a = load4(own + r * row_of<WIDTH> + c);
            s[r] += a.x * b.x;
            s[r] += a.y * b.y;
            s[r] += a.z * b.z;
            s[r] += a.w * b.w;
        }
    }
}

// add_product adds to sum[r] the rows x of the stream, times the weights of row r: w[r] of each lane, which pass through the warp's shared memory.
template <int WIDTH, int ROWS> INLINE void add_product(float (&sum)[ROWS][WIDTH / 32], const float (&w)[ROWS], const float *x, float *weights) {
#pragma unroll
    for (int r = 0; r < ROWS; r++) weights[r * 32 + lane_index()] = w[r];
    sync_warp();
    for (int j = 0; j < 32; j += 4) {
        float v[4][WIDTH / 32];
#pragma unroll
        for (int e = 0; e < 4; e++)
#pragma unroll
            for (int c = 0; c < WIDTH / 32; c++) v[e][c] = x[(j + e) * row_of<WIDTH> + c * 32 + lane_index()];
#pragma unroll
        for (int r = 0; r < ROWS; r++) {
            const float4 a = load4(weights + r * 32 + j);
#pragma unroll
            for (int c = 0; c < WIDTH / 32; c++) {
                sum[r][c] += a.x * v[0][c];
                sum[r][c] += a.y * v[1][c];
                sum[r][c] += a.z * v[2][c];
                sum[r][c] += a.w * v[3][c];
            }
        }
    }
    sync_warp();
}

// store_row writes d elements, the lane's columns of x times factor, or adds them.
template <int WIDTH, class T> INLINE void store_row(T *to, const float (&x)[WIDTH / 32], float factor, int d, bool add) {
#pragma unroll
    for (int c = 0; c < WIDTH / 32; c++) {
        const int l = c * 32 + lane_index();
        if (l < d) store(to + l, x[c] * factor + (add ? load(to + l) : 0));
    }
}

// Softmax statistics of a row: the largest score so far, and of this lane's keys Σ exp(s − top). Scores are scaled by 1/√d·log2(e), exponentials of base 2.
struct Statistics {
    float top, sum;
};
// add_score makes s, a scaled score or −Inf, a weight exp(s − top), and returns by how much earlier sums have to be scaled down.
INLINE float add_score(Statistics &a, float &s) {
    const float top = maximum(a.top, warp_maximum(s));
    const float shift = top == -infinity ? 0 : top; // −Inf − −Inf would be NaN before there is a score
    const float old = exp2_approx(a.top - shift);
    s = exp2_approx(s - shift);
    a.sum = a.sum * old + s;
    a.top = top;
    return old;
}
// log_sum is log2 Σ exp2(s), NaN if all s are −Inf.
INLINE float log_sum(const Statistics &a, float sum) { return a.top + log2_approx(sum) + (a.top == -infinity ? a.top - a.top : 0); }

template <int WIDTH, int ROWS, class T> INLINE void forward(T *y, float *lse, const T *qkv, int n, int d, float scale) {
    const int heads = gridDim_y, head = blockIdx_y, c = heads * d, ld = 3 * c, row = blockIdx_x * 4 * ROWS;
    const i64 sample = blockIdx_z;
    qkv += sample * n * ld + head * d;
    float *q = shared, *k = q + 4 * ROWS * row_of<WIDTH>, *v = k + 32 * row_of<WIDTH>, *weights = v + 32 * row_of<WIDTH> + warp_index() * ROWS * 32;
    load_rows<WIDTH>(q, qkv + row * ld, ld, 4 * ROWS, n - row, d);
    q += warp_index() * ROWS * row_of<WIDTH>;

    Statistics a[ROWS];
    float o[ROWS][WIDTH / 32], s[ROWS];
#pragma unroll
    for (int r = 0; r < ROWS; r++) {
        a[r].top = -infinity;
        a[r].sum = 0;
#pragma unroll
        for (int c = 0; c < WIDTH / 32; c++) o[r][c] = 0;
    }
    for (int j = 0; j < n; j += 32) {
        __syncthreads();
        load_rows<WIDTH>(k, qkv + j * ld + c, ld, 32, n - j, d);
        load_rows<WIDTH>(v, qkv + j * ld + 2 * c, ld, 32, n - j, d);
        __syncthreads();
        dot<WIDTH>(s, q, k + lane_index() * row_of<WIDTH>, d);
#pragma unroll
        for (int r = 0; r < ROWS; r++) {
            s[r] = j + lane_index() < n ? s[r] * scale : -infinity;
            const float old = add_score(a[r], s[r]);
#pragma unroll
            for (int c = 0; c < WIDTH / 32; c++) o[r][c] *= old;
        }
        add_product<WIDTH>(o, s, v, weights);
    }
#pragma unroll
    for (int r = 0; r < ROWS; r++) {
        const int i = row + warp_index() * ROWS + r;
        const float sum = warp_sum(a[r].sum);
        if (i < n) {
            store_row<WIDTH>(y + (sample * n + i) * c + head * d, o[r], div_rn(1, sum), d, false);
            if (lane_index() == 0) lse[(sample * heads + head) * n + i] = ln2 * log_sum(a[r], sum);
        }
    }
}

// weights goes through the keys twice: for the statistics, and for what they say.
template <int WIDTH, int ROWS, class T> INLINE void weights(T *p, const T *qkv, int n, int d, float scale) {
    const int heads = gridDim_y, head = blockIdx_y, c = heads * d, ld = 3 * c, row = blockIdx_x * 4 * ROWS;
    const i64 sample = blockIdx_z;
    qkv += sample * n * ld + head * d;
    float *q = shared, *k = q + 4 * ROWS * row_of<WIDTH>;
    load_rows<WIDTH>(q, qkv + row * ld, ld, 4 * ROWS, n - row, d);
    q += warp_index() * ROWS * row_of<WIDTH>;

    Statistics a[ROWS];
    float s[ROWS];
#pragma unroll
    for (int r = 0; r < ROWS; r++) a[r].top = -infinity, a[r].sum = 0;
    for (int pass = 0; pass < 2; pass++)
        for (int j = 0; j < n; j += 32) {
            __syncthreads();
            load_rows<WIDTH>(k, qkv + j * ld + c, ld, 32, n - j, d);
            __syncthreads();
            dot<WIDTH>(s, q, k + lane_index() * row_of<WIDTH>, d);
#pragma unroll
            for (int r = 0; r < ROWS; r++) {
                const int i = row + warp_index() * ROWS + r, l = j + lane_index();
                s[r] = l < n ? s[r] * scale : -infinity;
                if (pass == 0) {
                    add_score(a[r], s[r]);
                    if (j + 32 >= n) a[r].sum = div_rn(1, warp_sum(a[r].sum));
                } else if (i < n && l < n)
                    store(p + ((sample * heads + head) * n + i) * n + l, exp2_approx(s[r] - a[r].top) * a[r].sum);
            }
        }
}

// backward_q computes dq, and delta (B, heads, N) for backward_kv.
template <int WIDTH, int ROWS, class T>
INLINE void backward_q(T *dqkv, float *delta, const T *dy, const T *qkv, const T *y, const float *lse, int n, int d, float scale, bool add) {
    const int heads = gridDim_y, head = blockIdx_y, c = heads * d, ld = 3 * c, row = blockIdx_x * 4 * ROWS, first = row + warp_index() * ROWS;
    const i64 sample = blockIdx_z;
    qkv += sample * n * ld + head * d;
    dy += sample * n * c + head * d;
    y += sample * n * c + head * d;
    lse += (sample * heads + head) * n;
    delta += (sample * heads + head) * n;
    float *q = shared, *g = q + 4 * ROWS * row_of<WIDTH>, *k = g + 4 * ROWS * row_of<WIDTH>, *v = k + 32 * row_of<WIDTH>;
    float *w = v + 32 * row_of<WIDTH> + warp_index() * ROWS * 32;
    load_rows<WIDTH>(q, qkv + row * ld, ld, 4 * ROWS, n - row, d);
    load_rows<WIDTH>(g, dy + row * c, c, 4 * ROWS, n - row, d);
    q += warp_index() * ROWS * row_of<WIDTH>;
    g += warp_index() * ROWS * row_of<WIDTH>;
    __syncthreads();

    float l[ROWS], e[ROWS], dq[ROWS][WIDTH / 32], p[ROWS], dp[ROWS];
#pragma unroll
    for (int r = 0; r < ROWS; r++) {
        const int i = imin(first + r, n - 1);
        float sum = 0;
#pragma unroll
        for (int c0 = 0; c0 < WIDTH; c0 += 32) {
            const int column = c0 + lane_index();
            if (column < d) sum += g[r * row_of<WIDTH> + column] * load(y + i * c + column);
        }
        e[r] = warp_sum(sum);
        l[r] = lse[i] * log2e;
        if (first + r < n && lane_index() == 0) delta[i] = e[r];
#pragma unroll
        for (int c = 0; c < WIDTH / 32; c++) dq[r][c] = 0;
    }
    for (int j = 0; j < n; j += 32) {
        __syncthreads();
        load_rows<WIDTH>(k, qkv + j * ld + c, ld, 32, n - j, d);
        load_rows<WIDTH>(v, qkv + j * ld + 2 * c, ld, 32, n - j, d);
        __syncthreads();
        dot<WIDTH>(p, q, k + lane_index() * row_of<WIDTH>, d);
        dot<WIDTH>(dp, g, v + lane_index() * row_of<WIDTH>, d);
#pragma unroll
        for (int r = 0; r < ROWS; r++) p[r] = j + lane_index() < n ? exp2_approx(p[r] * scale - l[r]) * (dp[r] - e[r]) : 0;
        add_product<WIDTH>(dq, p, k, w);
    }
#pragma unroll
    for (int r = 0; r < ROWS; r++)
        if (first + r < n) store_row<WIDTH>(dqkv + (sample * n + first + r) * ld + head * d, dq[r], scale * ln2, d, add);
}

template <int WIDTH, int ROWS, class T>
INLINE void backward_kv(T *dqkv, const float *delta, const T *dy, const T *qkv, const float *lse, int n, int d, float scale, bool add) {
    const int heads = gridDim_y, head = blockIdx_y, c = heads * d, ld = 3 * c, row = blockIdx_x * 4 * ROWS, first = row + warp_index() * ROWS;
    const i64 sample = blockIdx_z;
    qkv += sample * n * ld + head * d;
    dy += sample * n * c + head * d;
    lse += (sample * heads + head) * n;
    delta += (sample * heads + head) * n;
    float *k = shared, *v = k + 4 * ROWS * row_of<WIDTH>, *q = v + 4 * ROWS * row_of<WIDTH>, *g = q + 32 * row_of<WIDTH>;
    float *w = g + 32 * row_of<WIDTH> + warp_index() * ROWS * 32;
    load_rows<WIDTH>(k, qkv + row * ld + c, ld, 4 * ROWS, n - row, d);
    load_rows<WIDTH>(v, qkv + row * ld + 2 * c, ld, 4 * ROWS, n - row, d);
    k += warp_index() * ROWS * row_of<WIDTH>;
    v += warp_index() * ROWS * row_of<WIDTH>;

    float dk[ROWS][WIDTH / 32], dv[ROWS][WIDTH / 32], p[ROWS], dp[ROWS];
#pragma unroll
    for (int r = 0; r < ROWS; r++)
#pragma unroll
        for (int c = 0; c < WIDTH / 32; c++) dk[r][c] = 0, dv[r][c] = 0;
    for (int i = 0; i < n; i += 32) {
        __syncthreads();
        load_rows<WIDTH>(q, qkv + i * ld, ld, 32, n - i, d);
        load_rows<WIDTH>(g, dy + i * c, c, 32, n - i, d);
        __syncthreads();
        const bool there = i + lane_index() < n;
        const int query = imin(i + lane_index(), n - 1);
        const float l = lse[query] * log2e, e = delta[query];
        dot<WIDTH>(p, k, q + lane_index() * row_of<WIDTH>, d);
        dot<WIDTH>(dp, v, g + lane_index() * row_of<WIDTH>, d);
#pragma unroll
        for (int r = 0; r < ROWS; r++) {
            p[r] = there ? exp2_approx(p[r] * scale - l) : 0;
            dp[r] = there ? p[r] * (dp[r] - e) : 0;
        }
        add_product<WIDTH>(dv, p, g, w);
        add_product<WIDTH>(dk, dp, q, w);
    }
#pragma unroll
    for (int r = 0; r < ROWS; r++)
        if (first + r < n) {
            T *to = dqkv + (sample * n + first + r) * ld + head * d;
            store_row<WIDTH>(to + c, dk[r], scale * ln2, d, add);
            store_row<WIDTH>(to + 2 * c, dv[r], 1, d, add);
        }
}

#define KERNELS(WIDTH, T, type, ROWS, BACKWARD_ROWS)                                                                                                          \
    KERNEL(attention_forward_##WIDTH##_##type, 128)(T * y, float *lse, const T *qkv, int n, int d, float scale) {                                              \
        forward<WIDTH, ROWS>(y, lse, qkv, n, d, scale);                                                                                                       \
    }                                                                                                                                                         \
    KERNEL(attention_backward_q_##WIDTH##_##type, 128)                                                                                                        \
    (T * dqkv, float *delta, const T *dy, const T *qkv, const T *y, const float *lse, int n, int d, float scale, int add) {                                    \
        backward_q<WIDTH, BACKWARD_ROWS>(dqkv, delta, dy, qkv, y, lse, n, d, scale, add);                                                                     \
    }                                                                                                                                                         \
    KERNEL(attention_backward_kv_##WIDTH##_##type, 128)                                                                                                       \
    (T * dqkv, const float *delta, const T *dy, const T *qkv, const float *lse, int n, int d, float scale, int add) {                                          \
        backward_kv<WIDTH, BACKWARD_ROWS>(dqkv, delta, dy, qkv, lse, n, d, scale, add);                                                                       \
    }
// Rows of 256 elements are fewer, so that 99 KB of shared memory are enough: GPUs of compute capability 8.6 and 8.9 have no more.
KERNELS(64, float, f32, 8, 8)
KERNELS(128, float, f32, 8, 8)
KERNELS(256, float, f32, 4, 2)
KERNELS(64, bf16, bf16, 8, 8)
KERNELS(256, bf16, bf16, 4, 2)
KERNEL(attention_weights_f32, 128)(float *p, const float *qkv, int n, int d, float scale) { weights<256, 4>(p, qkv, n, d, scale); }
KERNEL(attention_weights_bf16, 128)(bf16 *p, const bf16 *qkv, int n, int d, float scale) { weights<256, 4>(p, qkv, n, d, scale); }
