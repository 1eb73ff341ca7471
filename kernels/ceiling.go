package kernels

import "time"

// Ceiling measures the most that the table's multiply-adds can do on one core now, in GFLOP/s (10⁹ float32 operations a second, a
// multiply-add being two): the rate that a matrix product is compared with. It takes about ten milliseconds.
func (t *Table) Ceiling() float64 {
	const rounds, n = 20, 100_000
	best := time.Duration(1<<63 - 1)
	for range rounds {
		start := time.Now()
		t.Gemm.Peak(n)
		best = min(best, time.Since(start))
	}
	return float64(t.Gemm.PeakFLOP) * n / float64(max(best, 1).Nanoseconds())
}
