package cuda

// BatchNormForward computes y = (x − mean)·rstd·w + b for rows (rows, n) of type t by the mean and the biased variance of every column, rstd = 1/√(variance + eps).
// mean, rstd, w, b (n) are float32.
func (d *Device) BatchNormForward(y, mean, rstd, x Ptr, t Type, w, b Ptr, eps float32, rows, n int) {
	d.launch("batchnorm", "batchnorm_forward_"+t.String(), Dim{X: ceilDiv(n, 32)}, Dim{X: 1024}, 0,
		P(y), P(mean), P(rstd), P(x), P(w), P(b), F(eps), I(rows), I(n))
}

// BatchNormBackward computes dx, or adds to it, and adds to dw and db (n), float32. Each may be 0: not wanted.
func (d *Device) BatchNormBackward(dx, dw, db, dy, x Ptr, t Type, w, mean, rstd Ptr, rows, n int, add bool) {
	d.launch("batchnorm", "batchnorm_backward_"+t.String(), Dim{X: ceilDiv(n, 32)}, Dim{X: 1024}, 0,
		P(dx), P(dw), P(db), P(dy), P(x), P(w), P(mean), P(rstd), I(rows), I(n), Flag(add))
}

// BatchNormUpdate moves running statistics (n) towards those of a batch of that many rows. All are float32.
func (d *Device) BatchNormUpdate(runningMean, runningVar, mean, rstd Ptr, eps, momentum float32, rows, n int) {
	unbiased := float32(rows) / float32(max(rows-1, 1))
	d.launch("batchnorm", "batchnorm_update", Dim{X: ceilDiv(n, 256)}, Dim{X: 256}, 0,
		P(runningMean), P(runningVar), P(mean), P(rstd), F(unbiased), F(eps), F(momentum), I(n))
}
