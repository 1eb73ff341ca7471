package cuda_test

import (
	"fmt"
	"testing"

	"github.com/godino-ml/godino/kernels/cuda"
	"github.com/godino-ml/godino/kernels/cuda/cudatest"
)

func TestFill(t *testing.T) {
	cudatest.Modes(t, func(t *testing.T, d *cuda.Device) {
		for _, typ := range []cuda.Type{cuda.Float32, cuda.BFloat16} {
			for _, n := range []int{0, 1, 31, 32, 33, 255, 257, 5000} {
				t.Run(fmt.Sprint(typ, n), func(t *testing.T) {
					x := make([]float32, n+2)
					for i := range x {
						x[i] = float32(i)
					}
					p := cudatest.Put(d, typ, x)
					d.Fill(p.Add(1, typ), typ, 2.5, n)
					want := cudatest.Round(typ, x)
					for i := range n {
						want[1+i] = 2.5
					}
					for i, v := range cudatest.Get(d, p, typ, n+2) {
						if v != want[i] {
							t.Fatalf("element %d is %g, want %g", i, v, want[i])
						}
					}
				})
			}
		}
	})
}

// An odd number of bf16 is cleared by words and a last kernel.
func TestClear(t *testing.T) {
	d := cudatest.New(t)
	for _, n := range []int{1, 2, 7} {
		for from := range 2 {
			p := cudatest.Put(d, cuda.BFloat16, []float32{1, 2, 3, 4, 5, 6, 7, 8, 9})
			d.Clear(p.Add(from, cuda.BFloat16), n, cuda.BFloat16)
			for i, v := range cudatest.Get(d, p, cuda.BFloat16, 9) {
				if in := i >= from && i < from+n; in && v != 0 || !in && v != float32(i+1) {
					t.Fatalf("clear of %d from %d: element %d is %g", n, from, i, v)
				}
			}
		}
	}
}
