package kernels

import "encoding/binary"

// ResampleBits are the fraction bits of Resample's weights. They leave 8 bits of a 32-bit sum for the pixel and 2 for overshoot: Pillow's
// PRECISION_BITS (Resample.c).
const ResampleBits = 32 - 8 - 2

// resample: dst[i] = clip((½ + Σ_t weights[t]·src[t·stride+i]) >> ResampleBits) to bytes, in 32-bit sums that wrap: a sample of a resized
// picture, for pixels that lie one after the other.
func resample(dst, src []byte, stride int, weights []int32) {
	for i := weightedPairs(dst, src, stride, weights, ResampleBits, signed); i < len(dst); i++ {
		sum := int32(1) << (ResampleBits - 1)
		for t, w := range weights {
			sum += w * int32(src[t*stride+i])
		}
		dst[i] = clipByte(sum >> ResampleBits)
	}
}

// How a 32-bit sum is read: a mask of its extension to 64 bits.
const (
	signed   = -1
	unsigned = 1<<32 - 1
)

// weightedPairs: dst[i] = clip((½ + Σ_t weights[t]·src[t·stride+i]) >> bits) for as many i as come in eights, whose number it returns. Two sums
// share a 64-bit multiplication: two bytes are a | b<<32, and a sum of weight·pair is A + B<<32 with A signed.
func weightedPairs(dst, src []byte, stride int, weights []int32, bits int, extension int64) int {
	const pair = 0x000000ff_000000ff // bytes 0 and 4 of a word
	half := uint64(1)<<(bits-1) | uint64(1)<<(bits-1+32)
	unpack := func(sum uint64) (low, high byte) {
		a := int64(int32(sum))
		b := int64(int32((sum - uint64(a)) >> 32)) // without A only B<<32 is left
		return clipByte(int32((a & extension) >> bits)), clipByte(int32((b & extension) >> bits))
	}
	n := len(dst) &^ 7
	for i := 0; i < n; i += 8 {
		a, b, c, d := half, half, half, half
		at := i
		for _, w := range weights {
			v, w := binary.LittleEndian.Uint64(src[at:]), uint64(int64(w))
			a += w * (v & pair)
			b += w * (v >> 8 & pair)
			c += w * (v >> 16 & pair)
			d += w * (v >> 24 & pair)
			at += stride
		}
		o := dst[i : i+8 : i+8]
		o[0], o[4] = unpack(a)
		o[1], o[5] = unpack(b)
		o[2], o[6] = unpack(c)
		o[3], o[7] = unpack(d)
	}
	return n
}

// clipByte is v clipped to 0 … 255.
func clipByte(v int32) byte {
	if uint32(v) > 255 {
		return byte(^(v >> 31)) // 0 below, 255 above
	}
	return byte(v)
}
