// The moving average of all parameters: t = momentum·t + (1 − momentum)·p, and its bf16 copy. Bytes an element: 14.
#include "parameters.cuh"

KERNEL(ema, 256)(const Parameter *parameters, const uint2 *chunks, const float *momentum) {
    uint2 chunk = chunks[blockIdx_x];
    const Parameter &q = parameters[chunk.x];
    bool vector = aligned(q, false);
    float m = *momentum;
    EACH_QUAD(q, (int)chunk.y, i, left) follow(q, i, quad(q.p + i, left, vector), m, left, vector);
}
