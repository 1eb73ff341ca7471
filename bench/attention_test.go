package bench

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/godino-ml/godino/kernels"
	"github.com/godino-ml/godino/tensor"
)

// BenchmarkAttention measures heads of the sizes that training meets, on one thread: GFLOP/s of the products that the definition needs, two
// in the forward and five in the backward, which computes the weights again, and the share of the multiply-add ceiling measured in the same run.
func BenchmarkAttention(b *testing.B) {
	for _, table := range kernels.Tables() {
		dev := tensor.NewCPU(table, 1)
		for _, s := range [][4]int{{16, 17, 3, 64}, {16, 37, 6, 64}, {16, 65, 3, 64}, {16, 65, 3, 32}, {4, 197, 6, 64}, {1, 785, 6, 64}} {
			n, batch, heads, d := s[1], s[0], s[2], s[3]
			r := rand.New(rand.NewPCG(1, 2))
			random := func(shape ...int) *tensor.Tensor {
				t := tensor.New(dev, shape...)
				for i := range t.Data() {
					t.Data()[i] = float32(r.NormFloat64())
				}
				return t
			}
			qkv, dy := random(batch, n, 3*heads*d), random(batch, n, heads*d)
			y, lse, dqkv := random(batch, n, heads*d), random(batch, heads, n), random(batch, n, 3*heads*d)
			flops := 4 * float64(n) * float64(n) * float64(d*heads*batch)
			// The best run counts: whatever else the machine does only slows one down.
			measure := func(b *testing.B, flops float64, f func()) {
				best := time.Duration(math.MaxInt64)
				for b.Loop() {
					start := time.Now()
					f()
					best = min(best, time.Since(start))
				}
				rate := flops / float64(best.Nanoseconds())
				b.ReportMetric(rate, "GFLOP/s")
				b.ReportMetric(100*rate/table.Ceiling(), "%ceiling")
			}
			name := fmt.Sprintf("%s/b%dh%dn%dd%d", table.Name, batch, heads, n, d)
			b.Run("Forward/"+name, func(b *testing.B) {
				measure(b, flops, func() { tensor.AttentionForward(y, lse, qkv, heads) })
			})
			b.Run("Backward/"+name, func(b *testing.B) {
				measure(b, 2.5*flops, func() { tensor.AttentionBackward(dqkv, dy, qkv, y, lse, heads, false) })
			})
		}
	}
}
