package bench

import (
	"fmt"
	"testing"

	"github.com/godino-ml/godino/internal/measure"
	"github.com/godino-ml/godino/kernels"
	"github.com/godino-ml/godino/tensor"
)

// BenchmarkBound prints what bounds the other benchmarks on this machine now: multiply-adds in registers, exponentials in the first-level cache,
// and what is read, updated and copied in the second-level cache, the last one, and memory.
func BenchmarkBound(b *testing.B) {
	for _, table := range kernels.Tables() {
		for _, threads := range measure.Threads() {
			dev := tensor.NewCPU(table, threads)
			name := fmt.Sprintf("%s/threads=%d", table.Name, threads)
			for _, dev := range precisions(dev) {
				b.Run(fmt.Sprintf("multiply-add/%s/%s", name, dev.Precision()), func(b *testing.B) {
					best := 0.0
					for b.Loop() {
						best = max(best, measure.Ceiling(dev))
					}
					b.ReportMetric(best, "GFLOP/s")
				})
			}
			bounds := measure.NewBounds(dev)
			b.Run("exp/"+name, func(b *testing.B) {
				for b.Loop() {
					bounds.Exp()
				}
				b.ReportMetric(bounds.Exp(), "Gexp/s")
			})
			for _, level := range measure.Levels {
				b.Run(fmt.Sprintf("memory/%s/%s", name, level.Name), func(b *testing.B) {
					for b.Loop() {
						bounds.Bandwidth(level)
					}
					w := bounds.Bandwidth(level)
					b.ReportMetric(w.Read, "read-GB/s")
					b.ReportMetric(w.Update, "update-GB/s")
					b.ReportMetric(w.Copy, "copy-GB/s")
				})
			}
		}
	}
}
