// The softmax of a row that a block strides over: its largest element and the sum of exp(x − largest), in one pass.
#pragma once
#include "rows.cuh"

struct RowSoftmax {
    float largest, sum;
};

// A NaN, a +Inf, or a row of −Inf alone makes exp(x − largest) / sum NaN for all x, as in kernels/softmax.go. shared is memory of 32 floats.
template <class T> INLINE RowSoftmax row_softmax(const T *x, int n, bool vectors, float *shared) {
    float m = -as_float(0x7f800000), sum = 0;
    row_elements<whole<T>>(n, vectors, [&]<int W>(int c) {
        Floats<W> v = load<W>(x + c);
        float l = largest(v);
        if (l > m) sum *= exp_approx(m - l), m = l;
        float by = m == -as_float(0x7f800000) ? 0 : m; // −Inf minus −Inf would be NaN, and exp(−Inf − 0) is 0
        sum += total(each<W>([&](int j) { return exp_approx(v.x[j] - by); }));
    });
    float of_row = block_max(m, shared);
    return {of_row, block_sum(m == -as_float(0x7f800000) ? sum : sum * exp_approx(m - of_row), shared)};
}
