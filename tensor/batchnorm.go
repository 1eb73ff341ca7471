package tensor

import "math"

// Batch normalisation (Ioffe and Szegedy 2015) of rows, as PyTorch's BatchNorm1d in training: every column is normalised by its own mean and
// biased variance over the R rows. Columns are independent, so they are what the threads share out.

// batchNormBlock is how many columns a chunk holds: 2 KiB of each row.
const batchNormBlock = 512

// BatchNormForward computes y[r,c] = (x[r,c] − mean[c])·rstd[c]·w[c] + b[c], with rstd = 1/√(variance + eps). x, y (R, C), the others (C).
func BatchNormForward(y, mean, rstd, x, w, b *Tensor, eps float32) {
	rows, n := x.Rows(), x.Cols()
	check(SameShape(y, x) && rows > 0 && mean.Len() == n && rstd.Len() == n && w.Len() == n && b.Len() == n,
		"BatchNormForward", "y, x (R,C) with R > 0, mean, rstd, w, b (C)", y, mean, rstd, x, w, b)
	if g := x.dev.gpu; g != nil {
		g.BatchNormForward(y.at(x.typ), mean.f32(), rstd.f32(), x.ptr, x.typ, w.f32(), b.f32(), eps, rows, n)
		return
	}
	x.dev.Run((n+batchNormBlock-1)/batchNormBlock, func(chunk, _ int) {
		from, to := chunk*batchNormBlock, min((chunk+1)*batchNormBlock, n)
		var sum, square [batchNormBlock]float64
		for r := range rows {
			for c, v := range x.data[r*n+from : r*n+to] {
				sum[c] += float64(v)
			}
		}
		for c := range to - from {
			sum[c] /= float64(rows)
		}
		for r := range rows { // a second pass: the difference of two large sums would lose the variance
			for c, v := range x.data[r*n+from : r*n+to] {
				d := float64(v) - sum[c]
				square[c] += d * d
			}
		}
		for c := range to - from {
			mean.data[from+c] = float32(sum[c])
			rstd.data[from+c] = float32(1 / math.Sqrt(square[c]/float64(rows)+float64(eps)))
		}
		for r := range rows {
			for c := from; c < to; c++ {
				y.data[r*n+c] = (x.data[r*n+c]-mean.data[c])*rstd.data[c]*w.data[c] + b.data[c]
			}
		}
	})
}

// BatchNormUpdate moves the running statistics of a batch norm towards those of a batch of that many rows:
//
//	running = (1 − momentum)·running + momentum·batch
//
// with the unbiased variance. All tensors (C).
func BatchNormUpdate(runningMean, runningVar, mean, rstd *Tensor, rows int, eps, momentum float32) {
	n := mean.Len()
	check(runningMean.Len() == n && runningVar.Len() == n && rstd.Len() == n, "BatchNormUpdate", "all (C)", runningMean, runningVar, mean, rstd)
	if g := mean.dev.gpu; g != nil {
		runningMean.written()
		runningVar.written()
		g.BatchNormUpdate(runningMean.f32(), runningVar.f32(), mean.f32(), rstd.f32(), eps, momentum, rows, n)
		return
	}
	unbiased := float32(rows) / float32(max(rows-1, 1))
	for c, m := range mean.data {
		r := rstd.data[c]
		variance := 1/(r*r) - eps
		runningMean.data[c] += momentum * (m - runningMean.data[c])
		runningVar.data[c] += momentum * (variance*unbiased - runningVar.data[c])
	}
}

// BatchNormBackward computes the gradient dx, or adds to it, and adds to dw and db. Each may be nil for unwanted.
func BatchNormBackward(dx, dw, db, dy, x, w, mean, rstd *Tensor, add bool) {
	rows, n := x.Rows(), x.Cols()
	check(SameShape(dy, x) && (dx == nil || SameShape(dx, x)) && w.Len() == n && mean.Len() == n && rstd.Len() == n && (dw == nil || dw.Len() == n) && (db == nil || db.Len() == n),
		"BatchNormBackward", "dx, dy, x (R,C), dw, db, w, mean, rstd (C)", dx, dw, db, dy, x, w, mean, rstd)
	if g := x.dev.gpu; g != nil {
		g.BatchNormBackward(dx.at(x.typ), dw.f32(), db.f32(), dy.at(x.typ), x.ptr, x.typ, w.f32(), mean.f32(), rstd.f32(), rows, n, add)
		return
	}
	x.dev.Run((n+batchNormBlock-1)/batchNormBlock, func(chunk, _ int) {
		from, to := chunk*batchNormBlock, min((chunk+1)*batchNormBlock, n)
		// With x̂ = (x − mean)·rstd: dx = w·rstd·(dy − mean(dy) − x̂·mean(dy·x̂)).
		var sum, dot [batchNormBlock]float64
		for r := range rows {
			for c := from; c < to; c++ {
				d := float64(dy.data[r*n+c])
				sum[c-from] += d
				dot[c-from] += d * float64((x.data[r*n+c]-mean.data[c])*rstd.data[c])
			}
		}
		for c := from; c < to; c++ {
			if dw != nil {
				dw.data[c] += float32(dot[c-from])
			}
			if db != nil {
				db.data[c] += float32(sum[c-from])
			}
		}
		if dx == nil {
			return
		}
		for r := range rows {
			for c := from; c < to; c++ {
				xhat := (x.data[r*n+c] - mean.data[c]) * rstd.data[c]
				g := w.data[c] * rstd.data[c] * (dy.data[r*n+c] - float32(sum[c-from]/float64(rows)) - xhat*float32(dot[c-from]/float64(rows)))
				if add {
					g += dx.data[r*n+c]
				}
				dx.data[r*n+c] = g
			}
		}
	})
}
