package kernels

import "math"

// layerNormForward: for every row of x, of which there are as many as means, y[i] = (x[i] − mean)·rstd·weight[i] + bias[i], where mean and the
// biased variance are those of the row and rstd = 1/√(variance + eps) (Ba, Kiros, Hinton 2016). y may be x.
func layerNormForward(y, x, weight, bias, mean, rstd []float32, eps float32) {
	n := len(x) / max(1, len(mean))
	for r := range mean {
		mean[r], rstd[r] = layerNormRow(y[r*n:(r+1)*n], x[r*n:(r+1)*n], weight, bias, eps)
	}
}

func layerNormRow(y, x, weight, bias []float32, eps float32) (mean, rstd float32) {
	var s, s2 float64
	for _, v := range x {
		s += float64(v)
	}
	m := s / float64(len(x))
	for _, v := range x {
		d := float64(v) - m
		s2 += d * d
	}
	mean = float32(m)
	rstd = float32(1 / math.Sqrt(s2/float64(len(x))+float64(eps)))
	for i, v := range x {
		y[i] = (v-mean)*rstd*weight[i] + bias[i]
	}
	return mean, rstd
}

// layerNormBackward: for every row of x, of which there are as many as means, with x̂[i] = (x[i] − mean)·rstd and g[i] = dy[i]·weight[i],
//
//	dweight[i] += dy[i]·x̂[i]
//	dbias[i]   += dy[i]
//	dx[i]       = rstd·(g[i] − average(g) − x̂[i]·average(g·x̂))
//
// or += with add for the last. An empty dx is not wanted.
func layerNormBackward(dx, dweight, dbias, dy, x, weight, mean, rstd []float32, add bool) {
	clearUnless(add, dx)
	n := len(x) / max(1, len(mean))
	for r := range mean {
		var dxRow []float32
		if len(dx) > 0 {
			dxRow = dx[r*n : (r+1)*n]
		}
		layerNormRowBackward(dxRow, dweight, dbias, dy[r*n:(r+1)*n], x[r*n:(r+1)*n], weight, mean[r], rstd[r])
	}
}

func layerNormRowBackward(dx, dweight, dbias, dy, x, weight []float32, mean, rstd float32) {
	var sg, sgx float64
	for i, v := range x {
		xhat := (v - mean) * rstd
		g := dy[i] * weight[i]
		dweight[i] += dy[i] * xhat
		dbias[i] += dy[i]
		sg += float64(g)
		sgx += float64(g) * float64(xhat)
	}
	if len(dx) == 0 {
		return
	}
	ag, agx := float32(sg/float64(len(x))), float32(sgx/float64(len(x)))
	for i, v := range x {
		xhat := (v - mean) * rstd
		dx[i] += rstd * (dy[i]*weight[i] - ag - xhat*agx)
	}
}
