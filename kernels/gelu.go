package kernels

import "math"

// geluForward: y[i] = x[i]·Φ(x[i]), Φ the standard normal distribution function: the exact GELU (Hendrycks, Gimpel 2016), not its tanh
// approximation. At −Inf it is the limit, 0. y may be x.
func geluForward(y, x []float32) {
	for i, v := range x {
		x := max(float64(v), -geluBound)
		y[i] = float32(x * normalCDF(x))
	}
}

// geluBackward: dx[i] = dy[i]·(Φ(x[i]) + x[i]·φ(x[i])), or += with add, φ the standard normal density. At ±Inf the factor is the limit, 0 or 1.
func geluBackward(dx, dy, x []float32, add bool) {
	clearUnless(add, dx)
	for i, v := range x {
		x := min(max(float64(v), -geluBound), geluBound)
		density := math.Exp(-x*x/2) / math.Sqrt(2*math.Pi)
		dx[i] += float32(float64(dy[i]) * (normalCDF(x) + x*density))
	}
}

// geluBound is where Φ(−x) and x·φ(x) have long become 0 in float32, so that 0·Inf cannot arise.
const geluBound = 30

// normalCDF is Φ(x) = erfc(−x/√2)/2: the complement keeps the relative accuracy of the left tail, where 1 + erf would cancel.
func normalCDF(x float64) float64 { return math.Erfc(-x/math.Sqrt2) / 2 }
