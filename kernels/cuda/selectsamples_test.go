package cuda_test

import (
	"testing"

	"github.com/godino-ml/godino/kernels"
	"github.com/godino-ml/godino/kernels/cuda/cudatest"
)

func TestSamples(t *testing.T) {
	test(t, []int{5, 24, 2100}, func(r *run, n int) {
		const all, scale = 6, -1.5
		for _, list := range [][]int32{{0, 3, 4}, {5}, {0, 1, 2, 3, 4, 5}, {}} {
			count, samples := len(list), cudatest.PutInts(r.d, list)
			x, branch := r.in(all*n), r.in(count*n)
			some, y, zeros := r.out(count*n), r.undefined(r.typ, all*n), r.undefined(r.typ, all*n)
			some.is(make([]float32, count*n))
			y.is(x.prior())
			zeros.is(make([]float32, all*n))
			k := kernels.Reference()
			for i, b := range list {
				from, to := i*n, int(b)*n
				k.AddScaled(some.want[from:from+n], x.x[to:to+n], scale)
				k.AddScaled(y.want[to:to+n], branch.x[from:from+n], scale)
				k.AddScaled(zeros.want[to:to+n], branch.x[from:from+n], scale)
			}
			addTo(r, some)
			r.d.SelectSamples(some.ptr, x.ptr, r.typ, samples, scale, count, n, r.add)
			r.d.ResidualSamples(y.ptr, x.ptr, branch.ptr, r.typ, samples, scale, count, all, n)
			r.d.ResidualSamples(zeros.ptr, 0, branch.ptr, r.typ, samples, scale, count, all, n)
		}
	})
}
