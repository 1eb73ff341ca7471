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
		dx[i] += float32(float64(dy[i]) * geluDerivative(v))
	}
}

// geluAndDerivative: geluForward, and the factor of geluBackward: dydx[i] = Φ(x[i]) + x[i]·φ(x[i]). Both have the same costly parts. dydx may
// be x.
func geluAndDerivative(y, dydx, x []float32) {
	geluForward(y, x)
	for i, v := range x {
		dydx[i] = float32(geluDerivative(v))
	}
}

func geluDerivative(x float32) float64 {
	v := min(max(float64(x), -geluBound), geluBound)
	density := math.Exp(-v*v/2) / math.Sqrt(2*math.Pi)
	return normalCDF(v) + v*density
}

// geluBound is where Φ(−x) and x·φ(x) have long become 0 in float32, so that 0·Inf cannot arise.
const geluBound = 30

// normalCDF is Φ(x) = erfc(−x/√2)/2: the complement keeps the relative accuracy of the left tail, where 1 + erf would cancel.
func normalCDF(x float64) float64 { return math.Erfc(-x/math.Sqrt2) / 2 }
