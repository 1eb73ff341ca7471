package tensor

// LayerScaleForward multiplies every row of x by gamma (Touvron et al. 2021, "Going deeper with Image Transformers"): y (…, C), x (…, C),
// gamma (C). y may not be x.
func LayerScaleForward(y, x, gamma *Tensor) {
	rows, n := x.Rows(), x.Cols()
	check(SameShape(y, x) && gamma.Len() == n, "LayerScaleForward", "y (…,C), x (…,C), gamma (C)", y, x, gamma)
	if g := x.dev.gpu; g != nil {
		g.LayerScaleForward(y.at(x.typ), x.ptr, x.typ, gamma.f32(), rows, n)
		return
	}
	x.dev.runRows(rows, n, func(from, to int) {
		clear(y.data[from*n : to*n])
		for r := from; r < to; r++ {
			x.dev.kernels.AddProduct(y.data[r*n:(r+1)*n], x.data[r*n:(r+1)*n], gamma.data)
		}
	})
}

// LayerScaleBackward undoes LayerScaleForward: it overwrites dx, or adds to it, and adds to dgamma. Either may be nil: not wanted.
func LayerScaleBackward(dx, dgamma, dy, x, gamma *Tensor, add bool) {
	rows, n := dy.Rows(), dy.Cols()
	check(SameShape(x, dy) && gamma.Len() == n && (dx == nil || SameShape(dx, dy)) && (dgamma == nil || dgamma.Len() == n),
		"LayerScaleBackward", "dx (…,C), dgamma (C), dy (…,C), x (…,C), gamma (C)", dx, dgamma, dy, x, gamma)
	if g := dy.dev.gpu; g != nil {
		g.LayerScaleBackward(dx.at(dy.typ), dgamma.f32(), dy.ptr, x.at(dy.typ), dy.typ, gamma.f32(), rows, n, add)
		return
	}
	dev := dy.dev
	per := layerNormRowsPerChunk(rows, n)
	chunks := (rows + per - 1) / per
	// Every chunk sums the gradient of gamma over its own rows; the sums are then added in the order of the chunks.
	partial := dev.scratch(chunks * n)
	dev.Run(chunks, func(chunk, _ int) {
		sum := partial[chunk*n : (chunk+1)*n]
		clear(sum)
		for r := chunk * per; r < min((chunk+1)*per, rows); r++ {
			dyRow := dy.data[r*n : (r+1)*n]
			if dx != nil {
				clearUnless(add, dx.data[r*n:(r+1)*n])
				dev.kernels.AddProduct(dx.data[r*n:(r+1)*n], dyRow, gamma.data)
			}
			if dgamma != nil {
				dev.kernels.AddProduct(sum, dyRow, x.data[r*n:(r+1)*n])
			}
		}
	})
	if dgamma != nil {
		for chunk := range chunks {
			dev.kernels.Add(dgamma.data, partial[chunk*n:(chunk+1)*n])
		}
	}
	dev.release(partial)
}
