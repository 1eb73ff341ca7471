package cuda_test

import (
	"math"
	"testing"

	"github.com/godino-ml/godino/kernels"
	"github.com/godino-ml/godino/kernels/cuda"
	"github.com/godino-ml/godino/kernels/cuda/cudatest"
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

// TestGELUAccuracy bounds the relative error of GELU over all of its range, so that the left tail counts as much as the rest, and its derivative's error.
func TestGELUAccuracy(t *testing.T) {
	d := cudatest.New(t)
	for typ, bound := range map[cuda.Type]float64{cuda.Float32: 16 * 0x1p-24, cuda.BFloat16: 0x1p-8 + 1.5e-4} {
		var x []float32
		for v := float32(-12.5); v < 12.5; v += 1. / 128 { // numbers of bf16 or near them
			x = append(x, v)
		}
		x = cudatest.Round(typ, x)
		one := make([]float32, len(x))
		for i := range one {
			one[i] = 1
		}
		from, y, dx := cudatest.Put(d, typ, x), cudatest.Put(d, typ, x), cudatest.Put(d, typ, x)
		d.GELUForward(y, from, typ, len(x))
		d.GELUBackward(dx, cudatest.Put(d, typ, one), from, typ, len(x), false)
		worst, at := 0., float32(0)
		derivative := cudatest.Get(d, dx, typ, len(x))
		for i, got := range cudatest.Get(d, y, typ, len(x)) {
			want := gelu64(float64(x[i]))
			e := math.Abs(float64(got) - want)
			if want != 0 {
				e /= math.Abs(want)
			}
			if !(e <= worst) {
				worst, at = e, x[i]
			}
			want = geluDerivative64(float64(x[i]))
			if e := math.Abs(float64(derivative[i]) - want); !(e <= bound*max(math.Abs(want), 0.1)) {
				t.Errorf("%v: the derivative of GELU at %g is %g, want %g", typ, x[i], derivative[i], want)
			}
		}
		t.Logf("%v: GELU's relative error is at most %.2g, at %g", typ, worst, at)
		if !(worst <= bound) {
			t.Errorf("%v: GELU's relative error is %.2g at %g, bound %.2g", typ, worst, at, bound)
		}
	}
}
