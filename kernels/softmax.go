package kernels

import "math"

// logSumExp: lse[r] = log Σ exp(scale·x[i]) for scale > 0 over row r of x, of which there are as many as lse. The maximum is subtracted first, so
// that exp cannot overflow. A NaN, a +Inf or a row of −Inf alone gives NaN, as the softmax of such a row does.
func logSumExp(lse, x []float32, scale float32) {
	n := len(x) / max(1, len(lse))
	for r := range lse {
		lse[r] = logSumExpRow(x[r*n:(r+1)*n], scale)
	}
}

func logSumExpRow(x []float32, scale float32) float32 {
	shift := scale * maximum(x)
	var sum float64
	for _, v := range x {
		sum += math.Exp(float64(scale*v - shift))
	}
	return shift + float32(math.Log(sum))
}

// softmaxForward: y[i] = exp(scale·x[i]) / Σ exp(scale·x[j]) for scale > 0 and every row of n elements. NaN as in logSumExp. y may be x.
func softmaxForward(y, x []float32, n int, scale float32) {
	for i := 0; i < len(x); i += n {
		softmaxRow(y[i:i+n], x[i:i+n], scale)
	}
}

// softmaxRow is softmaxForward of one row; it returns the logarithm of the sum.
func softmaxRow(y, x []float32, scale float32) (lse float32) {
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

// centeredSoftmaxForward: softmaxForward of x[i] − center[i], of rows as long as center. y may be x.
func centeredSoftmaxForward(y, x, center []float32, scale float32) {
	n := len(center)
	for i, v := range x {
		y[i] = v - center[i%n]
	}
	softmaxForward(y[:len(x)], y[:len(x)], n, scale)
}

// softmaxBackward: dx[i] = y[i]·(dy[i] − Σ dy[j]·y[j]), or += with add, y the result of the forward with scale 1, for every row of n elements.
func softmaxBackward(dx, dy, y []float32, n int, add bool) {
	clearUnless(add, dx)
	for from := 0; from < len(y); from += n {
		d := dot(dy[from:from+n], y[from:from+n])
		for i := from; i < from+n; i++ {
			dx[i] += y[i] * (dy[i] - d)
		}
	}
}

// logSoftmaxForward: y[i] = scale·x[i] − log Σ exp(scale·x[j]) for scale > 0 and every row of n elements. y may be x.
func logSoftmaxForward(y, x []float32, n int, scale float32) {
	for from := 0; from < len(x); from += n {
		lse := logSumExpRow(x[from:from+n], scale)
		for i := from; i < from+n; i++ {
			y[i] = scale*x[i] - lse
		}
	}
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
