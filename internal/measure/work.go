package measure

import (
	"context"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/godino-ml/godino/kernels"
	"github.com/godino-ml/godino/tensor"
)

// Work is something to measure.
type Work struct {
	Name   string
	Do     func()
	FLOPs  float64 // operations that one Do needs by its definition, those of a backward's recomputation included
	Bytes  float64 // what one Do must read and write, each float32 once
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

// Ceiling measures multiply-adds of the device's precision alone, on all its threads at once, in GFLOP/s: what no product can exceed. It takes some ten
// milliseconds.
func Ceiling(dev *tensor.Device) float64 {
	return onAll(dev.Threads(), func() float64 { return dev.Ceiling() })
}

// onAll runs f on so many threads at once and returns the sum of its results.
func onAll(threads int, f func() float64) float64 {
	results := make([]float64, threads)
	var wait sync.WaitGroup
	for i := 1; i < threads; i++ {
		wait.Go(func() { results[i] = f() })
	}
	results[0] = f()
	wait.Wait()
	var sum float64
	for _, r := range results {
		sum += r
	}
	return sum
}

// CopyRate measures on all threads of the device at once how fast memory is copied, in GB/s, bytes read and bytes written both counted: the
// bound of an operation that touches so many bytes once. Where they lie, in a cache or beyond, is part of it.
func CopyRate(dev *tensor.Device, bytes float64) float64 {
	n := max(1, int(bytes)/8/dev.Threads()) // half are read, half are written
	const rounds = 20
	return onAll(dev.Threads(), func() float64 {
		from, to := Integers(n, 100), make([]float32, n) // written: memory never written is one page of zeros
		copies := 1 + 50_000/n
		w := Work{Repeat: copies, Do: func() { copy(to, from) }}
		best := w.Time()
		for range rounds {
			best = min(best, w.Time())
		}
		return 8 * float64(n) / float64(best.Nanoseconds())
	})
}

// ExpRate measures how many exponentials the table computes in a nanosecond on one thread when their data are in the first-level cache: the
// bound of GELU and softmax where memory is not.
func ExpRate(table *kernels.Table) float64 {
	const n, rounds = 2048, 200
	x, y := make([]float32, n), make([]float32, n)
	for i := range x {
		x[i] = -float32(i) / n
	}
	w := Work{Repeat: 20, Do: func() { table.ExpShift(y, x, 1, 0) }}
	best := w.Time()
	for range rounds {
		best = min(best, w.Time())
	}
	return n / float64(best.Nanoseconds())
}

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
