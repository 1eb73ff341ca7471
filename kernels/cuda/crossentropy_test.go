package cuda_test

import (
	"math"
	"testing"

	"github.com/godino-ml/godino/kernels"
	"github.com/godino-ml/godino/kernels/cuda"
	"github.com/godino-ml/godino/kernels/cuda/cudatest"
)

func TestCrossEntropy(t *testing.T) {
	test(t, []int{5, 24, 1000, 2900}, func(r *run, n int) {
		const rows, weight, dloss = 3, 0.25, -3
		list := []int32{0, int32(n - 1), int32(n / 2)}
		labels := cudatest.PutInts(r.d, list)
		smoothing := map[bool]float32{false: 0, true: 0.1}[r.add]
		logits := r.in(rows * n)
		loss, logp := r.statistics(rows), r.undefined(r.typ, rows*n)
		exact := make([]float32, rows*n)
		kernels.Reference().LogSoftmaxForward(exact, logits.x, n, 1)
		logp.is(exact).about(8)
		loss.is(make([]float32, rows)).about(8)
		given, dlogits := r.in(rows*n), r.out(rows*n)
		dlogits.is(make([]float32, rows*n)).about(8)
		for i := range rows {
			sum := -(1 - float64(smoothing)) * float64(exact[i*n+int(list[i])])
			for k := range n {
				target := float64(smoothing) / float64(n)
				if smoothing > 0 {
					sum -= target * float64(exact[i*n+k])
				}
				if k == int(list[i]) {
					target += 1 - float64(smoothing)
				}
				dlogits.want[i*n+k] = float32(weight * dloss * (math.Exp(float64(given.x[i*n+k])) - target))
			}
			loss.want[i] = float32(sum)
		}
		addTo(r, dlogits)
		r.d.CrossEntropyForward(loss.ptr, logp.ptr, logits.ptr, r.typ, labels, smoothing, rows, n)
		r.d.CrossEntropyBackward(dlogits.ptr, given.ptr, r.typ, labels, smoothing, weight, cudatest.Put(r.d, cuda.Float32, []float32{dloss}), rows, n, r.add)

		again, twice := r.array(r.typ, logits.x), r.statistics(rows) // in place
		again.is(exact).about(8)
		twice.is(loss.want).about(8)
		r.d.CrossEntropyForward(twice.ptr, again.ptr, again.ptr, r.typ, labels, smoothing, rows, n)
	})
}
