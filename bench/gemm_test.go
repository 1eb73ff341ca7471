package bench

import (
	"fmt"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/godino-ml/godino/kernels"
	"github.com/godino-ml/godino/tensor"
)

// gemmShapes are M, N, K of the products of a Vision Transformer: those of peers/gemm_peers.c, and what small pictures and gradients need.
var gemmShapes = [][3]int{
	{1024, 1024, 1024}, {2048, 2048, 2048}, {3152, 1152, 384}, {3152, 384, 384}, {3152, 1536, 384}, {3152, 384, 1536}, {1184, 1152, 384},
	{197, 197, 64}, {197, 64, 197}, {37, 37, 64}, {65, 65, 64}, {65, 64, 65}, {17, 17, 64}, {17, 64, 17}, {1040, 576, 192}, {1040, 192, 768},
	{40, 65536, 256}, {40, 2048, 384}, {128, 384, 12672},
}

// BenchmarkGemm prints GFLOP/s and the share of the multiply-add ceiling, measured in the same run, for every table, on one thread and on all.
func BenchmarkGemm(b *testing.B) {
	for _, table := range kernels.Tables() {
		for _, threads := range slices.Compact([]int{1, runtime.GOMAXPROCS(0)}) {
			dev := tensor.NewCPU(table, threads)
			for _, s := range gemmShapes {
				m, n, k := s[0], s[1], s[2]
				x, y, z := numbers(m*k, 17), numbers(k*n, 13), make([]float32, m*n)
				for _, o := range []struct {
					name           string
					transA, transB bool
					lda, ldb       int
				}{{"NN", false, false, k, n}, {"NT", false, true, k, k}, {"TN", true, false, m, n}} {
					b.Run(fmt.Sprintf("%s/threads=%d/%s/%dx%dx%d", table.Name, threads, o.name, m, n, k), func(b *testing.B) {
						best := time.Duration(1<<63 - 1)
						// Short products in batches that a clock can measure.
						batch := 1 + 1_000_000/(m*n*k)
						for b.Loop() {
							start := time.Now()
							for range batch {
								dev.Gemm(o.transA, o.transB, m, n, k, 1, x, o.lda, y, o.ldb, 0, z, n)
							}
							best = min(best, time.Since(start))
						}
						rate := 2 * float64(m) * float64(n) * float64(k) * float64(batch) / float64(best.Nanoseconds())
						b.ReportMetric(rate, "GFLOP/s")
						b.ReportMetric(100*rate/(float64(threads)*table.Ceiling()), "%ceiling")
					})
				}
			}
		}
	}
}

// numbers are small integers, positive and negative.
func numbers(n, period int) []float32 {
	s := make([]float32, n)
	for i := range s {
		s[i] = float32(i%period - period/2)
	}
	return s
}
