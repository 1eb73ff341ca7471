package kernels

import "time"

// Ceiling measures the most that the table's float32 multiply-adds can do on one core now: that of its GemmKernel.
func (t *Table) Ceiling() float64 { return t.Gemm.Ceiling() }

// Ceiling measures the most that the kernel's multiply-adds can do on one core now, in GFLOP/s (10⁹ operations a second, a multiply-add being
// two): the rate that a matrix product is compared with. It takes about ten milliseconds.
func (g *GemmKernel) Ceiling() float64 {
	const rounds, n = 20, 100_000
	best := time.Duration(1<<63 - 1)
	for range rounds {
		start := time.Now()
		g.Peak(n)
		best = min(best, time.Since(start))
	}
	return float64(g.PeakFLOP) * n / float64(max(best, 1).Nanoseconds())
}
