package kernels

import "math"

// l2NormalizeForward: y[i] = x[i] / max(‖x‖, eps); it returns ‖x‖. y may be x.
func l2NormalizeForward(y, x []float32, eps float32) (norm float32) {
	norm = float32(math.Sqrt(float64(sumSquares(x))))
	inv := 1 / max(norm, eps)
	for i, v := range x {
		y[i] = v * inv
	}
	return norm
}

// l2NormalizeBackward: dx[i] = (dy[i] − y[i]·Σ dy[j]·y[j]) / norm, or += with add, for a row whose norm is not below eps. Below it the norm was
// replaced by a constant and the gradient is dy/eps.
func l2NormalizeBackward(dx, dy, y []float32, norm float32, add bool) {
	clearUnless(add, dx)
	d := dot(dy, y)
	inv := 1 / norm
	for i := range y {
		dx[i] += (dy[i] - y[i]*d) * inv
	}
}
