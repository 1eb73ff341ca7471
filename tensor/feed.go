package tensor

import (
	"slices"

	"github.com/godino-ml/godino/kernels/cuda"
)

// Feed brings float32 arrays of one shape from the program to a device: to a GPU while it works on those before. Tensors are taken in the order in
// which arrays were sent. On a GPU the memory of a tensor is used again for the array that is sent slots later, so that passes of the same arrays can
// be recorded (see Recorder) for each of the slots.
type Feed struct {
	dev   *Device
	shape []int
	slots int
	sent  [][]float32 // on a CPU: the arrays themselves
	feed  *cuda.Feed  // on a GPU
	taken int
}

// NewFeed makes a feed of tensors of that shape, at most slots of which are sent and not yet done with.
func NewFeed(dev *Device, slots int, shape ...int) *Feed {
	f := &Feed{dev: dev, shape: slices.Clone(shape), slots: slots}
	if dev.gpu != nil {
		f.feed = dev.gpu.NewFeed(product(shape)*cuda.Float32.Size(), slots)
	}
	return f
}

// Send sends an array of as many elements as the shape has. On a CPU it must stay as it is until the tensor is done with; on a GPU it may be used
// again at once.
func (f *Feed) Send(x []float32) {
	if len(x) != product(f.shape) {
		panic(&ShapeError{Op: "Feed.Send", Shapes: [][]int{{len(x)}, f.shape}, Want: "as many elements as the shape has"})
	}
	if f.feed == nil {
		f.sent = append(f.sent, x)
		return
	}
	f.feed.Send(func(to []byte) {
		from := bytesOf(x)
		CPU().runElements(len(x), func(i, j int) { copy(to[4*i:4*j], from[4*i:4*j]) })
	})
}

// Take is the tensor that was sent first of those not taken.
func (f *Feed) Take() *Tensor {
	f.taken++
	if f.feed == nil {
		x := f.sent[0]
		f.sent = slices.Delete(f.sent, 0, 1)
		return FromSlice(f.dev, x, f.shape...)
	}
	return &Tensor{dev: f.dev, shape: f.shape, n: product(f.shape), gpu: gpu{ptr: f.feed.Take()}}
}

// Slot is the number of the buffer that Take gives next, of the slots.
func (f *Feed) Slot() int { return f.taken % f.slots }

// Done says that all work that reads the tensors that were taken has been started.
func (f *Feed) Done() {
	if f.feed != nil {
		f.feed.Done()
	}
}
