package bench

import (
	"fmt"
	"testing"
	"time"

	"github.com/godino-ml/godino/internal/measure"
	"github.com/godino-ml/godino/kernels"
	"github.com/godino-ml/godino/tensor"
)

// BenchmarkGemm prints GFLOP/s and the share of the multiply-add ceiling, measured in the same run, for every table, on one thread and on all.
func BenchmarkGemm(b *testing.B) {
	for _, table := range kernels.Tables() {
		for _, threads := range measure.Threads() {
			dev := tensor.NewCPU(table, threads)
			for _, s := range measure.Products {
				for _, f := range measure.Forms {
					w := measure.Product(dev, f, s)
					b.Run(fmt.Sprintf("%s/threads=%d/%s", table.Name, threads, w.Name), func(b *testing.B) {
						best := time.Duration(1<<63 - 1)
						for b.Loop() {
							best = min(best, w.Time())
						}
						reportRate(b, dev, w, best)
					})
				}
			}
		}
	}
}

// BenchmarkGemmHeads is BenchmarkGemm for the products of attention, one for each head of each image, were they not fused.
func BenchmarkGemmHeads(b *testing.B) {
	for _, table := range kernels.Tables() {
		for _, threads := range measure.Threads() {
			dev := tensor.NewCPU(table, threads)
			for _, s := range measure.HeadProducts {
				for _, f := range measure.Forms {
					bestOf(b, fmt.Sprintf("%s/threads=%d", table.Name, threads), dev, measure.BatchedProduct(dev, f, s))
				}
			}
		}
	}
}
