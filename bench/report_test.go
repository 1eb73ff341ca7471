package bench

import (
	"math"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/godino-ml/godino/internal/measure"
	"github.com/godino-ml/godino/tensor"
)

// bestOf runs w below that name and reports the rate of its shortest run: whatever else the machine does only slows one down.
func bestOf(b *testing.B, name string, dev *tensor.Device, w measure.Work) {
	b.Run(name+"/"+w.Name, func(b *testing.B) {
		best := time.Duration(math.MaxInt64)
		for b.Loop() {
			best = min(best, w.Time())
		}
		reportRate(b, dev, w, best)
	})
}

// reportRate reports GFLOP/s of a run that took so long, and their share of the multiply-add ceiling of the device.
func reportRate(b *testing.B, dev *tensor.Device, w measure.Work, took time.Duration) {
	rate := w.FLOPs / float64(took.Nanoseconds())
	b.ReportMetric(rate, "GFLOP/s")
	b.ReportMetric(100*rate/measure.Ceiling(dev), "%ceiling")
}

// medianOf runs what prepare makes below that name and reports what a run of hours would see:
//
//	images/s         of the median run
//	%ceiling         operations done, of the multiply-add ceiling
//	%ceiling-model   operations of the model as it is written: the figure to compare programs by
//	min-ms, max-ms   of a run: how far apart they are
//	gc-µs/op         in which the garbage collector has stopped everything
//	peak-MiB         held at once by the process, from the making of the network on; not where the system does not tell
func medianOf(b *testing.B, name string, dev *tensor.Device, prepare func() (measure.Work, error), modelFLOPs float64) {
	b.Run(name, func(b *testing.B) {
		alone := measure.ResetPeakMemory()
		w, err := prepare()
		if err != nil {
			b.Fatal(err)
		}
		w.Do() // plans its memory
		w.Do()
		ceiling := measure.Ceiling(dev)
		var before, after runtime.MemStats
		times := make([]time.Duration, 0, 1<<16)
		b.ReportAllocs()
		runtime.ReadMemStats(&before)
		for b.Loop() {
			times = append(times, w.Time())
		}
		runtime.ReadMemStats(&after)
		ceiling = max(ceiling, measure.Ceiling(dev))
		slices.Sort(times)
		median := float64(measure.Median(times).Nanoseconds())
		b.ReportMetric(float64(w.Images)/median*1e9, "images/s")
		b.ReportMetric(100*w.FLOPs/median/ceiling, "%ceiling")
		b.ReportMetric(100*modelFLOPs/median/ceiling, "%ceiling-model")
		b.ReportMetric(float64(times[0].Nanoseconds())/1e6, "min-ms")
		b.ReportMetric(float64(times[len(times)-1].Nanoseconds())/1e6, "max-ms")
		b.ReportMetric(float64(after.PauseTotalNs-before.PauseTotalNs)/1e3/float64(len(times)), "gc-µs/op")
		if alone {
			b.ReportMetric(float64(measure.PeakMemory())/(1<<20), "peak-MiB")
		}
	})
}
