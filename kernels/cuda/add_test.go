package cuda_test

import (
	"testing"

	"github.com/godino-ml/godino/kernels"
)

// Lengths of operations on elements: less than a vector, a vector and a rest, several blocks.
var elements = []int{5, 17, 0, 1, 8, 512, 2900}

func TestAdd(t *testing.T) {
	test(t, elements, func(r *run, n int) {
		a, b, y := r.in(n), r.in(n), r.undefined(r.typ, n)
		y.is(a.prior())
		kernels.Reference().Add(y.want, b.x)
		r.d.Add(y.ptr, a.ptr, b.ptr, r.typ, n)
	})
}

func TestAddScaled(t *testing.T) {
	test(t, elements, func(r *run, n int) {
		x, y := r.in(n), r.array(r.typ, r.random(n))
		y.is(y.prior())
		kernels.Reference().AddScaled(y.want, x.x, -1.7)
		r.d.AddScaled(y.ptr, x.ptr, r.typ, -1.7, n)
	})
}

func TestMul(t *testing.T) {
	test(t, elements, func(r *run, n int) {
		x, y := r.in(n), r.array(r.typ, r.random(n))
		y.is(y.prior())
		kernels.Reference().Mul(y.want, x.x)
		r.d.Mul(y.ptr, x.ptr, r.typ, n)
	})
}

func TestScale(t *testing.T) {
	test(t, elements, func(r *run, n int) {
		y := r.in(n)
		y.is(y.prior())
		kernels.Reference().Scale(y.want, -1.7)
		r.d.Scale(y.ptr, r.typ, -1.7, n)
	})
}
