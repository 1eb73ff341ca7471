// x[i] = value.
#include "common.cuh"

template <class T> static __device__ __forceinline__ void fill(T *x, float value, int n) {
    for (int i = blockIdx_x * blockDim_x + threadIdx_x; i < n; i += gridDim_x * blockDim_x) store(x + i, value);
}

KERNEL(fill_f32, 256)(float *x, float value, int n) { fill(x, value, n); }
KERNEL(fill_bf16, 256)(bf16 *x, float value, int n) { fill(x, value, n); }
