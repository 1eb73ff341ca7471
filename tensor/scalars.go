package tensor

import (
	"math"

	"github.com/godino-ml/godino/kernels/cuda"
)

// Scalars are numbers that change from pass to pass, as those of a schedule. Operations that are given them as tensors read them when they run: a
// pass that a GPU has recorded can run again with others. They are set one by one and sent together.
type Scalars struct {
	t    *Tensor   // (n)
	host []float32 // t's memory on a CPU
}

// NewScalars makes n numbers, 0 at first.
func NewScalars(dev *Device, n int) *Scalars {
	t := New(dev, n)
	return &Scalars{t: t, host: t.Floats()}
}

// Set sets number i, for operations after the next Send.
func (s *Scalars) Set(i int, x float32) { s.host[i] = x }

// SetCount sets the count in numbers i and i+1.
func (s *Scalars) SetCount(i int, n uint64) {
	s.host[i], s.host[i+1] = math.Float32frombits(uint32(n)), math.Float32frombits(uint32(n>>32))
}

// Send brings what was set to the device.
func (s *Scalars) Send() {
	if s.t.dev.gpu != nil {
		s.t.SetFloats(s.host)
	}
}

// At is number i as a tensor of one element.
func (s *Scalars) At(i int) *Tensor { return s.t.Slice(i, i+1) }

// Count is the count in numbers i and i+1, as SetCount has set it.
func (s *Scalars) Count(i int) *Count { return &Count{s.t.Slice(i, i+2)} }

// Scalar is one number that stays as it is.
func Scalar(dev *Device, x float32) *Tensor { return FromSlice(dev, []float32{x}, 1) }

// Count is a whole number that operations read when they run, among Scalars: the number of a step.
type Count struct{ words *Tensor }

// NewCount is a count of its own.
func NewCount(dev *Device, n uint64) *Count {
	s := NewScalars(dev, 2)
	s.SetCount(0, n)
	s.Send()
	return s.Count(0)
}

// value is the count on a CPU, 0 for nil.
func (c *Count) value() uint64 {
	if c == nil {
		return 0
	}
	return uint64(math.Float32bits(c.words.data[0])) | uint64(math.Float32bits(c.words.data[1]))<<32
}

// at is the address of the count, a 64-bit word, on a GPU.
func (c *Count) at() cuda.Ptr { return c.words.ptr }

// scalar is the element of a tensor of one on a CPU, 1 for nil.
func (t *Tensor) scalar() float32 {
	if t == nil {
		return 1
	}
	return t.data[0]
}
