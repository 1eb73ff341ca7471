// Scaled dot-product attention in bf16 on tensor cores, for heads of D elements, D a multiple of 16 from 32 to 128. One source a D: attention_d64.cu.
//
// Arrays and their meaning are those of attention.cu. A warp owns 16·TILES rows: of queries in the forward, of keys in the backward. Factors of products are
// rounded to bf16, the weights and their gradients too, and products are added in float32. Exponentials are of base 2: scale is log2(e)/√D.
//
// What D = 64 costs for 768 heads (vit_small/16 or /8, two crops of 64 images), computed for an H200, not measured: 590 TFLOP/s of mma.sync (60 % of the
// cores' peak), 16 exponentials and 128 bytes of shared memory a clock on each of 132 multiprocessors at 1.75 GHz, 4.3 TB/s. Tiles count whole.
//
//                    products           exponentials      shared memory      memory
//   N 197  forward   9.2 GFLOP  16 µs     36 M   10 µs    0.36 GB   12 µs     77 MB   18 µs
//          backward   21 GFLOP  36 µs     33 M    9 µs    1.3 GB    43 µs    155 MB   36 µs
//   N 785  forward   126 GFLOP 213 µs    490 M  133 µs    4.9 GB   166 µs    308 MB   72 µs
//          backward  315 GFLOP 534 µs    490 M  133 µs     19 GB   631 µs    616 MB  143 µs
#include "mma.cuh"

// Rows of matrices in shared memory are ROW elements apart: the 16 bytes of 8 rows that ldmatrix reads at once then lie in 32 different banks.
constexpr int ROW = D + 8;

extern __shared__ __attribute__((aligned(16))) char shared[];

const float infinity = __builtin_inff();

INLINE int warp_index() { return threadIdx_x >> 5; }
INLINE int lane_index() { return threadIdx_x & 31; }
// thread_again is threadIdx.x, but what is computed of it is not kept in registers over the loops around.
INLINE int thread_again() {
    int r;
    asm volatile("mov.u32 %0, %%tid.x;" : "=r"(r));
    return r;
}

INLINE float maximum(float a, float b) { return __builtin_fmaxf(a, b); }             // of NaN and a number: the number
INLINE bool any(bool x) { return __nvvm_vote_any_sync(0xffffffff, x); }               // of the warp
INLINE u32 exchange(u32 x, int mask) {
    u32 r;
    asm volatile("shfl.sync.bfly.b32 %0, %1, %2, 0x1f, 0xffffffff;" : "=r"(r) : "r"(x), "r"(mask));
    return r;
}

// store_if writes to shared memory without a branch, behind which the lanes of a warp would have to meet again.
INLINE void store_if(bool condition, u32 address, float x) {
    asm volatile("{ .reg .pred p; setp.ne.u32 p, %0, 0; @p st.shared.f32 [%1], %2; }" ::"r"((u32)condition), "r"(address), "f"(x) : "memory");
}

// load_rows starts the copy of rows of D elements, ld apart, to shared memory: the first there of them, then zeros.
INLINE void load_rows(u32 to, const bf16 *from, int ld, int rows, int there, int threads) {
    const int thread = thread_again(), step = threads / (D / 8), first = thread / (D / 8), column = thread % (D / 8) * 8;
    if (first >= step) return; // threads too few for a row
    to += (first * ROW + column) * 2;
    from += first * ld + column;
#pragma unroll 1
    for (int r = first; r < rows; r += step) {
        copy_async16(to, from, r < there ? 16 : 0);
        to += step * ROW * 2;
        from += step * ld;
    }
}

// What to add to the address of a matrix in shared memory, rows of ld elements apart, for this lane's address in ldmatrix of its first 16×16 elements:
//   along    as A; transposed, as two B (columns 0–7 in words 0 and 1, 8–15 in words 2 and 3) whose k goes down the rows
//   across   as two B whose columns are the rows; transposed, as A whose k goes down the rows
INLINE u32 along(int ld) { return ((lane_index() & 15) * ld + (lane_index() >> 4) * 8) * 2; }
INLINE u32 across(int ld) { return (((lane_index() & 7) + (lane_index() >> 4) * 8) * ld + (lane_index() >> 3 & 1) * 8) * 2; }

