package kernels

import "math"

// geluForward: y[i] = x[i]·Φ(x[i]), Φ the standard normal distribution function: the exact GELU (Hendrycks, Gimpel 2016), not its tanh
// approximation. y may be x.
func geluForward(y, x []float32) {
	for i, v := range x {
		y[i] = float32(float64(v) * normalCDF(float64(v)))
	}
}

// geluBackward: dx[i] += dy[i]·(Φ(x[i]) + x[i]·φ(x[i])), φ the standard normal density.
func geluBackward(dx, dy, x []float32) {
	for i, v := range x {
		x := float64(v)
		density := math.Exp(-x*x/2) / math.Sqrt(2*math.Pi)
		dx[i] += float32(float64(dy[i]) * (normalCDF(x) + x*density))
	}
}

// normalCDF is Φ(x) = erfc(−x/√2)/2: the complement keeps the relative accuracy of the left tail, where 1 + erf would cancel.
func normalCDF(x float64) float64 { return math.Erfc(-x/math.Sqrt2) / 2 }
