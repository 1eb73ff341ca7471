package bench

import (
	"fmt"
	"testing"

	"github.com/godino-ml/godino/internal/measure"
	"github.com/godino-ml/godino/kernels"
	"github.com/godino-ml/godino/tensor"
)

// BenchmarkGemm prints GFLOP/s and the share of the multiply-add ceiling, measured in the same run, for every table, on one thread and on all.
func BenchmarkGemm(b *testing.B) {
	for _, table := range kernels.Tables() {
		for _, threads := range measure.Threads() {
			for _, dev := range precisions(tensor.NewCPU(table, threads)) {
				for _, s := range measure.Products {
					for _, f := range measure.Forms {
						bestOf(b, fmt.Sprintf("%s/threads=%d/%s", table.Name, threads, dev.Precision()), dev, measure.Product(dev, f, s))
					}
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
