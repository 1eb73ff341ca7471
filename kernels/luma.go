package kernels

// lumaOf is Pillow's conversion to grey, ITU-R 601-2 in 16-bit fixed point.
func lumaOf(r, g, b byte) byte {
	return byte((19595*uint32(r) + 38470*uint32(g) + 7471*uint32(b) + 0x8000) >> 16)
}

// luma: dst[i] = the grey level of the colour r[i], g[i], b[i]. dst may be one of them.
func luma(dst, r, g, b []byte) {
	for i := range dst {
		dst[i] = lumaOf(r[i], g[i], b[i])
	}
}

// lumaSum: Σ of the grey levels of the colours r[i], g[i], b[i].
func lumaSum(r, g, b []byte) int {
	sum := 0
	for i := range r {
		sum += int(lumaOf(r[i], g[i], b[i]))
	}
	return sum
}
