// DINO's centre after a step: c = momentum·c + rest·sum, unless *skip; and what is told of it: *norm = ‖c‖, *count = how many of used are not 0. sum and
// used are cleared for the next step.
//
// One block goes through all n, for the norm is of all: 20 bytes an element, 1.3 MB and some 20 µs at 65,536.
#include "common.cuh"

KERNEL(center, 1024)(float *center, float *sum, u32 *used, const u32 *skip, float *norm, float *count, float momentum, float rest, int n) {
    __shared__ float s[32];
    bool move = *skip == 0;
    float square = 0, found = 0;
#pragma unroll 4
    for (int i = threadIdx_x; i < n; i += 1024) {
        float c = center[i];
        if (move) {
            c = momentum * c + rest * sum[i];
            center[i] = c;
        }
        sum[i] = 0;
        square += c * c;
        found += used[i] != 0 ? 1.f : 0.f;
        used[i] = 0;
    }
    square = block_sum(square, s);
    found = block_sum(found, s); // whole numbers below 2^24: exact
    if (threadIdx_x == 0) {
        *norm = sqrt_rn(square);
        *count = found;
    }
}
