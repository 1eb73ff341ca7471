package kernels

import "math"

// expShift: y[i] = exp(scale·x[i] − shift). y may be x.
func expShift(y, x []float32, scale, shift float32) {
	for i, v := range x {
		y[i] = exp(scale*v - shift)
	}
}

func exp(x float32) float32 { return float32(math.Exp(float64(x))) }
