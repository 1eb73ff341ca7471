package cuda_test

import (
	"math"
	"testing"

	"github.com/godino-ml/godino/kernels/cuda"
)

func TestBatchNorm(t *testing.T) {
	test(t, []int{33}, func(r *run, n int) {
		const eps = 1e-3
		rows := 140 // several of each warp
		if r.inside >= 0 {
			rows = 40
		}
		count := float64(rows)
		x, w, b, dy := r.in(rows*n), r.parameter(n), r.parameter(n), r.in(rows*n)
		y, mean, rstd := r.undefined(r.typ, rows*n), r.statistics(n), r.statistics(n)
		y.is(make([]float32, rows*n)).about(8)
		mean.is(make([]float32, n))
		rstd.is(make([]float32, n))
		m, s := r.array(cuda.Float32, r.random(n)), r.array(cuda.Float32, r.random(n))
		dx, dw, db := r.out(rows*n), r.gradient(n), r.gradient(n)
		dx.is(make([]float32, rows*n)).about(16)
		dw.is(dw.prior()).about(16)
		db.is(db.prior()).about(16)
		for c := range n {
			var sum, squares, sumdy, dot float64
			for i := c; i < rows*n; i += n {
				sum += float64(x.x[i])
				sumdy += float64(dy.x[i])
				dot += float64(dy.x[i]) * float64((x.x[i]-m.x[c])*s.x[c])
			}
			for i := c; i < rows*n; i += n {
				d := float64(x.x[i]) - sum/count
				squares += d * d
			}
			mean.want[c], rstd.want[c] = float32(sum/count), float32(1/math.Sqrt(squares/count+eps))
			dw.want[c] += float32(dot)
			db.want[c] += float32(sumdy)
			for i := c; i < rows*n; i += n {
				y.want[i] = (x.x[i]-mean.want[c])*rstd.want[c]*w.x[c] + b.x[c]
				dx.want[i] = w.x[c] * s.x[c] * (dy.x[i] - float32(sumdy/count) - (x.x[i]-m.x[c])*s.x[c]*float32(dot/count))
			}
		}
		addTo(r, dx)
		r.d.BatchNormForward(y.ptr, mean.ptr, rstd.ptr, x.ptr, r.typ, w.ptr, b.ptr, eps, rows, n)
		r.d.BatchNormBackward(dx.ptr, dw.ptr, 0, dy.ptr, x.ptr, r.typ, w.ptr, m.ptr, s.ptr, rows, n, r.add)
		r.d.BatchNormBackward(0, 0, db.ptr, dy.ptr, x.ptr, r.typ, w.ptr, m.ptr, s.ptr, rows, n, r.add)

		runningMean, runningVar := r.gradient(n), r.gradient(n)
		runningMean.is(runningMean.prior())
		runningVar.is(runningVar.prior()).about(2)
		for c := range n {
			runningMean.want[c] += 0.1 * (m.x[c] - runningMean.want[c])
			runningVar.want[c] += 0.1 * ((1/(s.x[c]*s.x[c])-eps)*float32(count/(count-1)) - runningVar.want[c])
		}
		r.d.BatchNormUpdate(runningMean.ptr, runningVar.ptr, m.ptr, s.ptr, eps, 0.1, rows, n)
	})
}
