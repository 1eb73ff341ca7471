package tensor

// LayerNormForward normalises the rows of x to mean 0 and variance 1 and applies weight and bias: y = (x − mean)·rstd·w + b, with
// rstd = 1/√(variance + eps) and the biased variance (Ba, Kiros, Hinton 2016). x, y (…, C); w, b (C); mean, rstd (one a row) are kept for
// the backward and may be nil together. y may be x.
func LayerNormForward(y, mean, rstd, x, w, b *Tensor, eps float32) {
	rows, n := x.Rows(), x.Cols()
	check(SameShape(y, x) && w.Len() == n && b.Len() == n && (mean == nil) == (rstd == nil) && (mean == nil || mean.Len() == rows && rstd.Len() == rows),
		"LayerNormForward", "y (…,C), mean (rows), rstd (rows), x (…,C), w (C), b (C)", y, mean, rstd, x, w, b)
	if g := x.dev.gpu; g != nil {
		g.LayerNormForward(y.at(x.typ), mean.f32(), rstd.f32(), x.ptr, x.typ, w.f32(), b.f32(), eps, rows, n)
		return
	}
	numbers := x.dev.scratch(2 * rows)
	defer x.dev.release(numbers)
	means, rstds := numbers[:rows], numbers[rows:]
	if mean != nil {
		means, rstds = mean.data, rstd.data
	}
	x.dev.runRows(rows, n, func(from, to int) {
		x.dev.kernels.LayerNormForward(y.data[from*n:to*n], x.data[from*n:to*n], w.data, b.data, means[from:to], rstds[from:to], eps)
	})
}

// LayerNormBackward undoes LayerNormForward: it overwrites dx, or adds to it, and adds to dw and db. Any of the three may be nil: not wanted.
func LayerNormBackward(dx, dw, db, dy, x, w, mean, rstd *Tensor, add bool) {
	rows, n := x.Rows(), x.Cols()
	check(SameShape(dy, x) && w.Len() == n && mean.Len() == rows && rstd.Len() == rows &&
		(dx == nil || SameShape(dx, x)) && (dw == nil || dw.Len() == n) && (db == nil || db.Len() == n),
		"LayerNormBackward", "dx (…,C), dw (C), db (C), dy (…,C), x (…,C), w (C), mean (rows), rstd (rows)", dx, dw, db, dy, x, w, mean, rstd)
	if g := x.dev.gpu; g != nil {
		g.LayerNormBackward(dx.at(x.typ), dw.f32(), db.f32(), dy.at(x.typ), x.ptr, x.typ, w.f32(), mean.f32(), rstd.f32(), rows, n, add)
		return
	}
	dev := x.dev
	per := layerNormRowsPerChunk(rows, n)
	chunks := (rows + per - 1) / per
	// Every chunk sums the gradients of weight and bias of its own rows; the sums are then added in the order of the chunks.
	partial := dev.scratch(chunks * 2 * n)
	dev.Run(chunks, func(chunk, _ int) {
		p := partial[chunk*2*n : (chunk+1)*2*n]
		clear(p)
		from, to := chunk*per, min((chunk+1)*per, rows)
		var dxRows []float32
		if dx != nil {
			dxRows = dx.data[from*n : to*n]
		}
		dev.kernels.LayerNormBackward(dxRows, p[:n], p[n:], dy.data[from*n:to*n], x.data[from*n:to*n], w.data, mean.data[from:to], rstd.data[from:to], add)
	})
	for chunk := range chunks {
		p := partial[chunk*2*n : (chunk+1)*2*n]
		if dw != nil {
			dev.kernels.Add(dw.data, p[:n])
		}
		if db != nil {
			dev.kernels.Add(db.data, p[n:])
		}
	}
	dev.release(partial)
}

// layerNormRowsPerChunk makes at most 64 chunks, so that adding up their partial sums stays small beside the pass itself.
func layerNormRowsPerChunk(rows, cols int) int { return max(rowsPerChunk(cols), (rows+63)/64) }
