// From decoded pictures to the crops that a network is trained on: box, resize, flip, colour jitter, grey, blur, solarise, normalise. What is drawn at random,
// and the weights of resizing, come from the CPU; up to normalisation everything is whole numbers or float32 rounded where Pillow rounds, so that the bytes are
// those of package dino/augment. Pictures have three bytes a pixel, crops are planes of red, green and blue of S×S pixels.
#include "common.cuh"

typedef unsigned char u8;

struct Crop {
    u64 start;    // of the first pixel that is looked at, from the first picture
    u64 rows;     // of its part of the rows, from their first
    int pitch, n; // bytes from row to row of the picture; rows of it that are looked at
    int across;   // where in taps those along a row lie: first[S], count[S], weights[][S]; and those along a column
    int down;
    u32 flip, operations; // operations: from the lowest four bits on, see colour
    float brightness, contrast, saturation;
    u32 hue;
    int radius; // of the blur: that many samples to each side have weight box, one more on either side edge; no blur if both are 0
    u32 box, edge, solarize; // threshold
};

const int resample_bits = 22, blur_bits = 24, blur_passes = 3;

INLINE u32 clip_byte(int x) { return x < 0 ? 0 : x > 255 ? 255 : x; }

// The first pass of resizing, along rows: a thread a pixel of S columns and n rows, mirrored with flip. Bytes of a picture are read some times by neighbours, out
// of the first-level cache.
KERNEL(crops_rows, 256)(u8 *rows, const u8 *pictures, const Crop *crops, const int *taps, int size) {
    const Crop &c = crops[blockIdx_y];
    int i = blockIdx_x * blockDim_x + threadIdx_x, y = i / size, x = i - y * size;
    if (y >= c.n) return;
    const int *tap = taps + c.across + x;
    const u8 *p = pictures + c.start + (i64)y * c.pitch + 3 * tap[0];
    int count = tap[size], r = 1 << (resample_bits - 1), g = r, b = r;
    tap += 2 * size;
    for (int t = 0; t < count; t++) {
        int w = *tap;
        r += w * p[0];
        g += w * p[1];
        b += w * p[2];
        p += 3;
        tap += size;
    }
    i64 plane = (i64)c.n * size;
    u8 *to = rows + c.rows + (i64)y * size + (c.flip ? size - 1 - x : x);
    to[0] = clip_byte(r >> resample_bits);
    to[plane] = clip_byte(g >> resample_bits);
    to[2 * plane] = clip_byte(b >> resample_bits);
}

// The second pass, along columns: a thread a pixel of a crop.
KERNEL(crops_columns, 256)(u8 *planes, const u8 *rows, const Crop *crops, const int *taps, int size) {
    const Crop &c = crops[blockIdx_y];
    int area = size * size, i = blockIdx_x * blockDim_x + threadIdx_x, y = i / size, x = i - y * size;
    if (i >= area) return;
    const int *tap = taps + c.down + y;
    i64 plane = (i64)c.n * size;
    const u8 *p = rows + c.rows + (i64)tap[0] * size + x;
    int count = tap[size], r = 1 << (resample_bits - 1), g = r, b = r;
    tap += 2 * size;
    for (int t = 0; t < count; t++) {
        int w = *tap;
        r += w * p[0];
        g += w * p[plane];
        b += w * p[2 * plane];
        p += size;
        tap += size;
    }
    u8 *to = planes + (i64)blockIdx_y * 3 * area + i;
    to[0] = clip_byte(r >> resample_bits);
    to[area] = clip_byte(g >> resample_bits);
    to[2 * area] = clip_byte(b >> resample_bits);
}

// Arithmetic of float32 that the compiler may not join.
INLINE float mul(float x, float y) {
    float r;
    asm("mul.rn.f32 %0, %1, %2;" : "=f"(r) : "f"(x), "f"(y));
    return r;
}
INLINE float add(float x, float y) {
    float r;
    asm("add.rn.f32 %0, %1, %2;" : "=f"(r) : "f"(x), "f"(y));
    return r;
}

INLINE int luma(int r, int g, int b) { return (19595 * r + 38470 * g + 7471 * b + 0x8000) >> 16; }

// blendGrey, saturation and shiftHue of package kernels, of one pixel.
INLINE int blend(int x, int grey, float factor) {
    float b = add((float)grey, mul(factor, (float)(x - grey)));
    return b >= 255 ? 255 : b > 0 ? (int)b : 0;
}

