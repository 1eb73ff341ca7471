package bench

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/godino-ml/godino/internal/measure"
	"github.com/godino-ml/godino/kernels"
	"github.com/godino-ml/godino/tensor"
)

// BenchmarkRows measures row-wise and elementwise operations, for every table of this CPU, with data in the second-level cache, in the last and
// in memory. GB/s counts the float32 that an operation must read and write once, whatever it reads twice; the bound is measured in the same run.
func BenchmarkRows(b *testing.B) {
	for _, table := range kernels.Tables() {
		for _, threads := range measure.Threads() {
			dev := tensor.NewCPU(table, threads)
			bounds := measure.NewBounds(dev)
			for _, level := range measure.Levels {
				for _, o := range measure.RowOperations {
					b.Run(fmt.Sprintf("%s/%s/threads=%d/%s", o.Name, table.Name, threads, level.Name), func(b *testing.B) {
						w := o.Work(dev, level)
						best := time.Duration(math.MaxInt64)
						for b.Loop() {
							best = min(best, w.Time())
						}
						rate := w.Bytes / float64(best.Nanoseconds())
						b.ReportMetric(rate, "GB/s")
						if w.Exps > 0 {
							b.ReportMetric(w.Exps/float64(best.Nanoseconds()), "Gexp/s")
						}
						b.ReportMetric(100*rate/o.Bound(bounds, level), "%bound")
					})
				}
			}
		}
	}
}
