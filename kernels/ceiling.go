package kernels

import "time"

// Ceiling measures the most that the table's float32 multiply-adds can do on one core now: that of its GemmKernel.
func (t *Table) Ceiling() float64 { return t.Gemm.Ceiling() }

// Ceiling measures the most that the kernel's multiply-adds can do on one core now, in GFLOP/s (10⁹ operations a second, a multiply-add being
// two): the rate that a matrix product is compared with. It is the best of short windows with pauses between them, so that one of them finds
// the core free where others use it too, and takes about twenty milliseconds.
func (g *GemmKernel) Ceiling() float64 {
	const windows, rounds, n, pause = 8, 16, 20_000, 2 * time.Millisecond
	best := time.Duration(1<<63 - 1)
	for window := range windows {
		if window > 0 {
			time.Sleep(pause)
		}
		for range rounds {
			start := time.Now()
			g.Peak(n)
			best = min(best, time.Since(start))
		}
	}
	return float64(g.PeakFLOP) * n / float64(max(best, 1).Nanoseconds())
}