// gather_quad takes the words (row, 2t) of four tiles C and gives the lane those of tile t: 8 neighbours of the row. gather_pair, of two tiles, gives it
// half of tile t&1: 4 neighbours, from column 2·(t&2) on.
INLINE uint2 gather_pair(u32 w0, u32 w1) {
    const bool odd = lane_index() & 1;
    const u32 r = exchange(odd ? w0 : w1, 1);
    return (uint2){odd ? r : w0, odd ? w1 : r};
}
INLINE uint4 gather_quad(u32 w0, u32 w1, u32 w2, u32 w3) {
    const bool high = lane_index() & 2;
    const uint2 a = gather_pair(w0, w1), b = gather_pair(w2, w3);
    const u32 r0 = exchange(high ? a.x : b.x, 2), r1 = exchange(high ? a.y : b.y, 2);
    return (uint4){high ? r0 : a.x, high ? r1 : a.y, high ? b.x : r0, high ? b.y : r1};
}
INLINE u32 add_pairs(u32 x, u32 y) { return pack(lower(x) + lower(y), upper(x) + upper(y)); }

// store_rows writes the 16 rows of neighbouring tiles C, the first there of them, times factor (of rows 0–7 and 8–15), to rows that lie ld apart; with add
// it adds to what is there.
template <int TILES> INLINE void store_rows(bf16 *to, int ld, int there, const float (&c)[TILES][4], float factor0, float factor8, bool add) {
    const int g = lane_index() >> 2, t = lane_index() & 3;
#pragma unroll
    for (int h = 0; h < 2; h++) {
        bf16 *row = to + (g + 8 * h) * ld;
        const bool in = g + 8 * h < there;
        const float f = h ? factor8 : factor0;
        auto word = [&](int i) { return pack(c[i][2 * h] * f, c[i][2 * h + 1] * f); };
#pragma unroll
        for (int i = 0; i + 4 <= TILES; i += 4) {
            uint4 x = gather_quad(word(i), word(i + 1), word(i + 2), word(i + 3));
            uint4 *p = (uint4 *)(row + 8 * i + 8 * t);
            if (in && add) {
                const uint4 o = *p;
                x = (uint4){add_pairs(o.x, x.x), add_pairs(o.y, x.y), add_pairs(o.z, x.z), add_pairs(o.w, x.w)};
            }
            if (in) *p = x;
        }
        if (TILES % 4 == 2) {
            uint2 x = gather_pair(word(TILES - 2), word(TILES - 1));
            uint2 *p = (uint2 *)(row + 8 * (TILES - 2) + 8 * (t & 1) + 2 * (t & 2));
            if (in && add) {
                const uint2 o = *p;
                x = (uint2){add_pairs(o.x, x.x), add_pairs(o.y, x.y)};
            }
            if (in) *p = x;
        }
    }
}

// words_of rounds two neighbouring tiles C to a tile A.
INLINE void words_of(u32 (&a)[4], const float (&c0)[4], const float (&c1)[4]) {
    a[0] = pack(c0[0], c0[1]);
    a[1] = pack(c0[2], c0[3]);
    a[2] = pack(c1[0], c1[1]);
    a[3] = pack(c1[2], c1[3]);
}

// Queries, which stay in registers, and what has been computed of their softmax: sums over the keys so far of exp2(s − shift)·v and exp2(s − shift).
template <int TILES> struct Queries {
    u32 q[TILES][D / 16][4];  // A
    float y[TILES][D / 8][4]; // C
    float sum[TILES][2];      // of rows g and g+8, over the keys of this lane alone
    float shift[TILES][2];
};

