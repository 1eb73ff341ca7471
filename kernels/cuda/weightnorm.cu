// Rows of constant direction and their own length (Salimans, Kingma 2016): w[k] = g[k]·v[k]/‖v[k]‖ for rows of n elements. A warp a row; the second time it
// goes through a row, the row is in the first-level cache.
#include "common.cuh"

INLINE float add4(float4 x) { return (x.x + x.y) + (x.z + x.w); }

// Whether the rows at these addresses may be read four elements at a time.
INLINE bool vectors(int n, u64 addresses) { return (n & 3) == 0 && (addresses & 15) == 0; }

// ‖x‖², in every lane.
INLINE float sum_squares(const float *x, int n, bool vector) {
    int lane = threadIdx_x & 31;
    float s = 0;
    if (vector)
        for (int i = 4 * lane; i < n; i += 128) {
            float4 a = load4(x + i);
            s += add4(a * a);
        }
    else
        for (int i = lane; i < n; i += 32) s += x[i] * x[i];
    return warp_sum(s);
}

// Bytes an element: 4 read, 4 or 2 written. 65,536 × 256 to bf16: 101 MB, 23 µs at 4.3 TB/s.
template <class T> INLINE void forward(T *w, const float *v, const float *g, int rows, int n) {
    int r = blockIdx_x * (blockDim_x >> 5) + (threadIdx_x >> 5), lane = threadIdx_x & 31;
    if (r >= rows) return;
    v += (i64)r * n;
    w += (i64)r * n;
    bool vector = vectors(n, (u64)v | (u64)w << (sizeof(T) == 2));
    float a = div_rn(g[r], sqrt_rn(sum_squares(v, n, vector)));
    if (vector)
        for (int i = 4 * lane; i < n; i += 128) store4(w + i, a * load4(v + i));
    else
        for (int i = lane; i < n; i += 32) store(w + i, a * v[i]);
}

KERNEL(weightnorm_forward_f32, 256)(float *w, const float *v, const float *g, int rows, int n) { forward(w, v, g, rows, n); }
KERNEL(weightnorm_forward_bf16, 256)(bf16 *w, const float *v, const float *g, int rows, int n) { forward(w, v, g, rows, n); }

// With s = Σ dw[j]·v[j]/‖v‖: dg[k] += s, dv[i] = g/‖v‖·(dw[i] − v[i]·s/‖v‖), or += with add. dv and dg may be null. Bytes an element: 8 read, 4 written, 4 more
// read with add. 65,536 × 256: 201 MB, 47 µs.
KERNEL(weightnorm_backward, 256)(float *dv, float *dg, const float *dw, const float *v, const float *g, int rows, int n, u32 add) {
    int r = blockIdx_x * (blockDim_x >> 5) + (threadIdx_x >> 5), lane = threadIdx_x & 31;
    if (r >= rows) return;
    i64 at = (i64)r * n;
    v += at;
    dw += at;
    bool vector = vectors(n, (u64)v | (u64)dw | (dv ? (u64)(dv + at) : 0));
    float square = 0, dot = 0;
    if (vector)
        for (int i = 4 * lane; i < n; i += 128) {
            float4 x = load4(v + i);
            square += add4(x * x);
            dot += add4(x * load4(dw + i));
        }
    else
        for (int i = lane; i < n; i += 32) {
            square += v[i] * v[i];
            dot += v[i] * dw[i];
        }
    float inv = div_rn(1.f, sqrt_rn(warp_sum(square))), s = warp_sum(dot) * inv;
    if (dg && lane == 0) dg[r] += s;
    if (!dv) return;
    dv += at;
    float a = g[r] * inv, b = s * inv;
    if (vector)
        for (int i = 4 * lane; i < n; i += 128) {
            float4 x = a * (load4(dw + i) - b * load4(v + i));
            store4(dv + i, add ? load4(dv + i) + x : x);
        }
    else
        for (int i = lane; i < n; i += 32) {
            float x = a * (dw[i] - b * v[i]);
            dv[i] = add ? dv[i] + x : x;
        }
}
