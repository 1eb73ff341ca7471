// Stochastic depth (Huang et al. 2016): which residual branches of which samples are dropped. Decisions are keyed: package tensor's Uniform of
// (seed, step, pass, block, branch, sample), bit for bit, so that a run drops the same paths on a GPU as on a CPU.
#include "common.cuh"

// One round of SplitMix64's finaliser (Steele, Lea, Flood 2014).
INLINE u64 mix(u64 h, u64 part) {
    h += part + 0x9e3779b97f4a7c15ull;
    h = (h ^ h >> 30) * 0xbf58476d1ce4e5b9ull;
    h = (h ^ h >> 27) * 0x94d049bb133111ebull;
    return h ^ h >> 31;
}

// scale[i] = value if the upper 24 bits of the hash are below threshold, else 0, for i < n samples. A thread a sample. seed is the hash after its round.
KERNEL(droppath, 256)(float *scale, int n, u64 seed, const u64 *step, u64 pass, u64 block, u64 branch, u32 threshold, float value) {
    int i = blockIdx_x * blockDim_x + threadIdx_x;
    if (i >= n) return;
    u64 h = mix(mix(mix(mix(mix(seed, *step), pass), block), branch), (u64)i);
    scale[i] = (u32)(h >> 40) < threshold ? value : 0.f;
}
