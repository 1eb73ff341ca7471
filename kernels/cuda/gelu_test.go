package cuda_test

import (
	"testing"

	"github.com/godino-ml/godino/kernels"
	"github.com/godino-ml/godino/kernels/cuda"
)

func TestGELUForward(t *testing.T) {
	test(t, elements, func(r *run, n int) {
		x, y := r.in(n), r.undefined(r.typ, n)
		kernels.Reference().GELUForward(y.is(y.prior()).want, x.x)
		r.d.GELUForward(y.ptr, x.ptr, r.typ, n)
	})
}

func TestGELUBackward(t *testing.T) {
	test(t, elements, func(r *run, n int) {
		dy, x, dx := r.in(n), r.in(n), r.out(n)
		kernels.Reference().GELUBackward(dx.is(dx.prior()).want, dy.x, x.x, r.add)
		dx.about(4)
		if r.typ == cuda.BFloat16 {
			dx.about(40) // where the derivative is about 0 its error is 1e-4 of its parts
		}
		r.d.GELUBackward(dx.ptr, dy.ptr, x.ptr, r.typ, n, r.add)
	})
}
