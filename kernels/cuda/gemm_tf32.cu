// Products of float32 whose factors are rounded to TF32 (10 bits of mantissa, to nearest, ties away from zero); gemm.go has the meaning.
#include "gemm_mma.cuh"

GEMM_KERNELS(tf32, float)