// attend takes KEYS keys into account, of which those from there on do not exist. k and v are this lane's addresses, across and along.
//
// shift is what the largest score so far was, or up to 8 less: sums that grow 2⁸-fold lose nothing in float32, and seldom have to be scaled down.
template <int TILES, int KEYS> INLINE void attend(Queries<TILES> &a, u32 k, u32 v, int there, float scale) {
    float s[TILES][KEYS / 8][4] = {};
#pragma unroll
    for (int d = 0; d < D / 16; d++)
#pragma unroll
        for (int j = 0; j < KEYS / 16; j++) {
            u32 b[4];
            ldmatrix(b, k + (j * 16 * ROW + d * 16) * 2);
#pragma unroll
            for (int i = 0; i < TILES; i++) {
                mma(s[i][2 * j], a.q[i][d], b[0], b[1]);
                mma(s[i][2 * j + 1], a.q[i][d], b[2], b[3]);
            }
        }
    if (there < KEYS) {
        const int after = there - 2 * (lane_index() & 3);
#pragma unroll
        for (int j = 0; j < KEYS / 8; j++)
#pragma unroll
            for (int e = 0; e < 4; e++)
#pragma unroll
                for (int i = 0; i < TILES; i++) s[i][j][e] = 8 * j + (e & 1) < after ? s[i][j][e] : -infinity;
    }
    float top[TILES][2];
    bool higher = false;
#pragma unroll
    for (int i = 0; i < TILES; i++)
#pragma unroll
        for (int h = 0; h < 2; h++) {
            float x = -infinity;
#pragma unroll
            for (int j = 0; j < KEYS / 8; j++) x = maximum(x, maximum(s[i][j][2 * h], s[i][j][2 * h + 1]));
            x = maximum(x, shuffle_xor(x, 1));
            x = maximum(x, shuffle_xor(x, 2)) * scale;
            top[i][h] = x;
            higher |= x > a.shift[i][h] + 8; // never of NaN; of −Inf, which shift is at first, if any score is larger
        }
    if (any(higher))
#pragma unroll
        for (int i = 0; i < TILES; i++)
#pragma unroll
            for (int h = 0; h < 2; h++) {
                const float x = maximum(top[i][h], a.shift[i][h]);
                const float old = x == -infinity ? 0 : exp2_approx(a.shift[i][h] - x);
                a.shift[i][h] = x;
                a.sum[i][h] *= old;
#pragma unroll
                for (int d = 0; d < D / 8; d++) {
                    a.y[i][d][2 * h] *= old;
                    a.y[i][d][2 * h + 1] *= old;
                }
            }
#pragma unroll
    for (int i = 0; i < TILES; i++)
#pragma unroll
        for (int h = 0; h < 2; h++) {
            const float shift = a.shift[i][h] == -infinity ? 0 : a.shift[i][h]; // −Inf − −Inf would be NaN before there is a score
#pragma unroll
            for (int j = 0; j < KEYS / 8; j++)
#pragma unroll
                for (int e = 2 * h; e < 2 * h + 2; e++) {
                    s[i][j][e] = exp2_approx(s[i][j][e] * scale - shift);
                    a.sum[i][h] += s[i][j][e];
                }
        }
#pragma unroll
    for (int j = 0; j < KEYS / 16; j++) {
        u32 p[TILES][4];
#pragma unroll
        for (int i = 0; i < TILES; i++) words_of(p[i], s[i][2 * j], s[i][2 * j + 1]);
#pragma unroll
        for (int d = 0; d < D / 16; d++) {
            u32 b[4];
            ldmatrix_transposed(b, v + (j * 16 * ROW + d * 16) * 2);
#pragma unroll
            for (int i = 0; i < TILES; i++) {
                mma(a.y[i][2 * d], p[i], b[0], b[1]);
                mma(a.y[i][2 * d + 1], p[i], b[2], b[3]);
            }
        }
    }
}

