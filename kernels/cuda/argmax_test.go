package cuda_test

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/godino-ml/godino/kernels/cuda"
	"github.com/godino-ml/godino/kernels/cuda/cudatest"
)

// kernelsInf is +Inf.
var kernelsInf = float32(math.Inf(1))

func TestArgMaxRows(t *testing.T) {
	inf, nan := kernelsInf, float32(math.NaN())
	cudatest.Modes(t, func(t *testing.T, d *cuda.Device) {
		for _, typ := range []cuda.Type{cuda.Float32, cuda.BFloat16} {
			for _, n := range []int{1, 5, 24, 700, 2900} {
				r := &run{state: 1}
				x, want := []float32{}, []int32{}
				for row := range 8 {
					v := cudatest.Round(typ, r.random(n))
					switch row {
					case 0: // several largest ones
						v[n-1], v[n/2] = 9, 9
					case 1:
						v[0] = nan
					case 2:
						v[n-1] = nan
					case 3:
						v = slices.Repeat([]float32{-inf}, n)
					case 4:
						v = slices.Repeat([]float32{nan}, n)
					case 5:
						v[n/3] = inf
					}
					best := 0
					for k, a := range v {
						if a > v[best] {
							best = k
						}
					}
					x, want = append(x, v...), append(want, int32(best))
				}
				index := cudatest.PutInts(d, make([]int32, 8))
				d.ArgMaxRows(index, cudatest.Put(d, typ, x), typ, 8, n)
				if got := cudatest.GetInts(d, index, 8); !slices.Equal(got, want) {
					t.Fatal(fmt.Sprintf("%v n=%d: %v, want %v", typ, n, got, want))
				}
			}
		}
	})
}

func TestEntropy(t *testing.T) {
	test(t, rowLengths, func(r *run, n int) {
		p := r.in(3 * n) // of which some are below 0, and count for nothing
		h := r.statistics(3)
		h.is(make([]float32, 3)).about(float64(8 + n/8))
		for i := range 3 {
			var sum float64
			for _, v := range p.x[i*n : (i+1)*n] {
				if v > 0 {
					sum -= float64(v) * math.Log(float64(v))
				}
			}
			h.want[i] = float32(sum)
		}
		r.d.EntropyForward(h.ptr, p.ptr, r.typ, 3, n)
	})
}
