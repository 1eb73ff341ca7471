package cuda_test

import (
	"math"
	"testing"

	"github.com/godino-ml/godino/kernels/cuda"
	"github.com/godino-ml/godino/kernels/cuda/cudatest"
)

// TestCenter: by its definition for less than a block and more; a step that is skipped leaves it alone; sums and marks are forgotten either way.
func TestCenter(t *testing.T) {
	cudatest.Modes(t, func(t *testing.T, d *cuda.Device) {
		for _, n := range []int{1, 5, 1024, 3001} {
			for _, skip := range []int32{0, 1} {
				center, sum, used := make([]float32, n), make([]float32, n), make([]int32, n)
				want, square, count := make([]float32, n), 0.0, 0
				for i := range center {
					center[i], sum[i] = float32(i%7)-3, float32(i%5)*0.25
					if i%3 == 0 {
						used[i] = 1
						count++
					}
					want[i] = center[i]
					if skip == 0 {
						want[i] = 0.9*center[i] + 0.05*sum[i]
					}
					square += float64(want[i]) * float64(want[i])
				}
				c, s, u := cudatest.Put(d, cuda.Float32, center), cudatest.Put(d, cuda.Float32, sum), cudatest.PutInts(d, used)
				norm, found := d.Alloc(4), d.Alloc(4)
				d.Center(c, s, u, cudatest.PutInts(d, []int32{skip}), norm, found, 0.9, 0.05, n)
				for i, got := range cudatest.Get(d, c, cuda.Float32, n) {
					if !(math.Abs(float64(got-want[i])) <= 1e-6) {
						t.Fatalf("n %d skip %d: centre %d is %v, want %v", n, skip, i, got, want[i])
					}
				}
				if got, want := float64(cudatest.Get(d, norm, cuda.Float32, 1)[0]), math.Sqrt(square); !(math.Abs(got-want) <= 1e-5*want+1e-7) {
					t.Errorf("n %d: norm %v, want %v", n, got, want)
				}
				if got := cudatest.Get(d, found, cuda.Float32, 1)[0]; got != float32(count) {
					t.Errorf("n %d: %v were used, want %d", n, got, count)
				}
				for i, x := range append(cudatest.GetInts(d, u, n), cudatest.GetInts(d, s, n)...) {
					if x != 0 {
						t.Fatalf("n %d: %d of sums and marks is not cleared", n, i)
					}
				}
			}
		}
	})
}
