// Images to rows of patches and back: y[b, i·cols+j, (c·P+u)·P+v] = img[b, c, i·P+u, j·P+v], y (B, rows·cols, C·P²), img (B, C, H, W).
//
// A warp a patch, whose elements its lanes take in order, W = 4 at a time where a patch's lines are multiples of that, and aligned. One read and one write an
// element, and with add one read more.
#include "rows.cuh"

// Where a lane is in a patch: channel c, line u, column v. It steps by 32·W elements without a division.
struct Place {
    int c, u, v;
};
INLINE Place place(int element, int P) {
    int line = element / P;
    return {line / P, line % P, element % P};
}
INLINE void step(Place &p, Place by, int P) {
    p.v += by.v, p.u += by.u, p.c += by.c;
    if (p.v >= P) p.v -= P, p.u++;
    if (p.u >= P) p.u -= P, p.c++;
}

// patches: f(k, p) for this lane's elements k…k+W−1 of all patches, which begin at pixel p of the images.
template <int W, class F> INLINE void patches(int count, int C, int H, int width, int P, F f) {
    int rows = H / P, cols = width / P, size = C * P * P;
    int patch = blockIdx_x * 8 + warp();
    if (patch >= count * rows * cols) return;
    int b = patch / (rows * cols), i = patch / cols % rows, j = patch % cols;
    i64 corner = (i64)b * C * H * width + (i64)i * P * width + j * P;
    Place at = place(W * lane(), P), by = place(32 * W, P);
    for (int e = W * lane(); e < size; e += 32 * W) {
        f((i64)patch * size + e, corner + ((i64)at.c * H + at.u) * width + at.v);
        step(at, by, P);
    }
}

template <int W, class Y, class X> INLINE void forward_by(Y *y, const X *img, int count, int C, int H, int width, int P) {
    patches<W>(count, C, H, width, P, [&](i64 k, i64 p) { store(y + k, load<W>(img + p)); });
}
template <class Y, class X> INLINE void forward(Y *y, const X *img, int count, int C, int H, int width, int P) {
    if (P % 4 == 0 && width % 4 == 0 && aligned(y, img))
        forward_by<4>(y, img, count, C, H, width, P);
    else
        forward_by<1>(y, img, count, C, H, width, P);
}

// Pixels in no patch are not written.
template <int W, class Y, class X> INLINE void backward_by(X *dimg, const Y *dy, int count, int C, int H, int width, int P, bool add) {
    patches<W>(count, C, H, width, P, [&](i64 k, i64 p) { give(dimg + p, load<W>(dy + k), add); });
}
template <class Y, class X> INLINE void backward(X *dimg, const Y *dy, int count, int C, int H, int width, int P, bool add) {
    if (P % 4 == 0 && width % 4 == 0 && aligned(dimg, dy))
        backward_by<4>(dimg, dy, count, C, H, width, P, add);
    else
        backward_by<1>(dimg, dy, count, C, H, width, P, add);
}

#define KERNELS(Y, X, types)                                                                                                                                   \
    KERNEL(patchify_forward_##types, 256)(Y *y, const X *img, int count, int C, int H, int W, int P) { forward(y, img, count, C, H, W, P); }                   \
    KERNEL(patchify_backward_##types, 256)(X *dimg, const Y *dy, int count, int C, int H, int W, int P, int add) {                                             \
        backward(dimg, dy, count, C, H, W, P, add);                                                                                                            \
    }
KERNELS(float, float, f32_f32)
KERNELS(bf16, float, bf16_f32)
KERNELS(bf16, bf16, bf16_bf16)
