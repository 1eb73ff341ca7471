package measure

import (
	"sync"
	"time"

	"github.com/godino-ml/godino/kernels"
	"github.com/godino-ml/godino/tensor"
)

// Ceiling measures multiply-adds alone, in the device's precision, on all its threads at once, in GFLOP/s: what no product can exceed. It takes
// some ten milliseconds.
func Ceiling(dev *tensor.Device) float64 { return onAll(dev.Threads(), dev.Ceiling) }

// Level is where data lie, by how much there is.
type Level struct {
	Name  string
	Bytes int // for each thread
}

// Levels are a second-level cache, a last one and memory, of the sizes of most machines of today. A training step's activations come from the
// last two.
var Levels = []Level{{"L2", 640 << 10}, {"L3", 12 << 20}, {"DRAM", 320 << 20}}

// Bandwidth is what a device's threads move together, each in memory of its own, in GB/s.
type Bandwidth struct {
	Read   float64 // Σx
	Update float64 // y += a·x: two are read, one is written
	Copy   float64 // y = x; a cache fetches what is going to be overwritten, so that three bytes move for two that count
}

// Bounds measures what bounds the operations of a device that are not products, each once.
type Bounds struct {
	dev       *tensor.Device
	bandwidth map[Level]Bandwidth
	exp       float64
}

// NewBounds are those of dev, none of them measured yet.
func NewBounds(dev *tensor.Device) *Bounds {
	return &Bounds{dev: dev, bandwidth: map[Level]Bandwidth{}}
}

// boundTime is for how long one figure is measured.
const boundTime = 60 * time.Millisecond

// Bandwidth is that of so much memory.
func (b *Bounds) Bandwidth(l Level) Bandwidth {
	if w, ok := b.bandwidth[l]; ok {
		return w
	}
	var mu sync.Mutex
	var w Bandwidth
	onAll(b.dev.Threads(), func() float64 {
		one := bandwidth(tensor.NewCPU(b.dev.Kernels(), 1), l.Bytes/8)
		mu.Lock()
		defer mu.Unlock()
		w.Read, w.Update, w.Copy = w.Read+one.Read, w.Update+one.Update, w.Copy+one.Copy
		return 0
	})
	b.bandwidth[l] = w
	return w
}

// bandwidth is that of one thread on two vectors of n elements of its own.
func bandwidth(dev *tensor.Device, n int) Bandwidth {
	x, y := tensor.New(dev, n), tensor.New(dev, n)
	tensor.Fill(x, 1)
	tensor.Fill(y, 1)
	rate := func(floats int, f func()) float64 { return 4 * float64(floats) / shortest(f) }
	return Bandwidth{
		Read:   rate(2*n, func() { tensor.Sum(x); tensor.Sum(y) }),
		Update: rate(3*n, func() { tensor.AddScaled(y, x, 0.5) }),
		Copy: rate(2*n, func() {
			const chunk = 4096 // elements: longer copies go past the caches
			for i := 0; i < n; i += chunk {
				copy(y.Data()[i:min(i+chunk, n)], x.Data()[i:])
			}
		}),
	}
}

// Exp is how many exponentials a nanosecond the device's threads compute together, of numbers in their first-level caches.
func (b *Bounds) Exp() float64 {
	if b.exp == 0 {
		b.exp = onAll(b.dev.Threads(), func() float64 { return expRate(b.dev.Kernels()) })
	}
	return b.exp
}

func expRate(table *kernels.Table) float64 {
	const n, repeat = 4096, 20
	x, y := make([]float32, n), make([]float32, n)
	return repeat * n / shortest(func() {
		for range repeat {
			table.ExpShift(y, x, 1, 0)
		}
	})
}

// shortest is the least time of f in nanoseconds, of at least four runs.
func shortest(f func()) float64 {
	w := Work{Do: f}
	best := w.Time()
	for start, runs := time.Now(), 1; runs < 4 || time.Since(start) < boundTime; runs++ {
		best = min(best, w.Time())
	}
	return float64(best.Nanoseconds())
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