// forward is FlashAttention-2 (Dao 2023, algorithm 1): blockIdx.x is a block of 16·TILES queries a warp, y a head, z a sample; THREADS 0 is a number
// known only at run time. Keys and values come in blocks of 64, the next while this one is computed. Dynamic shared memory: two blocks of keys and values, one
// if n ≤ 64, of no more rows than n rounded up to 16.
template <int TILES, int THREADS> INLINE void forward(bf16 *y, float *lse, const bf16 *qkv, int n, float scale) {
    const int threads = THREADS ? THREADS : blockDim_x;
    const int heads = gridDim_y, head = blockIdx_y, c = heads * D, ld = 3 * c;
    const i64 sample = blockIdx_z;
    qkv += sample * n * ld + head * D;
    const int row = (blockIdx_x * (threads >> 5) + warp_index()) * (16 * TILES);
    const int g = lane_index() >> 2, t = lane_index() & 3;

    const u32 k = shared_address(shared), size = imin(64, (n + 15) & ~15) * ROW * 2, v = k + size;
    auto load = [&](int block) {
        const u32 to = k + (block & 1) * 2 * size;
        const bf16 *from = qkv + block * 64 * ld + c;
        const int there = n - block * 64, rows = imin(64, (there + 15) & ~15);
        load_rows(to, from, ld, rows, there, threads);
        load_rows(to + size, from + c, ld, rows, there, threads);
        commit_copies();
    };
    load(0);

    Queries<TILES> a;
#pragma unroll
    for (int i = 0; i < TILES; i++) {
#pragma unroll
        for (int d = 0; d < D / 16; d++)
#pragma unroll
            for (int e = 0; e < 4; e++)
                a.q[i][d][e] = *(const u32 *)(qkv + imin(row + 16 * i + g + (e & 1) * 8, n - 1) * ld + d * 16 + 2 * t + (e >> 1) * 8);
#pragma unroll
        for (int d = 0; d < D / 8; d++)
#pragma unroll
            for (int e = 0; e < 4; e++) a.y[i][d][e] = 0;
#pragma unroll
        for (int h = 0; h < 2; h++) a.shift[i][h] = -infinity, a.sum[i][h] = 0;
    }

    for (int block = 0; block * 64 < n; block++) {
        wait_copies<0>();
        __syncthreads();
        if ((block + 1) * 64 < n) load(block + 1);
        if (row >= n) continue;
        const int there = imin(64, n - block * 64);
        const u32 at = (block & 1) * 2 * size;
        for (int j = 0; j < there; j += 32) {
            const u32 kj = k + at + j * ROW * 2 + across(ROW), vj = v + at + j * ROW * 2 + along(ROW);
            if (there - j > 16)
                attend<TILES, 32>(a, kj, vj, there - j, scale);
            else
                attend<TILES, 16>(a, kj, vj, there - j, scale);
        }
    }
    if (row >= n) return;

    y += sample * n * c + head * D + (i64)row * c;
    lse += (sample * heads + head) * n + row;
#pragma unroll
    for (int i = 0; i < TILES; i++) {
        float factor[2];
#pragma unroll
        for (int h = 0; h < 2; h++) {
            float sum = a.sum[i][h];
            sum += shuffle_xor(sum, 1);
            sum += shuffle_xor(sum, 2);
            factor[h] = rcp_approx(sum);
            const float shift = a.shift[i][h];
            const int r = 16 * i + 8 * h + g;
            // Scores that are all −Inf have no softmax: NaN, as −Inf − −Inf.
            if (t == 0 && row + r < n) lse[r] = ln2 * (shift + log2_approx(sum) + (shift == -infinity ? shift - shift : 0));
        }
        store_rows(y + 16 * i * c, c, n - row - 16 * i, a.y[i], factor[0], factor[1], false);
    }
}

// Where the arrays of the backward lie in shared memory, in bytes: of keys, and of a block of queries, twice if there are several blocks.
template <int QUERIES> struct Room {
    static constexpr int WEIGHTS = QUERIES + 8; // rows of ds, as ROW

    int k, v;       // keys × ROW
    int q, dy;      // queries × ROW, of the first of two blocks
    int y;          // queries × ROW, of one
    int ds;         // keys × WEIGHTS
    int lse, delta; // QUERIES float32, lse of two blocks
    int block;      // from a block's q and dy to the next's

    __device__ __forceinline__ Room(int n, int keys) {
        const int queries = imin(QUERIES, (n + 15) & ~15) * ROW * 2;
        k = 0;
        v = keys * ROW * 2;
        q = 2 * v;
        dy = q + queries;
        block = 2 * queries;
        y = q + (n > QUERIES ? 2 : 1) * block;
        ds = y + queries;
        lse = ds + keys * WEIGHTS * 2;
        delta = lse + 2 * QUERIES * 4;
    }
};