INLINE int floor_int(float x) {
    int r;
    asm("cvt.rmi.s32.f32 %0, %1;" : "=r"(r) : "f"(x));
    return r;
}

struct Pixel {
    int r, g, b;
};

INLINE Pixel saturate(Pixel p, float factor) {
    int l = luma(p.r, p.g, p.b);
    return Pixel{(int)clip_byte(l + floor_int(mul(factor, (float)(p.r - l)))), (int)clip_byte(l + floor_int(mul(factor, (float)(p.g - l)))),
                 (int)clip_byte(l + floor_int(mul(factor, (float)(p.b - l))))};
}

INLINE Pixel shift_hue(Pixel p, int shift) {
    int r = p.r, g = p.g, b = p.b, hi = imax(r, imax(g, b)), lo = imin(r, imin(g, b)), c = hi - lo, h = 0;
    float s = 0;
    if (c > 0) {
        float base = 4, far = div_rn((float)(2 * hi - r - g - b + lo), (float)c); // of the largest and the middle
        bool clockwise = r >= g;
        if (hi == r)
            base = 0, clockwise = g >= b;
        else if (hi == g)
            base = 2, clockwise = b >= r;
        float turn = div_rn(clockwise ? add(base + 1, -far) : add(base - 1, far), 6);
        if (turn < 0) turn = add(turn, 1);
        h = (int)mul(turn, 255);
        s = div_rn((float)(int)mul(div_rn((float)c, (float)hi), 255), 255);
    }
    int turns = 6 * ((h + shift) & 255), whole = turns / 255, sector = whole % 6;
    float fraction = div_rn((float)(turns - 255 * whole), 255), v = (float)hi;
    if ((sector & 1) == 0) fraction = add(1, -fraction);
    int low = (int)add(mul(v, add(1, -s)), 0.5f), middle = (int)add(mul(v, add(1, -mul(s, fraction))), 0.5f);
    // Red is largest in sectors 0 and 5, in between in 1 and 4, least in 2 and 3; green is as red two sectors earlier, blue four.
    Pixel q;
    q.r = sector == 0 || sector == 5 ? hi : sector == 1 || sector == 4 ? middle : low;
    q.g = sector == 1 || sector == 2 ? hi : sector == 0 || sector == 3 ? middle : low;
    q.b = sector == 3 || sector == 4 ? hi : sector == 2 || sector == 5 ? middle : low;
    return q;
}

enum { BRIGHTNESS = 1, CONTRAST, SATURATION, HUE, GREY };

// The operations before contrast, and those after it.
INLINE u32 before_contrast(u32 operations) {
    u32 o = 0;
    for (int i = 0; i < 20 && (operations >> i & 15) != CONTRAST; i += 4) o |= operations & 15u << i;
    return o;
}

INLINE Pixel colour(Pixel p, const Crop &c, u32 operations, int mean) {
    for (; operations; operations >>= 4) {
        switch (operations & 15) {
        case BRIGHTNESS:
            p = Pixel{blend(p.r, 0, c.brightness), blend(p.g, 0, c.brightness), blend(p.b, 0, c.brightness)};
            break;
        case CONTRAST:
            p = Pixel{blend(p.r, mean, c.contrast), blend(p.g, mean, c.contrast), blend(p.b, mean, c.contrast)};
            break;
        case SATURATION:
            p = saturate(p, c.saturation);
            break;
        case HUE:
            p = shift_hue(p, c.hue);
            break;
        case GREY:
            p.r = p.g = p.b = luma(p.r, p.g, p.b);
        }
    }
    return p;
}

// Colour jitter and grey, in place. A block a crop: for contrast it first goes through the crop for the mean grey level that there is by then, then through it
// for the result.
KERNEL(crops_colour, 512)(u8 *planes, const Crop *crops, int size) {
    __shared__ u32 sums[16];
    const Crop &c = crops[blockIdx_x];
    u32 operations = c.operations;
    if (!operations) return;
    int area = size * size, mean = 0;
    planes += (i64)blockIdx_x * 3 * area;
    u32 before = before_contrast(operations);
    if (before != operations) {
        u32 sum = 0; // at most 255·4096²: 32 bits
        for (int i = threadIdx_x; i < area; i += blockDim_x) {
            Pixel p = colour(Pixel{planes[i], planes[area + i], planes[2 * area + i]}, c, before, 0);
            sum += luma(p.r, p.g, p.b);
        }
#pragma unroll
        for (int o = 16; o > 0; o >>= 1) sum += as_bits(shuffle_xor(as_float(sum), o));
        if ((threadIdx_x & 31) == 0) sums[threadIdx_x >> 5] = sum;
        __syncthreads();
        sum = 0;
        for (int w = 0; w < blockDim_x >> 5; w++) sum += sums[w];
        mean = (int)((2 * (u64)sum + area) / (2 * (u64)area)); // rounded, halves up
    }
    for (int i = threadIdx_x; i < area; i += blockDim_x) {
        Pixel p = colour(Pixel{planes[i], planes[area + i], planes[2 * area + i]}, c, operations, mean);
        planes[i] = p.r;
        planes[area + i] = p.g;
        planes[2 * area + i] = p.b;
    }
}

