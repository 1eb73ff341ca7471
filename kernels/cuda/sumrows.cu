// The sums over rows, a distance ld apart, of n columns: the gradient of what all rows share. One read an element.
#include "columns.cuh"

template <int W, class T> INLINE void sumrows(float *partial, const T *x, int rows, int n, i64 ld, int per) {
    sum_columns<1, W>(partial, rows, n, per, [&](i64 r, int c, Floats<W> *sums) { sums[0] += load<W>(x + r * ld + c); });
}

#define KERNELS(T, type)                                                                                                                                       \
    KERNEL(sumrows_##type, 256)(float *partial, const T *x, int rows, int n, i64 ld, int per, int vectors) {                                                   \
        if (vectors)                                                                                                                                           \
            sumrows<4>(partial, x, rows, n, ld, per);                                                                                                          \
        else                                                                                                                                                   \
            sumrows<1>(partial, x, rows, n, ld, per);                                                                                                          \
    }
KERNELS(float, f32)
KERNELS(bf16, bf16)
