package cuda

import "math"

// DropPath decides which of n samples take a residual branch: scale[i] = 1/keep, or 0 for a sample that is dropped, which happens with probability 1−keep.
// scale is float32. The decision is keyed by seed, the step's number (a uint64 at step), pass, block, branch and i: Uniform of that key, of package tensor,
// is below keep.
func (d *Device) DropPath(scale Ptr, n int, seed uint64, step Ptr, pass uint64, block, branch int, keep float64) {
	// Uniform is a whole number of 2^-24, so that it is below keep just where that number is below keep·2^24 rounded up.
	threshold := int(math.Ceil(keep * (1 << 24)))
	d.launch("droppath", "droppath", Dim{X: ceilDiv(n, 256)}, Dim{X: 256}, 0,
		P(scale), I(n), U64(mix(start, seed)), P(step), U64(pass), U64(uint64(block)), U64(uint64(branch)), I(threshold), F(float32(1/keep)))
}

// start and mix are those of package tensor's Mix.
const start = 0x9e3779b97f4a7c15

func mix(h, part uint64) uint64 {
	h += part + 0x9e3779b97f4a7c15
	h = (h ^ h>>30) * 0xbf58476d1ce4e5b9
	h = (h ^ h>>27) * 0x94d049bb133111eb
	return h ^ h>>31
}
