package cuda_test

import (
	"math"
	"testing"

	"github.com/godino-ml/godino/kernels"
	"github.com/godino-ml/godino/kernels/cuda"
	"github.com/godino-ml/godino/kernels/cuda/cudatest"
)

var residualScale = []float32{1, 0, 1 / 0.7}

func TestResidual(t *testing.T) {
	test(t, []int{5, 24, 0, 2100}, func(r *run, n int) {
		x, branch, y := r.in(3*n), r.in(3*n), r.undefined(r.typ, 3*n)
		y.is(x.prior())
		for b, a := range residualScale {
			if a != 0 {
				kernels.Reference().AddScaled(y.want[b*n:(b+1)*n], branch.x[b*n:(b+1)*n], a)
			}
		}
		r.d.Residual(y.ptr, x.ptr, branch.ptr, r.typ, r.array(cuda.Float32, residualScale).ptr, 3, n)

		all := r.array(r.typ, x.x) // in place, of all
		kernels.Reference().AddScaledTo(all.is(all.prior()).want, x.x, branch.x, 1)
		r.d.Residual(all.ptr, all.ptr, branch.ptr, r.typ, 0, 3, n)
	})
}

func TestScaleRows(t *testing.T) {
	test(t, []int{5, 24, 0, 2100}, func(r *run, n int) {
		x, y, all := r.in(3*n), r.out(3*n), r.out(3*n)
		y.is(y.prior())
		all.is(all.prior())
		if !r.add {
			clear(y.want)
			clear(all.want)
		}
		for b, a := range residualScale {
			if a != 0 {
				kernels.Reference().AddScaled(y.want[b*n:(b+1)*n], x.x[b*n:(b+1)*n], a)
			}
		}
		kernels.Reference().Add(all.want, x.x)
		scale := r.array(cuda.Float32, residualScale)
		r.d.ScaleRows(y.ptr, x.ptr, r.typ, scale.ptr, 3, n, r.add)
		r.d.ScaleRows(all.ptr, x.ptr, r.typ, 0, 3, n, r.add)
	})
}

func layerScale(r *run, n int) {
	const rows = 77
	x, dy, gamma := r.in(rows*n), r.in(rows*n), r.parameter(n)
	y, dx, dgamma := r.undefined(r.typ, rows*n), r.out(rows*n), r.gradient(n)
	y.is(make([]float32, rows*n))
	dx.is(dx.prior())
	if !r.add {
		clear(dx.want)
	}
	dgamma.is(dgamma.prior()).about(math.Sqrt(rows))
	k := kernels.Reference()
	for i := 0; i < rows*n; i += n {
		k.AddProduct(y.want[i:i+n], x.x[i:i+n], gamma.x)
		k.AddProduct(dx.want[i:i+n], dy.x[i:i+n], gamma.x)
		k.AddProduct(dgamma.want, dy.x[i:i+n], x.x[i:i+n])
	}
	r.d.LayerScaleForward(y.ptr, x.ptr, r.typ, gamma.ptr, rows, n)
	r.d.LayerScaleBackward(dx.ptr, 0, dy.ptr, x.ptr, r.typ, gamma.ptr, rows, n, r.add)
	r.d.LayerScaleBackward(0, dgamma.ptr, dy.ptr, x.ptr, r.typ, gamma.ptr, rows, n, r.add)
}

func TestLayerScale(t *testing.T) { test(t, []int{5, 24, 260}, layerScale) }

func sumRows(r *run, n int) {
	const rows = 77
	ld := n + 3*r.offset + 4
	x := r.in(rows * ld)
	sum := r.gradient(n)
	sum.is(sum.prior()).about(math.Sqrt(rows))
	for i := range rows {
		kernels.Reference().Add(sum.want, x.x[i*ld:i*ld+n])
	}
	r.d.SumRows(sum.ptr, x.ptr, r.typ, rows, n, ld)
}

func TestSumRows(t *testing.T) { test(t, []int{5, 24, 0, 260}, sumRows) }

// One chunk of rows, as of rows so long that their columns alone fill a GPU.
func TestColumnsInOneChunk(t *testing.T) {
	defer cuda.SetColumnBlocks(1)()
	d := cudatest.New(t)
	each(t, d, []int{5, 24}, layerScale)
	each(t, d, []int{5, 24}, sumRows)
	each(t, d, []int{1028, 7}, func(r *run, n int) { layerNormBackward(r, 77, n) })
}
