package cuda_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/godino-ml/godino/kernels/cuda"
	"github.com/godino-ml/godino/kernels/cuda/cudatest"
)

// near fails unless got is want up to a relative and an absolute error; NaN is near NaN.
func near(t *testing.T, what string, got float32, want, relative, absolute float64) {
	t.Helper()
	if math.IsNaN(want) && got != got {
		return
	}
	if !(math.Abs(float64(got)-want) <= relative*math.Abs(want)+absolute) {
		t.Fatalf("%s is %g, want %g", what, got, want)
	}
}

func TestCenteredSoftmax(t *testing.T) {
	cudatest.Modes(t, func(t *testing.T, d *cuda.Device) {
		rng := rand.New(rand.NewPCG(1, 2))
		inf := float32(math.Inf(1))
		for _, typ := range []cuda.Type{cuda.Float32, cuda.BFloat16} {
			for _, n := range []int{1, 7, 8, 100, 256, 1000, 8200, 9000} {
				const rows, scale = 3, 7.5
				x, center := make([]float32, rows*n), make([]float32, n)
				for i := range x {
					x[i] = float32(3 * rng.NormFloat64())
				}
				for i := range center {
					center[i] = float32(rng.NormFloat64())
				}
				// The second row holds what a softmax passes over, and ties; the last sometimes what it cannot.
				x[n+n/2] = -inf
				if n > 8 {
					x[n+3] = center[3] + 50
					x[n+7] = center[7] + 50
				}
				const first, second = 41, 66 // a tie of two threads, of which the second's is merged first
				if n > second {
					center[first], center[second] = 0, 0
					x[n+first], x[n+second] = 60, 60
				}
				switch n {
				case 7:
					x[2*n+1] = float32(math.NaN())
				case 8:
					x[2*n+1] = inf
				case 100:
					for i := range n {
						x[2*n+i] = -inf
					}
				}
				x = cudatest.Round(typ, x)
				y, c := cudatest.Put(d, typ, x), cudatest.Put(d, cuda.Float32, center)
				entropy, index, used := d.Alloc(4*rows), cudatest.PutInts(d, make([]int32, rows)), cudatest.Put(d, cuda.Float32, make([]float32, n))
				d.CenteredSoftmaxForward(y, y, c, cudatest.Put(d, cuda.Float32, []float32{scale}), entropy, index, used, rows, n, typ)
				got, h, at, flags := cudatest.Get(d, y, typ, rows*n), cudatest.Get(d, entropy, cuda.Float32, rows), cudatest.GetInts(d, index, rows), cudatest.Get(d, used, cuda.Float32, n)
				if n > second && at[1] != first {
					t.Fatalf("%v, %d columns: the largest of row 1 is %d, want %d", typ, n, at[1], first)
				}
				marked := make([]float32, n)
				for r := range rows {
					best, sum, wantH := 0, 0.0, 0.0
					logits := make([]float64, n)
					for i := range logits {
						logits[i] = scale * float64(x[r*n+i]-center[i])
						if logits[i] > logits[best] {
							best = i
						}
					}
					for _, l := range logits {
						sum += math.Exp(l - logits[best])
					}
					row := fmt.Sprintf("%v, row %d of %d columns: ", typ, r, n)
					marked[at[r]] = 1
					if sum == sum && at[r] != int32(best) {
						// float32 may see a tie
						near(t, row+"the largest logit", float32(logits[at[r]]), logits[best], 1e-6, 1e-5)
					}
					for i, l := range logits {
						p := math.Exp(l-logits[best]) / sum
						if p > 0 {
							wantH -= p * math.Log(p)
						}
						tolerance := 2e-5
						if typ == cuda.BFloat16 {
							tolerance = 1.0 / 256
						}
						near(t, row+fmt.Sprintf("y[%d]", i), got[r*n+i], p, tolerance, 1e-37)
					}
					if sum != sum {
						wantH = math.NaN()
					}
					near(t, row+"entropy", h[r], wantH, 1e-5, 1e-5)
				}
				for i, f := range flags {
					if f != marked[i] {
						t.Fatalf("%v, %d columns: used[%d] is %g, want %g", typ, n, i, f, marked[i])
					}
				}
				// Not wanted.
				z := cudatest.Put(d, typ, x)
				d.CenteredSoftmaxForward(z, z, c, cudatest.Put(d, cuda.Float32, []float32{scale}), 0, 0, 0, rows, n, typ)
				for i, v := range cudatest.Get(d, z, typ, rows*n) {
					if math.Float32bits(v) != math.Float32bits(got[i]) {
						t.Fatalf("%v, %d columns: y[%d] is %g, and %g without what is asked of it", typ, n, i, got[i], v)
					}
				}
			}
		}
	})
}
