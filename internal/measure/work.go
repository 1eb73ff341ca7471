package measure

import (
	"context"
	"math/rand/v2"
	"runtime"
	"slices"
	"time"

	"github.com/godino-ml/godino/tensor"
)

// Work is something to measure.
type Work struct {
	Name   string
	Do     func()
	FLOPs  float64 // operations that one Do needs by its definition, those of a backward's recomputation included
	Bytes  float64 // what one Do must read and write, each float32 once
	Exps   float64 // exponentials of one Do
	Images int     // that one Do is through with
	Repeat int     // so many Dos between two looks at the clock; 0 means 1
}

// Time does the work Repeat times and returns how long one took.
func (w *Work) Time() time.Duration {
	n := max(1, w.Repeat)
	start := time.Now()
	for range n {
		w.Do()
	}
	return max(1, time.Since(start)/time.Duration(n))
}

// Times does the work for about that long and at least so many times, or until ctx ends, and returns how long each took, the shortest first. It
// does it once more before, uncounted: a first run plans its memory.
func (w *Work) Times(ctx context.Context, long time.Duration, least int) []time.Duration {
	var times []time.Duration
	w.Time()
	for start := time.Now(); (time.Since(start) < long || len(times) < least) && ctx.Err() == nil; {
		times = append(times, w.Time())
	}
	slices.Sort(times)
	return times
}

// Median is the middle of sorted times, 0 if there are none.
func Median(times []time.Duration) time.Duration {
	if len(times) == 0 {
		return 0
	}
	return times[len(times)/2]
}

// Threads are the numbers of threads to measure with: one, and all.
func Threads() []int { return slices.Compact([]int{1, runtime.GOMAXPROCS(0)}) }

// normal is a tensor of keyed normal numbers.
func normal(dev *tensor.Device, shape ...int) *tensor.Tensor {
	t := tensor.New(dev, shape...)
	copy(t.Data(), Noise(t.Len()))
	return t
}

// Noise is n keyed normal numbers, as normalised pixels are spread.
func Noise(n int) []float32 {
	r := rand.New(rand.NewPCG(1, 2))
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(r.NormFloat64())
	}
	return x
}
