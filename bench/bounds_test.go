package bench

import (
	"fmt"
	"testing"

	"github.com/godino-ml/godino/internal/measure"
	"github.com/godino-ml/godino/kernels"
	"github.com/godino-ml/godino/tensor"
)

// BenchmarkBound prints what bounds the other benchmarks on this machine now: multiply-adds in registers, exponentials in the first-level cache,
// and copies of as many bytes as fit into the second-level cache, the third, and neither.
func BenchmarkBound(b *testing.B) {
	bound := func(name, unit string, f func() float64) {
		b.Run(name, func(b *testing.B) {
			best := 0.0
			for b.Loop() {
				best = max(best, f())
			}
			b.ReportMetric(best, unit)
		})
	}
	for _, threads := range measure.Threads() {
		for _, table := range kernels.Tables() {
			dev := tensor.NewCPU(table, threads)
			bound(fmt.Sprintf("multiply-add/%s/threads=%d", table.Name, threads), "GFLOP/s", func() float64 { return measure.Ceiling(dev) })
			if threads == 1 {
				bound(fmt.Sprintf("exp/%s/threads=1", table.Name), "Gexp/s", func() float64 { return measure.ExpRate(table) })
			}
		}
		dev := tensor.NewCPU(kernels.Best(), threads)
		for _, size := range []int{256 << 10, 8 << 20, 512 << 20} {
			bound(fmt.Sprintf("copy/threads=%d/%dKiB", threads, size>>10), "GB/s", func() float64 { return measure.CopyRate(dev, float64(size)) })
		}
	}
}
