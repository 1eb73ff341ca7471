package cuda_test

import (
	"math"
	"testing"

	"github.com/godino-ml/godino/kernels"
	"github.com/godino-ml/godino/kernels/cuda"
	"github.com/godino-ml/godino/kernels/cuda/cudatest"
)

// A row a warp for multiples of four up to 1024, a row a block for the others; 11 rows are a block of 8 warps and a rest.
var layerNormColumns = []int{20, 7, 260, 700, 1024, 2101, 2100}

func TestLayerNormForward(t *testing.T) {
	test(t, layerNormColumns, func(r *run, n int) {
		const rows = 11
		x, w, b := r.in(rows*n), r.parameter(n), r.parameter(n)
		y, mean, rstd := r.undefined(r.typ, rows*n), r.statistics(rows), r.statistics(rows)
		kernels.Reference().LayerNormForward(y.is(y.prior()).want, x.x, w.x, b.x, mean.is(mean.prior()).want, rstd.is(rstd.prior()).want, 1e-6)
		y.about(8)
		r.d.LayerNormForward(y.ptr, mean.ptr, rstd.ptr, x.ptr, r.typ, w.ptr, b.ptr, 1e-6, rows, n)
	})
}

func layerNormBackward(r *run, rows, n int) {
	dy, x, w, mean := r.in(rows*n), r.in(rows*n), r.parameter(n), r.parameter(rows)
	rstd := r.array(cuda.Float32, r.random(rows))
	dx, dw, db := r.out(rows*n), r.gradient(n), r.gradient(n)
	kernels.Reference().LayerNormBackward(dx.is(dx.prior()).want, dw.is(dw.prior()).want, db.is(db.prior()).want, dy.x, x.x, w.x, mean.x, rstd.x, r.add)
	dx.about(16)
	dw.about(math.Sqrt(float64(rows)))
	db.about(math.Sqrt(float64(rows)))
	r.d.LayerNormBackward(dx.ptr, dw.ptr, db.ptr, dy.ptr, x.ptr, r.typ, w.ptr, mean.ptr, rstd.ptr, rows, n, r.add)
}

func TestLayerNormBackward(t *testing.T) {
	test(t, layerNormColumns, func(r *run, n int) { layerNormBackward(r, 11, n) })
}

// Rows of which a block's warps have several, and more chunks of them than columns_add has warps.
func TestLayerNormRows(t *testing.T) {
	d := cudatest.New(t)
	for n, rows := range map[int]int{12: 2300, 3: 300} {
		for _, typ := range []cuda.Type{cuda.Float32, cuda.BFloat16} {
			one(t, &run{d: d, typ: typ, inside: -1}, n, func(r *run, n int) { layerNormBackward(r, rows, n) })
		}
	}
}

// In place, without statistics, without the gradients of parameters, with those alone.
func TestLayerNormUnwanted(t *testing.T) {
	d := cudatest.New(t)
	for _, n := range []int{64, 9} {
		one(t, &run{d: d, inside: -1}, n, func(r *run, n int) {
			const rows = 3
			x, w, b, ones := r.in(rows*n), r.parameter(n), r.parameter(n), make([]float32, rows)
			y := r.array(r.typ, x.x)
			y.is(make([]float32, rows*n))
			kernels.Reference().LayerNormForward(y.want, x.x, w.x, b.x, ones, ones, 1e-6)
			r.d.LayerNormForward(y.ptr, 0, 0, y.ptr, r.typ, w.ptr, b.ptr, 1e-6, rows, n)

			dy, mean, rstd := r.in(rows*n), r.parameter(rows), r.parameter(rows)
			dx, dw, db := r.out(rows*n), r.gradient(n), r.gradient(n)
			kernels.Reference().LayerNormBackward(dx.is(dx.prior()).want, dw.is(dw.prior()).want, db.is(db.prior()).want, dy.x, x.x, w.x, mean.x, rstd.x, false)
			dx.about(16)
			r.d.LayerNormBackward(dx.ptr, 0, 0, dy.ptr, x.ptr, r.typ, w.ptr, mean.ptr, rstd.ptr, rows, n, false)
			r.d.LayerNormBackward(0, dw.ptr, 0, dy.ptr, x.ptr, r.typ, w.ptr, mean.ptr, rstd.ptr, rows, n, false)
			r.d.LayerNormBackward(0, 0, db.ptr, dy.ptr, x.ptr, r.typ, w.ptr, mean.ptr, rstd.ptr, rows, n, false)
		})
	}
}