// weigh computes the weights of 16 queries for COUNT tiles of 16 keys, adds what they give to dv and dk, and leaves the gradients of the scores (but for their
// factor 1/√D) in ds. Tiles of keys lie tile rows apart. Addresses are those of the first element; keys and queries say how many there are from there.
template <int COUNT, int QUERIES, int TILES>
INLINE void weigh(float (&dk)[TILES][D / 8][4], float (&dv)[TILES][D / 8][4], u32 k, u32 v, u32 q, u32 dy, u32 *ds, const float *lse, const float *delta, int tile,
                  int keys, int queries, float scale) {
    constexpr int WEIGHTS = Room<QUERIES>::WEIGHTS;
    const int g = lane_index() >> 2, t = lane_index() & 3;
    const bool edge = keys < (COUNT - 1) * tile + 16 || queries < 16;
    auto there = [&](int i, int j, int e) { return i * tile + g + (e >> 1) * 8 < keys && 8 * j + 2 * t + (e & 1) < queries; };

    float p[COUNT][2][4] = {}; // rows: keys, columns: queries
#pragma unroll
    for (int d = 0; d < D / 16; d++) {
        u32 b[4];
        ldmatrix(b, q + d * 32 + across(ROW));
#pragma unroll
        for (int i = 0; i < COUNT; i++) {
            u32 a[4];
            ldmatrix(a, k + i * tile * ROW * 2 + d * 32 + along(ROW));
            mma(p[i][0], a, b[0], b[1]);
            mma(p[i][1], a, b[2], b[3]);
        }
    }
#pragma unroll
    for (int j = 0; j < 2; j++) {
        const float2 l = *(const float2 *)(lse + 8 * j + 2 * t);
#pragma unroll
        for (int e = 0; e < 4; e++)
#pragma unroll
            for (int i = 0; i < COUNT; i++) p[i][j][e] = exp2_approx(p[i][j][e] * scale - (e & 1 ? l.y : l.x) * log2e);
    }
    if (edge)
#pragma unroll
        for (int i = 0; i < COUNT; i++)
#pragma unroll
            for (int j = 0; j < 2; j++)
#pragma unroll
                for (int e = 0; e < 4; e++) p[i][j][e] = there(i, j, e) ? p[i][j][e] : 0;

    u32 a[COUNT][4];
#pragma unroll
    for (int i = 0; i < COUNT; i++) words_of(a[i], p[i][0], p[i][1]);
#pragma unroll
    for (int d = 0; d < D / 16; d++) {
        u32 b[4];
        ldmatrix_transposed(b, dy + d * 32 + along(ROW));
#pragma unroll
        for (int i = 0; i < COUNT; i++) {
            mma(dv[i][2 * d], a[i], b[0], b[1]);
            mma(dv[i][2 * d + 1], a[i], b[2], b[3]);
        }
    }

    float dp[COUNT][2][4] = {};
#pragma unroll
    for (int d = 0; d < D / 16; d++) {
        u32 b[4];
        ldmatrix(b, dy + d * 32 + across(ROW));
#pragma unroll
        for (int i = 0; i < COUNT; i++) {
            u32 x[4];
            ldmatrix(x, v + i * tile * ROW * 2 + d * 32 + along(ROW));
            mma(dp[i][0], x, b[0], b[1]);
            mma(dp[i][1], x, b[2], b[3]);
        }
    }
#pragma unroll
    for (int j = 0; j < 2; j++) {
        const float2 l = *(const float2 *)(delta + 8 * j + 2 * t);
#pragma unroll
        for (int e = 0; e < 4; e++)
#pragma unroll
            for (int i = 0; i < COUNT; i++) p[i][j][e] *= dp[i][j][e] - (e & 1 ? l.y : l.x);
    }
    if (edge)
#pragma unroll
        for (int i = 0; i < COUNT; i++)
#pragma unroll
            for (int j = 0; j < 2; j++)
#pragma unroll
                for (int e = 0; e < 4; e++) p[i][j][e] = there(i, j, e) ? p[i][j][e] : 0;

#pragma unroll
    for (int i = 0; i < COUNT; i++) {
        words_of(a[i], p[i][0], p[i][1]);
#pragma unroll
        for (int e = 0; e < 4; e++) ds[((i * tile + g + (e & 1) * 8) * WEIGHTS + (e >> 1) * 8) / 2 + t] = a[i][e];
    }
#pragma unroll
    for (int d = 0; d < D / 16; d++) {
        u32 b[4];
        ldmatrix_transposed(b, q + d * 32 + along(ROW));
#pragma unroll
        for (int i = 0; i < COUNT; i++) {
            mma(dk[i][2 * d], a[i], b[0], b[1]);
            mma(dk[i][2 * d + 1], a[i], b[2], b[3]);
        }
    }
}

