package bench

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/godino-ml/godino/kernels"
	"github.com/godino-ml/godino/tensor"
)

// BenchmarkAttention measures heads of the sizes that training meets, on one thread: GFLOP/s of the products that the definition needs, two
// in the forward and five in the backward, which computes the weights again.
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
			name := fmt.Sprintf("%s/b%dh%dn%dd%d", table.Name, batch, heads, n, d)
			b.Run("Forward/"+name, func(b *testing.B) {
				for b.Loop() {
					tensor.AttentionForward(y, lse, qkv, heads)
				}
				b.ReportMetric(flops*float64(b.N)/b.Elapsed().Seconds()/1e9, "GFLOP/s")
			})
			b.Run("Backward/"+name, func(b *testing.B) {
				for b.Loop() {
					tensor.AttentionBackward(dqkv, dy, qkv, y, lse, heads, false)
				}
				b.ReportMetric(2.5*flops*float64(b.N)/b.Elapsed().Seconds()/1e9, "GFLOP/s")
			})
		}
	}
}
