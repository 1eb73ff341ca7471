package kernels

import (
	"math"
	"slices"
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
			table.SoftmaxForward(y, x, n, 1.25)
			lse := []float32{0}
			table.LogSumExp(lse, x, 1.25)
			if !(math.Abs(float64(lse[0])-want) <= 1e-4) { // an ulp of 750 is 6e-5
				t.Errorf("%s: LogSumExp %g, want %g", table.Name, lse[0], want)
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
		for _, n := range []int{1, 8, 37, 5000} {
			for _, v := range []float32{-inf, inf, nan} {
				x, y, z := make([]float32, n), make([]float32, n), make([]float32, n)
				if v == -inf {
					for i := range x {
						x[i] = v
					}
				}
				x[n-1] = v
				lse := []float32{0}
				table.SoftmaxForward(y, x, n, 1)
				table.LogSoftmaxForward(z, x, n, 1)
				table.LogSumExp(lse, x, 1)
				if lse[0] == lse[0] {
					t.Fatalf("%s: row of %d with %g: log-sum-exp %g", table.Name, n, v, lse[0])
				}
				for i := range y {
					if y[i] == y[i] || z[i] == z[i] {
						t.Fatalf("%s: row of %d with %g: softmax %g, log-softmax %g", table.Name, n, v, y[i], z[i])
					}
				}
			}
			x := make([]float32, n+1)
			x[0] = -inf
			table.SoftmaxForward(x, x, n+1, 1)
			if x[0] != 0 || !(math.Abs(float64(x[n])-1/float64(n)) <= 1e-7) {
				t.Fatalf("%s: masked row of %d: %g, %g", table.Name, n, x[0], x[n])
			}
		}
	}
}

// TestSoftmaxRows: several rows in one call have the bits that they have alone.
func TestSoftmaxRows(t *testing.T) {
	for _, table := range Tables() {
		rng := newValues()
		for _, n := range []int{1, 7, 16, 65, 197, 1500, 5000} {
			for _, rows := range []int{1, 2, 3, 5, 9} {
				random := func(n int) []float32 {
					x := make([]float32, n)
					rng.fill(x, false)
					return x
				}
				x, dy, center := random(rows*n), random(rows*n), random(n)
				y, z, centered, dx, lse := make([]float32, rows*n), make([]float32, rows*n), make([]float32, rows*n), random(rows*n), make([]float32, rows)
				dxAlone := slices.Clone(dx)
				table.SoftmaxForward(y, x, n, 1.5)
				table.LogSoftmaxForward(z, x, n, 1.5)
				table.CenteredSoftmaxForward(centered, x, center, 1.5)
				table.LogSumExp(lse, x, 1.5)
				table.SoftmaxBackward(dx, dy, y, n, true)
				for r := range rows {
					row := func(x []float32) []float32 { return x[r*n : (r+1)*n] }
					alone, lseAlone := make([]float32, n), make([]float32, 1)
					for _, o := range []struct {
						name string
						got  []float32
						do   func()
					}{
						{"SoftmaxForward", row(y), func() { table.SoftmaxForward(alone, row(x), n, 1.5) }},
						{"LogSoftmaxForward", row(z), func() { table.LogSoftmaxForward(alone, row(x), n, 1.5) }},
						{"CenteredSoftmaxForward", row(centered), func() { table.CenteredSoftmaxForward(alone, row(x), center, 1.5) }},
						{"SoftmaxBackward", row(dx), func() {
							copy(alone, row(dxAlone))
							table.SoftmaxBackward(alone, row(dy), row(y), n, true)
						}},
					} {
						if o.do(); !sameBits(o.got, alone) {
							t.Fatalf("%s: %s of row %d of %d, %d elements, is not that of the row alone", table.Name, o.name, r, rows, n)
						}
					}
					if table.LogSumExp(lseAlone, row(x), 1.5); !sameBits(lse[r:r+1], lseAlone) {
						t.Fatalf("%s: LogSumExp of row %d of %d, %d elements, is not that of the row alone", table.Name, r, rows, n)
					}
				}
			}
		}
	}
}
