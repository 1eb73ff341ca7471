// The norms of all gradients and what they mean for the step: how much each is clipped, and whether there is a step at all.
#include "parameters.cuh"

// Of every chunk, Σ g². Bytes an element: 4.
KERNEL(clip_sums, 256)(float *sums, const Parameter *parameters, const uint2 *chunks) {
    __shared__ float s[32];
    uint2 chunk = chunks[blockIdx_x];
    const Parameter &q = parameters[chunk.x];
    float sum = 0;
    if (q.g) {
        bool vector = ((u64)q.g & 15) == 0;
        EACH_QUAD(q, (int)chunk.y, i, left) {
            float4 g = quad(q.g + i, left, vector);
            g *= g;
            sum += (g.x + g.y) + (g.z + g.w);
        }
    }
    sum = block_sum(sum, s);
    if (threadIdx_x == 0) sums[blockIdx_x] = sum;
}

// norms[i] = ‖g[i]‖ and scales[i] = min(1, most/(‖g[i]‖ + 1e-6)), or 1 if most is 0. A warp a parameter.
KERNEL(clip_scales, 256)(float *norms, float *scales, const float *sums, const Parameter *parameters, int count, float most) {
    int i = blockIdx_x * (blockDim_x >> 5) + (threadIdx_x >> 5), lane = threadIdx_x & 31;
    if (i >= count) return;
    int first = parameters[i].chunks, n = (parameters[i].n + chunk_size - 1) / chunk_size;
    float sum = 0;
    for (int k = lane; k < n; k += 32) sum += sums[first + k];
    sum = sqrt_rn(warp_sum(sum));
    if (lane > 0) return;
    float scale = div_rn(most, sum + 1e-6f);
    norms[i] = sum;
    scales[i] = most > 0 && scale < 1 ? scale : 1;
}

INLINE bool finite(float x) { return (as_bits(x) & 0x7f800000u) != 0x7f800000u; }

// One warp. *total = the norm of all gradients together; *skip = 0 if it and *loss (which may be null) are finite, else 1.
KERNEL(clip_total, 32)(float *total, u32 *skip, const float *loss, const float *norms, int count) {
    float sum = 0;
    for (int i = threadIdx_x; i < count; i += 32) sum += norms[i] * norms[i];
    sum = sqrt_rn(warp_sum(sum));
    if (threadIdx_x > 0) return;
    *total = sum;
    *skip = finite(sum) && (!loss || finite(*loss)) ? 0 : 1;
}
