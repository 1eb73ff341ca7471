package cuda_test

import (
	"testing"

	"github.com/godino-ml/godino/kernels/cuda"
)

func TestConvert(t *testing.T) {
	test(t, elements, func(r *run, n int) {
		other := cuda.Float32 + cuda.BFloat16 - r.typ
		x, y := r.in(n), r.undefined(other, n)
		y.is(x.x)
		r.d.Convert(y.ptr, other, x.ptr, r.typ, n)
	})
}
