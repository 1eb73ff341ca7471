package kernels

import (
	"math"
	"testing"
)

// TestSoftmaxLongRow: a row of more than one segment of assembly, of numbers that overflow exp, its largest element in the first segment or in
// the last.
func TestSoftmaxLongRow(t *testing.T) {
	const n = 40007
	x, y := make([]float32, n), make([]float32, n)
	for _, peak := range []int{0, n - 1} {
		newValues().fill(x, false)
		for i := range x {
			x[i] = x[i]*3 + 500
		}
		x[peak] = 600
		x[n/2] = 599
		wide := widen(x)
		want := logSumExp64(wide, 1.25)
		for _, table := range Tables() {
			lse := table.SoftmaxForward(y, x, 1.25)
			if !(math.Abs(float64(lse)-want) <= 1e-4) { // an ulp of 750 is 6e-5
				t.Errorf("%s: log-sum-exp %g, want %g", table.Name, lse, want)
			}
			if got := table.LogSumExp(x, 1.25); !(math.Abs(float64(got)-want) <= 1e-4) {
				t.Errorf("%s: LogSumExp %g, want %g", table.Name, got, want)
			}
			var sum float64
			for i, v := range y {
				p := math.Exp(1.25*wide[i] - want)
				if !(math.Abs(float64(v)-p) <= 1e-4*p+1e-38) {
					t.Fatalf("%s: y[%d] = %g, want %g", table.Name, i, v, p)
				}
				sum += float64(v)
			}
			if !(math.Abs(sum-1) <= 1e-6) {
				t.Errorf("%s: the softmax sums to %g", table.Name, sum)
			}
		}
	}
}

// TestSoftmaxOfNothingLeft: −Inf masks an element; a row of −Inf alone, of +Inf or with NaN is NaN throughout, as PyTorch's.
func TestSoftmaxOfNothingLeft(t *testing.T) {
	inf, nan := float32(math.Inf(1)), float32(math.NaN())
	for _, table := range Tables() {
		for _, n := range []int{1, 8, 37} {
			for _, v := range []float32{-inf, inf, nan} {
				x, y, z := make([]float32, n), make([]float32, n), make([]float32, n)
				if v == -inf {
					for i := range x {
						x[i] = v
					}
				}
				x[n-1] = v
				table.SoftmaxForward(y, x, 1)
				table.LogSoftmaxForward(z, x, 1)
				for i := range y {
					if y[i] == y[i] || z[i] == z[i] {
						t.Fatalf("%s: row of %d with %g: softmax %g, log-softmax %g", table.Name, n, v, y[i], z[i])
					}
				}
			}
			x := make([]float32, n+1)
			x[0] = -inf
			table.SoftmaxForward(x, x, 1)
			if x[0] != 0 || !(math.Abs(float64(x[n])-1/float64(n)) <= 1e-7) {
				t.Fatalf("%s: masked row of %d: %g, %g", table.Name, n, x[0], x[n])
			}
		}
	}
}
