package kernels

import (
	"math"
	"testing"
)

// TestGELUAccuracy bounds the error of GELU over its whole range in ulp of the result, so that the left tail counts as much as the rest, and
// that of its derivative, which has a zero, absolutely.
func TestGELUAccuracy(t *testing.T) {
	for _, table := range Tables() {
		var worst, worstGrad float64
		var at, atGrad float32
		y, dx, one := make([]float32, 4096), make([]float32, 4096), make([]float32, 4096)
		for i := range one {
			one[i] = 1
		}
		sweep(1e-9, 100, 1999, func(x []float32) {
			table.GELUForward(y, x)
			clear(dx)
			table.GELUBackward(dx, one, x, false)
			for i, v := range x {
				want := gelu64(float64(v))
				if math.Abs(want) < 1e-37 && math.Abs(float64(y[i])-want) <= 1e-43 {
					continue // Φ(−|x|) is denormal: its last place is |x| times that of the result
				}
				if e := ulps(y[i], want); !(e <= worst) {
					worst, at = e, v
				}
				if e := math.Abs(float64(dx[i]) - geluDerivative64(float64(v))); !(e <= worstGrad) {
					worstGrad, atGrad = e, v
				}
			}
		})
		t.Logf("%s: GELU is at most %.2f ulp off, at %g; its derivative %.2g, at %g", table.Name, worst, at, worstGrad, atGrad)
		if !(worst <= 5) {
			t.Errorf("%s: GELU(%g) is %.2f ulp off", table.Name, at, worst)
		}
		if !(worstGrad <= 2e-7) {
			t.Errorf("%s: the derivative of GELU at %g is %g off", table.Name, atGrad, worstGrad)
		}
	}
}

// TestGELULimits: zeros keep their sign, and ±Inf give the limits.
func TestGELULimits(t *testing.T) {
	inf := float32(math.Inf(1))
	for _, table := range Tables() {
		x := []float32{0, float32(math.Copysign(0, -1)), inf, -inf, -1e30, 1e30}
		y := make([]float32, len(x))
		table.GELUForward(y, x)
		for i, want := range []float32{0, x[1], inf, 0, 0, 1e30} {
			if y[i] != want || i < 2 && math.Signbit(float64(y[i])) != math.Signbit(float64(want)) {
				t.Errorf("%s: GELU(%g) = %g, want %g", table.Name, x[i], y[i], want)
			}
		}
	}
}
