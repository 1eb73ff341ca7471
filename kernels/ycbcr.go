package kernels

// upsampleTriangle doubles a row of chroma in both directions: with s[x] = 3·near[x] + far[x], far being the row on the other side of the pixels,
// dst[2x] = (3·s[x] + s[x−1] + 8) >> 4 and dst[2x+1] = (3·s[x] + s[x+1] + 7) >> 4, borders clamped: libjpeg's "fancy" upsampling
// (jdsample.c, h2v2_fancy_upsample). dst has room for 2·len(near), which may exceed the picture's width by one.
func upsampleTriangle(dst, near, far []byte) {
	sum := func(x int) int32 { return 3*int32(near[x]) + int32(far[x]) }
	n := len(near)
	last, v := sum(0), sum(0)
	for x := range n {
		next := v
		if x+1 < n {
			next = sum(x + 1)
		}
		dst[2*x] = byte((3*v + last + 8) >> 4)
		dst[2*x+1] = byte((3*v + next + 7) >> 4)
		last, v = v, next
	}
}

// yCbCrToRGB converts a row of JFIF's luma and chroma to pixels of three bytes: libjpeg's integers (jdcolor.c), the products in 16-bit fixed
// point, those of green added before rounding.
func yCbCrToRGB(dst, luma, cb, cr []byte) {
	const half = 1 << 15
	for i, v := range luma {
		y, u, w := int32(v), int32(cb[i])-128, int32(cr[i])-128
		dst[3*i] = clipByte(y + (91881*w+half)>>16)            // 1.40200
		dst[3*i+1] = clipByte(y + (-22554*u-46802*w+half)>>16) // 0.34414, 0.71414
		dst[3*i+2] = clipByte(y + (116130*u+half)>>16)         // 1.77200
	}
}