// One pass of the extended box filter along rows (step 1) or columns (step size), by all threads of a block; samples beyond the border are those at it.
INLINE void blur(u8 *to, const u8 *from, const Crop &c, int size, bool down) {
    int n = c.radius;
    u32 box = c.box, edge = c.edge;
    for (int y = threadIdx_x >> 5; y < size; y += blockDim_x >> 5)
        for (int x0 = 0; x0 < size; x0 += 32) { // lanes beyond the row repeat its last pixel
            int x = imin(x0 + (threadIdx_x & 31), size - 1);
            int at = down ? y : x, step = down ? size : 1;
            const u8 *p = from + (down ? x : y * size);
            u32 sum = 0;
            for (int t = -n; t <= n; t++) sum += p[imin(imax(at + t, 0), size - 1) * step];
            u32 ends = p[imax(at - n - 1, 0) * step] + p[imin(at + n + 1, size - 1) * step];
            to[y * size + x] = (box * sum + edge * ends + (1u << (blur_bits - 1))) >> blur_bits;
        }
    __syncthreads();
}

// Gaussian blur as three box filters along rows and three along columns, in place; spare is as large as planes. A block a plane.
KERNEL(crops_blur, 512)(u8 *planes, u8 *spare, const Crop *crops, int size) {
    const Crop &c = crops[blockIdx_y];
    if (!(c.edge | c.box)) return;
    i64 at = ((i64)blockIdx_y * 3 + blockIdx_x) * size * size;
    u8 *from = planes + at, *to = spare + at;
#pragma unroll 1
    for (int pass = 0; pass < 2 * blur_passes; pass++) {
        blur(to, from, c, size, pass >= blur_passes);
        u8 *p = from;
        from = to;
        to = p;
    }
}

// out = ((x < solarize ? x : 255 − x)/255 − mean)/std. A thread four bytes of a plane.
template <class T> INLINE void normalize(T *out, const u8 *planes, const Crop *crops, int area, float4 mean, float4 std) {
    int crop = blockIdx_y, channel = blockIdx_z, i = 4 * (blockIdx_x * blockDim_x + threadIdx_x);
    if (i >= area) return;
    u32 threshold = crops[crop].solarize;
    float m = channel == 0 ? mean.x : channel == 1 ? mean.y : mean.z, s = channel == 0 ? std.x : channel == 1 ? std.y : std.z;
    i64 at = ((i64)crop * 3 + channel) * area + i;
    bool vector = (area & 3) == 0 && ((u64)planes & 3) == 0 && ((u64)out & 15) == 0;
    u32 word = 0;
    if (vector)
        word = *(const u32 *)(planes + at);
    else
        for (int k = 0; k < imin(4, area - i); k++) word |= (u32)planes[at + k] << 8 * k;
    float4 y;
#pragma unroll
    for (int k = 0; k < 4; k++) {
        u32 x = word >> 8 * k & 255;
        if (x >= threshold) x = 255 - x;
        y[k] = div_rn(add(div_rn((float)x, 255), -m), s);
    }
    if (vector)
        store4(out + at, y);
    else {
#pragma unroll
        for (int k = 0; k < 4; k++)
            if (k < area - i) store(out + at + k, y[k]);
    }
}

#define NORMALIZE(suffix, T)                                                                                                                           \
    KERNEL(crops_normalize_##suffix, 256)(T * out, const u8 *planes, const Crop *crops, int area, float mean0, float mean1, float mean2, float std0,   \
                                          float std1, float std2) {                                                                                    \
        normalize(out, planes, crops, area, (float4){mean0, mean1, mean2, 0}, (float4){std0, std1, std2, 0});                                          \
    }
NORMALIZE(f32, float)
NORMALIZE(bf16, bf16)
