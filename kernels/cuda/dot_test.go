package cuda_test

import (
	"math"
	"testing"

	"github.com/godino-ml/godino/kernels"
)

func TestSums(t *testing.T) {
	test(t, []int{5, 17, 0, 1, 2048, 9001}, func(r *run, n int) {
		x, y := r.in(n), r.in(n)
		dot, sum, squares := r.statistics(1), r.statistics(1), r.statistics(1)
		k, size := kernels.Reference(), math.Sqrt(float64(n+1))
		dot.is([]float32{k.Dot(x.x, y.x)}).about(size)
		sum.is([]float32{0.5 * k.Sum(x.x)}).about(size)
		squares.is([]float32{k.SumSquares(x.x)})
		r.d.Dot(dot.ptr, x.ptr, y.ptr, r.typ, n)
		r.d.Sum(sum.ptr, x.ptr, r.typ, 0.5, n)
		r.d.SumSquares(squares.ptr, x.ptr, r.typ, n)
	})
}
