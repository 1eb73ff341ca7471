package cuda_test

import (
	"testing"

	"github.com/godino-ml/godino/kernels"
	"github.com/godino-ml/godino/kernels/cuda"
	"github.com/godino-ml/godino/kernels/cuda/cudatest"
)

func TestInterpolatePos(t *testing.T) {
	test(t, []int{5, 24, 200, 1200}, func(r *run, n int) {
		start, index := []int32{0, 1, 1, 4, 10}, []int32{2, 0, 1, 2, 2, 2, 1, 0, 0, 1}
		x, weight := r.parameter(3*n), r.parameter(len(index))
		y := r.array(cuda.Float32, r.random(4*n))
		y.is(make([]float32, 4*n)).about(16)
		addTo(r, y)
		for i := range 4 {
			for k := start[i]; k < start[i+1]; k++ {
				kernels.Reference().AddScaled(y.want[i*n:(i+1)*n], x.x[int(index[k])*n:][:n], weight.x[k])
			}
		}
		s := cuda.RowSums{Start: cudatest.PutInts(r.d, start), Index: cudatest.PutInts(r.d, index), Weight: weight.ptr}
		r.d.InterpolatePos(y.ptr, x.ptr, s, 4, n, r.add)
	})
}
