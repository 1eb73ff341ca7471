// One step of SGD with momentum, or of LARS, for all parameters, with what adamw.cu does before and after it. Bytes an element: 32.
#include "parameters.cuh"

struct SGD {
    float lr, momentum, decay, eta, average;
    u32 active;
};

// As sgd of package kernels; trust is null or holds the ratio of every parameter.
KERNEL(sgd, 256)(const Parameter *parameters, const uint2 *chunks, const SGD *coefficients, const float *scales, const float *trust, const u32 *skip) {
    if (*skip) return;
    uint2 chunk = chunks[blockIdx_x];
    const Parameter &q = parameters[chunk.x];
    const SGD &c = coefficients[chunk.x];
    bool active = c.active, vector = aligned(q, active);
    float scale = active ? scales[chunk.x] : 0, ratio = trust ? trust[chunk.x] : 1;
    EACH_QUAD(q, (int)chunk.y, i, left) {
        float4 p = quad(q.p + i, left, vector);
        if (active) {
            float4 m = quad(q.m + i, left, vector);
            m = c.momentum * m + ratio * (scale * quad(q.g + i, left, vector) + c.decay * p);
            p -= c.lr * m;
            put(q.m + i, m, left, vector);
            put(q.p + i, p, left, vector);
            if (q.p16) put(q.p16 + i, p, left, vector);
        }
        follow(q, i, p, c.average, left, vector);
    }
}

// The trust ratios of LARS (You, Gitman, Ginsburg 2017), first half: of every chunk, Σ p² and Σ (scale·g + decay·p)².
KERNEL(lars_sums, 256)(float2 *sums, const Parameter *parameters, const uint2 *chunks, const SGD *coefficients, const float *scales) {
    __shared__ float s[32];
    uint2 chunk = chunks[blockIdx_x];
    const Parameter &q = parameters[chunk.x];
    const SGD &c = coefficients[chunk.x];
    float pp = 0, uu = 0;
    if (c.active && c.eta > 0) {
        bool vector = (((u64)q.p | (u64)q.g) & 15) == 0;
        float scale = scales[chunk.x];
        EACH_QUAD(q, (int)chunk.y, i, left) {
            float4 p = quad(q.p + i, left, vector), u = scale * quad(q.g + i, left, vector) + c.decay * p;
            p *= p;
            u *= u;
            pp += (p.x + p.y) + (p.z + p.w);
            uu += (u.x + u.y) + (u.z + u.w);
        }
    }
    pp = block_sum(pp, s);
    uu = block_sum(uu, s);
    if (threadIdx_x == 0) sums[blockIdx_x] = (float2){pp, uu};
}

// Second half: trust = eta·‖p‖/‖u‖, 1 where eta or a norm is 0. A warp a parameter.
KERNEL(lars_trust, 256)(float *trust, const float2 *sums, const Parameter *parameters, const SGD *coefficients, int count) {
    int i = blockIdx_x * (blockDim_x >> 5) + (threadIdx_x >> 5), lane = threadIdx_x & 31;
    if (i >= count) return;
    int first = parameters[i].chunks, n = (parameters[i].n + chunk_size - 1) / chunk_size;
    float pp = 0, uu = 0;
    for (int k = lane; k < n; k += 32) {
        float2 x = sums[first + k];
        pp += x.x;
        uu += x.y;
    }
    pp = warp_sum(pp);
    uu = warp_sum(uu);
    if (lane == 0) {
        float eta = coefficients[i].eta;
        trust[i] = eta > 0 && pp != 0 && uu != 0 ? div_rn(eta * sqrt_rn(pp), sqrt_rn(uu)) : 1;
    }
}
