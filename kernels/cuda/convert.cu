// y[i] = x[i] between float32 and bf16: the copies of parameters that products read, tensors of one type for operations on another.
//
// A thread takes four elements at a time where both arrays are aligned to that. 6 bytes an element.
#include "common.cuh"

template <class Y, class X> static __device__ __forceinline__ void convert(Y *y, const X *x, int n) {
    int at = blockIdx_x * blockDim_x + threadIdx_x, stride = gridDim_x * blockDim_x;
    int vectors = aligned4(y) && aligned4(x) ? n >> 2 : 0;
    for (int i = at; i < vectors; i += stride) store4(y + 4 * i, load4(x + 4 * i));
    for (int i = 4 * vectors + at; i < n; i += stride) store(y + i, load(x + i));
}

KERNEL(convert_f32_bf16, 256)(bf16 *y, const float *x, int n) { convert(y, x, n); }
KERNEL(convert_bf16_f32, 256)(float *y, const bf16 *x, int n) { convert(y, x, n); }
