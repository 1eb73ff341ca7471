package kernels

import "math"

// logSumExp: log Σ exp(scale·x[i]) for scale > 0. The maximum is subtracted first, so that exp cannot overflow. A NaN, a +Inf or a row of
// −Inf alone gives NaN, as the softmax of such a row does.
func logSumExp(x []float32, scale float32) float32 {
	shift := scale * maximum(x)
	var sum float64
	for _, v := range x {
		sum += math.Exp(float64(scale*v - shift))
	}
	return shift + float32(math.Log(sum))
}

// softmaxForward: y[i] = exp(scale·x[i]) / Σ exp(scale·x[j]) for scale > 0; it returns the logarithm of that sum. NaN as in logSumExp.
// y may be x.
func softmaxForward(y, x []float32, scale float32) (lse float32) {
	shift := scale * maximum(x)
	var sum float64
	for i, v := range x {
		e := math.Exp(float64(scale*v - shift))
		y[i] = float32(e)
		sum += e
	}
	inv := float32(1 / sum)
	for i := range x {
		y[i] *= inv
	}
	return shift + float32(math.Log(sum))
}

// softmaxBackward: dx[i] = y[i]·(dy[i] − Σ dy[j]·y[j]), or += with add, y the result of the forward with scale 1.
func softmaxBackward(dx, dy, y []float32, add bool) {
	clearUnless(add, dx)
	d := dot(dy, y)
	for i := range y {
		dx[i] += y[i] * (dy[i] - d)
	}
}

// logSoftmaxForward: y[i] = scale·x[i] − log Σ exp(scale·x[j]) for scale > 0; it returns that logarithm. y may be x.
func logSoftmaxForward(y, x []float32, scale float32) (lse float32) {
	lse = logSumExp(x, scale)
	for i, v := range x {
		y[i] = scale*v - lse
	}
	return lse
}

// logSoftmaxBackward: dx[i] = dy[i] − exp(y[i])·Σ dy[j], or += with add, y the result of the forward with scale 1.
func logSoftmaxBackward(dx, dy, y []float32, add bool) {
	clearUnless(add, dx)
	s := sum(dy)
	for i := range y {
		dx[i] += dy[i] - exp(y[i])*s
	}
}

// maximum is the largest x[i], −Inf if there are none. A NaN may be passed over.
func maximum(x []float32) float32 {
	m := float32(math.Inf(-1))
	for _, v := range x {
		if v > m {
			m = v
		}
	}
	return m
}
