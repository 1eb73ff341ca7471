package kernels

import (
	"math"
	"testing"
)

// sweep calls f with batches of float32 from lo to hi, a number out of every step in the order of their bits, in both signs.
func sweep(lo, hi float32, step uint32, f func(x []float32)) {
	batch := make([]float32, 0, 4096)
	for bits := math.Float32bits(lo); bits <= math.Float32bits(hi); bits += step {
		batch = append(batch, math.Float32frombits(bits), -math.Float32frombits(bits))
		if len(batch) == cap(batch) {
			f(batch)
			batch = batch[:0]
		}
	}
	f(batch)
}

// ulps is how far got is from want, in units of want's last place as a float32; within half the smallest number it is 0.
func ulps(got float32, want float64) float64 {
	if g := float64(got); g == want || math.Abs(g-want) <= 0x1p-150 {
		return 0
	}
	if math.Abs(want) > math.MaxFloat32*(1+0x1p-25) {
		want = math.Copysign(math.Inf(1), want)
		if float64(got) == want {
			return 0
		}
	}
	_, e := math.Frexp(want)
	unit := math.Ldexp(1, max(e-24, -149))
	return math.Abs(float64(got)-want) / unit
}

// TestExpAccuracy bounds the error of exp over its whole range, results that overflow, underflow and are denormal included.
func TestExpAccuracy(t *testing.T) {
	for _, table := range Tables() {
		var worst float64
		var at float32
		y := make([]float32, 4096)
		sweep(1e-9, 200, 997, func(x []float32) {
			table.ExpShift(y, x, 1, 0)
			for i, v := range x {
				if e := ulps(y[i], math.Exp(float64(v))); !(e <= worst) {
					worst, at = e, v
				}
			}
		})
		t.Logf("%s: exp is at most %.3f ulp off, at %g", table.Name, worst, at)
		if !(worst <= 1) {
			t.Errorf("%s: exp(%g) is %.3f ulp off", table.Name, at, worst)
		}
	}
}
