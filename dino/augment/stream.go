package augment

import "math/rand/v2"

// Stream is a stream of random numbers that can be set to any key without allocation.
type Stream struct {
	*rand.Rand
	pcg rand.PCG
}

// Key sets the stream to the beginning of the sequence of (seed, epoch, sample, crop).
func (s *Stream) Key(seed uint64, epoch, sample, crop int) *rand.Rand {
	if s.Rand == nil {
		s.Rand = rand.New(&s.pcg) // holds no state of its own
	}
	hi := mix(mix(seed) + uint64(epoch))
	lo := mix(mix(hi+uint64(sample)) + uint64(crop))
	s.pcg.Seed(hi, lo)
	return s.Rand
}

// CropStream is a new stream with that key.
func CropStream(seed uint64, epoch, sample, crop int) *rand.Rand {
	return new(Stream).Key(seed, epoch, sample, crop)
}

// mix is the finaliser of splitmix64 (Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014) after one step of its
// counter: a bijection that changes about half of the bits for any changed bit.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
