package kernels

// BoxBlurBits are the fraction bits of BoxBlur's weights.
const BoxBlurBits = 24

// boxBlur: dst[i] = (½ + Σ_t weights[t]·src[t·stride+i]) >> BoxBlurBits: one pass of a box filter, along rows (stride of a pixel) or columns
// (stride of a row). Weights are not negative and sum to 1 at most, so the result is a byte; Pillow's extended box has a smaller weight at
// either end (BoxBlur.c).
func boxBlur(dst, src []byte, stride int, weights []int32) {
	for i := weightedPairs(dst, src, stride, weights, BoxBlurBits, unsigned); i < len(dst); i++ {
		sum := uint32(1) << (BoxBlurBits - 1)
		for t, w := range weights {
			sum += uint32(w) * uint32(src[t*stride+i])
		}
		dst[i] = byte(sum >> BoxBlurBits)
	}
}
