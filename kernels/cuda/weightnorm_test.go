package cuda_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/godino-ml/godino/kernels"
	"github.com/godino-ml/godino/kernels/cuda"
	"github.com/godino-ml/godino/kernels/cuda/cudatest"
)

func TestWeightNorm(t *testing.T) {
	cudatest.Modes(t, func(t *testing.T, d *cuda.Device) {
		rng := rand.New(rand.NewPCG(1, 2))
		for _, shape := range [][2]int{{1, 1}, {9, 3}, {5, 32}, {17, 64}, {3, 255}, {8, 256}, {2, 520}} {
			for offset := range 2 { // of the addresses, in elements
				rows, n := shape[0], shape[1]
				values := func(n int) []float32 {
					x := make([]float32, n)
					for i := range x {
						x[i] = float32(rng.NormFloat64())
					}
					return x
				}
				v, g, dw, dv, dg := values(rows*n), values(rows), values(rows*n), values(rows*n), values(rows)
				put := func(x []float32) cuda.Ptr {
					return cudatest.Put(d, cuda.Float32, append(make([]float32, offset), x...)).Add(offset, cuda.Float32)
				}
				compare := func(what string, p cuda.Ptr, typ cuda.Type, want []float32) {
					t.Helper()
					for i, x := range cudatest.Get(d, p, typ, len(want)) {
						tolerance := 2e-6
						if typ == cuda.BFloat16 {
							tolerance = 1.0 / 256
						}
						if !(math.Abs(float64(x-want[i])) <= tolerance*math.Max(1, math.Abs(float64(want[i])))) {
							t.Fatalf("%d×%d, offset %d: %s[%d] is %g, want %g", rows, n, offset, what, i, x, want[i])
						}
					}
				}
				vp, gp, dwp := put(v), put(g), put(dw)

				w, norm := make([]float32, rows*n), make([]float32, rows)
				k := kernels.Reference()
				for r := range rows {
					norm[r] = k.WeightNormForward(w[r*n:(r+1)*n], v[r*n:(r+1)*n], g[r])
				}
				for _, typ := range []cuda.Type{cuda.Float32, cuda.BFloat16} {
					p := cudatest.Put(d, typ, make([]float32, rows*n+offset)).Add(offset, typ)
					d.WeightNormForward(p, vp, gp, rows, n, typ)
					compare("w", p, typ, w)
				}

				for _, add := range []bool{false, true} {
					wantV, wantG := append([]float32{}, dv...), append([]float32{}, dg...)
					if !add {
						clear(wantV)
					}
					for r := range rows {
						wantG[r] += k.WeightNormBackward(wantV[r*n:(r+1)*n], dw[r*n:(r+1)*n], v[r*n:(r+1)*n], g[r], norm[r])
					}
					dvp, dgp := put(dv), put(dg)
					d.WeightNormBackward(dvp, dgp, dwp, vp, gp, rows, n, add)
					compare("dv", dvp, cuda.Float32, wantV)
					compare("dg", dgp, cuda.Float32, wantG)
					dvp, dgp = put(dv), put(dg)
					d.WeightNormBackward(dvp, 0, dwp, vp, gp, rows, n, add)
					compare("dv without dg", dvp, cuda.Float32, wantV)
					d.WeightNormBackward(0, dgp, dwp, vp, gp, rows, n, add)
					compare("dg without dv", dgp, cuda.Float32, wantG)
				}
			}
		}
	})
}
