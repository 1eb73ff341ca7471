package cuda_test

import (
	"testing"

	"github.com/godino-ml/godino/kernels"
	"github.com/godino-ml/godino/kernels/cuda"
	"github.com/godino-ml/godino/kernels/cuda/cudatest"
)

func TestSoftmax(t *testing.T) {
	test(t, rowLengths, func(r *run, n int) {
		k := kernels.Reference()
		x, y, logy := r.in(3*n), r.undefined(r.typ, 3*n), r.undefined(r.typ, 3*n)
		k.SoftmaxForward(y.is(y.prior()).want, x.x, n, 1)
		k.LogSoftmaxForward(logy.is(logy.prior()).want, x.x, n, 1)
		y.about(0.25)
		logy.about(10)
		r.d.SoftmaxForward(y.ptr, x.ptr, r.typ, 3, n)
		r.d.LogSoftmaxForward(logy.ptr, x.ptr, r.typ, 3, n)
		again := r.array(r.typ, x.x)
		again.is(y.want)
		r.d.SoftmaxForward(again.ptr, again.ptr, r.typ, 3, n)
	})
}

// Rows of which parts are −Inf, large and small: threads that have seen nothing, or nothing as large as others have.
func TestSoftmaxSpread(t *testing.T) {
	d := cudatest.New(t)
	for n, offset := range map[int]int{600: 0, 601: 1} {
		one(t, &run{d: d, offset: offset, inside: -1}, n, func(r *run, n int) {
			x := r.in(4 * n)
			inf := kernelsInf
			for i := range n {
				x.x[i] = -inf // all but one element
				x.x[n+i] = -300 - float32(i)
				x.x[2*n+i] = -inf // all
				x.x[3*n+i] = 80 + float32(i%7)
			}
			x.x[n/2] = -250
			x = r.array(cuda.Float32, x.x)
			y := r.undefined(r.typ, 4*n)
			kernels.Reference().SoftmaxForward(y.is(y.prior()).want, x.x, n, 1)
			r.d.SoftmaxForward(y.ptr, x.ptr, r.typ, 4, n)
			r.arrays = r.arrays[1:]
		})
	}
}

func TestSoftmaxBackward(t *testing.T) {
	test(t, rowLengths, func(r *run, n int) {
		k := kernels.Reference()
		dy, y, dx, dlog := r.in(3*n), r.in(3*n), r.out(3*n), r.out(3*n)
		k.SoftmaxBackward(dx.is(dx.prior()).want, dy.x, y.x, n, r.add)
		dlog.is(dlog.prior())
		for i := 0; i < 3*n; i += n {
			k.LogSoftmaxBackward(dlog.want[i:i+n], dy.x[i:i+n], y.x[i:i+n], r.add)
		}
		dx.about(float64(8 + n/10))
		dlog.about(float64(8 + n/4))
		r.d.SoftmaxBackward(dx.ptr, dy.ptr, y.ptr, r.typ, 3, n, r.add)
		r.d.LogSoftmaxBackward(dlog.ptr, dy.ptr, y.ptr, r.typ, 3, n, r.add)
	})
}
