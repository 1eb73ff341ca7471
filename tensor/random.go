package tensor

import "math/rand/v2"

// Randomness is keyed: the same key gives the same numbers, whoever asks, in whatever order, on whatever thread. A key is a list of
// integers such as (seed, step, layer, sample).

// Mix hashes a key to 64 bits with the finaliser of SplitMix64 (Steele, Lea, Flood 2014), one round a part. It is simple enough for a GPU
// kernel to repeat.
func Mix(key ...uint64) uint64 {
	h := uint64(0x9e3779b97f4a7c15)
	for _, k := range key {
		h += k + 0x9e3779b97f4a7c15
		h = (h ^ h>>30) * 0xbf58476d1ce4e5b9
		h = (h ^ h>>27) * 0x94d049bb133111eb
		h ^= h >> 31
	}
	return h
}

// Uniform is the number in [0, 1) of a key.
func Uniform(key ...uint64) float32 { return float32(Mix(key...)>>40) * 0x1p-24 }

// Stream is the generator of a key, for those who need many numbers.
func Stream(key ...uint64) *rand.Rand {
	h := Mix(key...)
	return rand.New(rand.NewPCG(h, Mix(h)))
}
