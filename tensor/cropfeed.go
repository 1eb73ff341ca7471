package tensor

import (
	"fmt"
	"slices"

	"github.com/godino-ml/godino/kernels/cuda"
)

// CropFeed brings pictures to a GPU while it works on those before, and makes crops of them there: instead of a Feed of crops that the CPU has made. A
// batch has crops of one or more sizes.
type CropFeed struct {
	dev         *Device
	feed        *cuda.Feed
	batches     []cropBatch // one a buffer
	sent, taken int
}

// cropBatch is where a batch lies in its buffer: its pictures, and for every size what the GPU is told about them.
type cropBatch struct {
	pictures int
	lists    []cuda.Crops
	parts    [][2]int
}

// NewCropFeed makes a feed for a GPU, at most slots of whose batches are sent and not yet done with.
func NewCropFeed(dev *Device, slots int) *CropFeed {
	if dev.gpu == nil {
		panic("tensor: NewCropFeed for a CPU")
	}
	return &CropFeed{dev: dev, feed: dev.gpu.NewFeed(0, slots), batches: make([]cropBatch, slots)}
}

// Send sends pictures of three bytes a pixel, and of every size the crops of each picture, as many of one as of another. All may be used again at once.
func (f *CropFeed) Send(pictures [][]byte, sizes ...[]*cuda.Crops) {
	b := &f.batches[f.sent%len(f.batches)]
	f.sent++
	bytes := 0
	place := func(n int) (at int) {
		at = bytes
		bytes += (n + 15) &^ 15
		return at
	}
	places := make([]int, len(pictures))
	for i, p := range pictures {
		places[i] = place(len(p))
	}
	b.lists = slices.Grow(b.lists[:0], len(sizes))[:len(sizes)]
	b.parts = b.parts[:0]
	for k, samples := range sizes {
		if len(samples) != len(pictures) {
			panic(fmt.Sprintf("tensor: CropFeed.Send of %d pictures and the crops of %d", len(pictures), len(samples)))
		}
		l := &b.lists[k]
		l.Size = samples[0].Size
		l.Reset()
		l.Join(samples, places)
		records, taps := l.Parts()
		b.parts = append(b.parts, [2]int{place(len(records)), place(len(taps))})
	}
	f.feed.SendBytes(bytes, func(to []byte) {
		CPU().Run(len(pictures), func(i, _ int) { copy(to[places[i]:], pictures[i]) })
		for k := range b.lists {
			records, taps := b.lists[k].Parts()
			copy(to[b.parts[k][0]:], records)
			copy(to[b.parts[k][1]:], taps)
		}
	})
}

// Take makes the crops of the batch that was sent first of those not taken: of every size all, view-major, (views·B, 3, S, S), normalised by mean and std.
func (f *CropFeed) Take(mean, std [3]float32, crops ...*Tensor) {
	b := &f.batches[f.taken%len(f.batches)]
	f.taken++
	check(len(crops) == len(b.lists), "CropFeed.Take", "a tensor for every size", crops...)
	at := f.feed.Take()
	for k, y := range crops {
		l := &b.lists[k]
		check(len(y.shape) == 4 && y.shape[0] == l.Count() && y.shape[1] == 3 && y.shape[2] == l.Size && y.shape[3] == l.Size, "CropFeed.Take",
			fmt.Sprintf("(%d, 3, %d, %d)", l.Count(), l.Size, l.Size), y)
		y.written()
		f.dev.gpu.Crops(y.ptr, y.typ, l, at, at+cuda.Ptr(b.parts[k][0]), at+cuda.Ptr(b.parts[k][1]), mean, std)
	}
	f.feed.Done()
}
