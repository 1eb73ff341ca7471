package kernels

import "math"

// weightNormForward: w[i] = g·v[i]/‖v‖ (Salimans, Kingma 2016); it returns ‖v‖. w may be v.
func weightNormForward(w, v []float32, g float32) (norm float32) {
	norm = float32(math.Sqrt(float64(sumSquares(v))))
	a := g / norm
	for i, x := range v {
		w[i] = a * x
	}
	return norm
}

// weightNormBackward: with s = Σ dw[j]·v[j]/‖v‖, which it returns as the gradient of g,
//
//	dv[i] += g/‖v‖·(dw[i] − v[i]·s/‖v‖)
//
// An empty dv is not wanted.
func weightNormBackward(dv, dw, v []float32, g, norm float32) (dg float32) {
	dg = dot(dw, v) / norm
	if len(dv) == 0 {
		return dg
	}
	a, b := g/norm, dg/norm
	for i := range v {
		dv[i] += a * (dw[i] - v[i]*b)
	}
	return dg
}
