package kernels

import "math"

// saturation: with each colour's grey level l, c[i] = l + factor·(c[i] − l) for c of r, g and b, the product rounded to float32 and down to an
// integer, the sum clipped to a byte: Pillow's Image.blend with the grey picture. (Blend cuts the sum towards zero, but a sum below zero is
// clipped.)
func saturation(r, g, b []byte, factor float32) {
	var table [511]int32
	for d := range table {
		table[d] = int32(math.Floor(float64(factor * float32(d-255))))
	}
	for i := range r {
		l := int32(lumaOf(r[i], g[i], b[i]))
		r[i] = clipByte(l + table[int32(r[i])-l+255])
		g[i] = clipByte(l + table[int32(g[i])-l+255])
		b[i] = clipByte(l + table[int32(b[i])-l+255])
	}
}