// backward: blockIdx.y is a head, z a sample. The block takes chunks of keys, as many as its warps have tiles for, and goes through all queries for each, QUERIES
// at a time, the next while these are computed. A warp has the sums of dk and dv of its keys in registers; ds of a block of queries meets in shared
// memory, from where the warps compute dq, 16 queries × COLUMNS each. Over several chunks dq is summed in partial (B, heads, N, D), always by the same block.
// delta = Σ dy·y of the queries to come is computed beside dq.
template <int TILES, int QUERIES, int COLUMNS>
INLINE void backward(bf16 *dqkv, const bf16 *dy, const bf16 *qkv, const bf16 *y, const float *lse, float *partial, int n, int keys, float scale, int add) {
    constexpr int WEIGHTS = Room<QUERIES>::WEIGHTS;
    const int threads = blockDim_x, warps = threads >> 5, warp = warp_index();
    const int heads = gridDim_y, head = blockIdx_y, c = heads * D, ld = 3 * c;
    const i64 sample = blockIdx_z;
    qkv += sample * n * ld + head * D;
    dqkv += sample * n * ld + head * D;
    dy += sample * n * c + head * D;
    y += sample * n * c + head * D;
    lse += (sample * heads + head) * n;
    partial += (sample * heads + head) * n * D;

    const Room<QUERIES> room(n, keys);
    const u32 base = shared_address(shared);
    float *lses = (float *)(shared + room.lse), *deltas = (float *)(shared + room.delta);

    auto load = [&](int block) {
        const int from = block * QUERIES, there = imin(QUERIES, n - from), rows = (there + 15) & ~15, at = base + (block & 1) * room.block;
        load_rows(at + room.q, qkv + from * ld, ld, rows, there, threads);
        load_rows(at + room.dy, dy + from * c, c, rows, there, threads);
        load_rows(base + room.y, y + from * c, c, rows, there, threads);
        for (int i = thread_again(); i < rows; i += threads) copy_async4(base + room.lse + ((block & 1) * QUERIES + i) * 4, lse + from + i, i < there);
        commit_copies();
    };
    auto compute_deltas = [&](int block) {
        const int rows = imin(QUERIES, (n - block * QUERIES + 15) & ~15);
        const int part = thread_again() & 3; // four lanes a row
        for (int r = thread_again() >> 2; r < rows; r += threads >> 2) {
            const char *at = shared + r * ROW * 2;
            float sum = 0;
#pragma unroll
            for (int i = 0; i < D / 8; i += 4) {
                const int piece = imin(i + part, D / 8 - 1) * 16;
                const uint4 a = *(const uint4 *)(at + (block & 1) * room.block + room.dy + piece), b = *(const uint4 *)(at + room.y + piece);
                float x = 0;
#pragma unroll
                for (int j = 0; j < 4; j++) x += lower(a[j]) * lower(b[j]) + upper(a[j]) * upper(b[j]);
                sum += i + part < D / 8 ? x : 0;
            }
            sum += shuffle_xor(sum, 1);
            sum += shuffle_xor(sum, 2);
            store_if(part == 0, base + room.delta + r * 4, sum);
        }
    };

    for (int chunk = 0; chunk < n; chunk += keys) {
        const int there = imin(keys, n - chunk), tiles = (there + 15) >> 4;
        load_rows(base + room.k, qkv + chunk * ld + c, ld, tiles * 16, there, threads);
        load_rows(base + room.v, qkv + chunk * ld + 2 * c, ld, tiles * 16, there, threads);
        load(0);
        float dk[TILES][D / 8][4], dv[TILES][D / 8][4];
#pragma unroll
        for (int i = 0; i < TILES; i++)
#pragma unroll
            for (int d = 0; d < D / 8; d++)
#pragma unroll
                for (int e = 0; e < 4; e++) dk[i][d][e] = 0, dv[i][d][e] = 0;
        wait_copies<0>();
        __syncthreads();
        compute_deltas(0);

        for (int block = 0; block * QUERIES < n; block++) {
            __syncthreads();
            if ((block + 1) * QUERIES < n) load(block + 1);
            const int queries = imin(QUERIES, n - block * QUERIES), groups = (queries + 15) >> 4;
            const u32 k = base + room.k + warp * 16 * ROW * 2, v = k + room.v, at = base + (block & 1) * room.block;
            const float *l = lses + (block & 1) * QUERIES;
            u32 *ds = (u32 *)(shared + room.ds + warp * 16 * WEIGHTS * 2);
            const int mine = there - warp * 16;
            for (int j = 0; j < groups; j++) {
                const u32 q = at + room.q + j * 16 * ROW * 2, d = at + room.dy + j * 16 * ROW * 2;
                if (TILES > 1 && warp + warps < tiles)
                    weigh<TILES, QUERIES>(dk, dv, k, v, q, d, ds + j * 8, l + j * 16, deltas + j * 16, warps * 16, mine, queries - j * 16, scale);
                else if (warp < tiles)
                    weigh<1, QUERIES>(dk, dv, k, v, q, d, ds + j * 8, l + j * 16, deltas + j * 16, warps * 16, mine, queries - j * 16, scale);
            }
            wait_copies<0>();
            __syncthreads();

            for (int unit = warp; unit < groups * (D / COLUMNS); unit += warps) {
                const int row = unit / (D / COLUMNS) * 16, column = unit % (D / COLUMNS) * COLUMNS;
                const u32 dst = base + room.ds + row * 2 + across(WEIGHTS), kt = base + room.k + column * 2 + along(ROW);
                float dq[COLUMNS / 8][4] = {};
                for (int i = 0; i < tiles; i += 2) { // two tiles are read at once, then computed
                    u32 a[2][4], b[2][COLUMNS / 16][4];
#pragma unroll
                    for (int j = 0; j < 2; j++) {
                        const int tile = imin(i + j, tiles - 1);
                        ldmatrix_transposed(a[j], dst + tile * 16 * WEIGHTS * 2);
#pragma unroll
                        for (int d = 0; d < COLUMNS / 16; d++) ldmatrix_transposed(b[j][d], kt + tile * 16 * ROW * 2 + d * 32);
                    }
#pragma unroll
                    for (int j = 0; j < 2; j++) {
                        if (i + j >= tiles) break;
#pragma unroll
                        for (int d = 0; d < COLUMNS / 16; d++) {
                            mma(dq[2 * d], a[j], b[j][d][0], b[j][d][1]);
                            mma(dq[2 * d + 1], a[j], b[j][d][2], b[j][d][3]);
                        }
                    }
                }
                const int first = block * QUERIES + row;
                if (chunk > 0 || chunk + keys < n)
#pragma unroll
                    for (int d = 0; d < COLUMNS / 8; d++)
#pragma unroll
                        for (int h = 0; h < 2; h++) {
                            const int r = first + 8 * h + (lane_index() >> 2);
                            float2 *p = (float2 *)(partial + (i64)r * D + column + 8 * d + 2 * (lane_index() & 3));
                            if (r < n && chunk > 0) dq[d][2 * h] += p->x, dq[d][2 * h + 1] += p->y;
                            if (r < n && chunk + keys < n) *p = (float2){dq[d][2 * h], dq[d][2 * h + 1]};
                        }
                if (chunk + keys >= n) store_rows(dqkv + first * ld + column, ld, n - first, dq, scale * ln2, scale * ln2, add);
            }
            if ((block + 1) * QUERIES < n) compute_deltas(block + 1);
        }
        __syncthreads(); // before the next keys come

#pragma unroll
        for (int i = 0; i < TILES; i++) {
            const int tile = warp + i * warps;
            if (tile >= tiles) continue;
            bf16 *to = dqkv + (chunk + tile * 16) * ld;
            store_rows(to + c, ld, there - tile * 16, dk[i], scale * ln2, scale * ln2, add);
            store_rows(to + 2 * c, ld, there - tile * 16, dv[i], 1, 1, add);
        }
    }
}

// The kernels of TILES tiles of 16 rows a warp, of up to THREADS threads (forward: 128 for two tiles, 256 for one), whose registers leave room for BLOCKS on a
// multiprocessor.
#define FORWARD(D, TILES, BLOCKS)                                                                                                                              \
    KERNEL_BLOCKS(attention_forward_d##D##x##TILES##_bf16, TILES == 2 ? 128 : 256, BLOCKS)(bf16 * y, float *lse, const bf16 *qkv, int n, float scale) {        \
        forward<TILES, TILES == 2 ? 128 : 0>(y, lse, qkv, n, scale);                                                                                           \
    }
#define BACKWARD(D, TILES, THREADS, BLOCKS, QUERIES, COLUMNS)                                                                                                  \
    KERNEL_BLOCKS(attention_backward_d##D##x##TILES##_bf16, THREADS, BLOCKS)                                                                                   \
    (bf16 * dqkv, const bf16 *dy, const bf16 *qkv, const bf16 *y, const float *lse, float *partial, int n, int keys, float scale, int add) {                   \
        backward<TILES, QUERIES, COLUMNS>(dqkv, dy, qkv, y, lse, partial, n, keys, scale, add);                                                                \
    }
