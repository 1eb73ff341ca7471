package bench

import (
	"fmt"
	"testing"

	"github.com/godino-ml/godino/internal/measure"
	"github.com/godino-ml/godino/kernels"
	"github.com/godino-ml/godino/tensor"
)

// BenchmarkAttention measures heads of the sizes that training meets: GFLOP/s of the products that the definition needs, two in the forward and
// five in the backward, which computes the weights again, and the share of the multiply-add ceiling measured in the same run.
func BenchmarkAttention(b *testing.B) {
	for _, table := range kernels.Tables() {
		for _, threads := range measure.Threads() {
			for _, dev := range precisions(tensor.NewCPU(table, threads)) {
				for _, s := range measure.Attentions {
					forward, backward := measure.Attention(dev, s)
					name := fmt.Sprintf("%s/threads=%d/%s", table.Name, threads, dev.Precision())
					bestOf(b, name, dev, forward)
					bestOf(b, name, dev, backward)
				}
			}
		}
	}
}
