package cuda_test

import (
	"testing"

	"github.com/godino-ml/godino/kernels"
	"github.com/godino-ml/godino/kernels/cuda"
)

// Rows of one warp, of two and twelve, and longer than one pass of the largest block. Some are shorter than eps.
var rowLengths = []int{5, 24, 1, 300, 2900, 8200}

func TestL2NormalizeForward(t *testing.T) {
	test(t, rowLengths, func(r *run, n int) {
		x := r.in(4 * n)
		y, norm := r.undefined(r.typ, 4*n), r.statistics(4)
		y.is(y.prior())
		norm.is(norm.prior())
		for i := range 4 {
			norm.want[i] = kernels.Reference().L2NormalizeForward(y.want[i*n:(i+1)*n], x.x[i*n:(i+1)*n], 2)
		}
		r.d.L2NormalizeForward(y.ptr, norm.ptr, x.ptr, r.typ, 2, 4, n)
		r.d.L2NormalizeForward(y.ptr, 0, x.ptr, r.typ, 2, 4, n)
	})
}

func TestL2NormalizeBackward(t *testing.T) {
	test(t, rowLengths, func(r *run, n int) {
		const eps = 0.5
		dy, y, dx := r.in(4*n), r.in(4*n), r.out(4*n)
		norm := r.array(cuda.Float32, []float32{3, 0.25, 0.5, 0})
		dx.is(dx.prior()).about(8)
		if n > 1000 {
			dx.about(400)
		}
		for i, l := range norm.x {
			dx, dy, y := dx.want[i*n:(i+1)*n], dy.x[i*n:(i+1)*n], y.x[i*n:(i+1)*n]
			if l >= eps {
				kernels.Reference().L2NormalizeBackward(dx, dy, y, l, r.add)
				continue
			}
			if !r.add {
				clear(dx)
			}
			kernels.Reference().AddScaled(dx, dy, 1/eps)
		}
		r.d.L2NormalizeBackward(dx.ptr, dy.ptr, y.ptr, r.typ, norm.ptr, eps, 4, n, r.add)
	})
}
