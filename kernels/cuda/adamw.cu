// One step of AdamW for all parameters, with clipping before it, the teacher's moving average and both bf16 copies after it, in one pass over memory.
#include "parameters.cuh"

struct AdamW {
    float decay, beta1, beta2, rest1, rest2, step_size, inv_sqrt_bias, eps, momentum;
    u32 active;
};

// As adamW of package kernels, with the gradient's scale of every parameter at scales. A parameter that is not active is only followed by its average. Nothing
// happens if *skip is not 0. Bytes an element: p, m, v, g and t read, all but g written, two of bf16: 40.
KERNEL(adamw, 256)(const Parameter *parameters, const uint2 *chunks, const AdamW *coefficients, const float *scales, const u32 *skip) {
    if (*skip) return;
    uint2 chunk = chunks[blockIdx_x];
    const Parameter &q = parameters[chunk.x];
    const AdamW &c = coefficients[chunk.x];
    bool active = c.active, vector = aligned(q, active);
    float scale = active ? scales[chunk.x] : 0, momentum = c.momentum;
    EACH_QUAD(q, (int)chunk.y, i, left) {
        float4 p = quad(q.p + i, left, vector);
        if (active) {
            float4 g = quad(q.g + i, left, vector) * scale, m = quad(q.m + i, left, vector), v = quad(q.v + i, left, vector);
            m = c.beta1 * m + c.rest1 * g;
            v = c.beta2 * v + c.rest2 * g * g;
#pragma unroll
            for (int k = 0; k < 4; k++) p[k] = c.decay * p[k] - div_rn(c.step_size * m[k], sqrt_rn(v[k]) * c.inv_sqrt_bias + c.eps);
            put(q.m + i, m, left, vector);
            put(q.v + i, v, left, vector);
            put(q.p + i, p, left, vector);
            if (q.p16) put(q.p16 + i, p, left, vector);
        }
        follow(q, i, p, momentum, left, vector);
    }
}
