package cuda

// LayerNormForward computes y = (x − mean)·rstd·w + b of rows (rows, n) of type t. w, b (n) and mean, rstd (rows) are float32; mean and rstd may be 0
// together: not wanted. y may be x.
func (d *Device) LayerNormForward(y, mean, rstd, x Ptr, t Type, w, b Ptr, eps float32, rows, n int) {
	if kernel := layerNormWarp(n, y, x, w, b); kernel != "" {
		d.launch("layernorm", "layernorm_forward_"+kernel+t.String(), Dim{X: ceilDiv(rows, 8)}, Dim{X: 256}, 0, P(y), P(mean), P(rstd), P(x), P(w), P(b), F(eps), I(rows), I(n))
		return
	}
	d.launch("layernorm", "layernorm_forward_"+t.String(), Dim{X: rows}, rowThreads(n), 0, P(y), P(mean), P(rstd), P(x), P(w), P(b), F(eps), I(n))
}

// LayerNormBackward computes dx, or adds to it, and adds to dw and db (n), float32. Any of the three may be 0: not wanted.
func (d *Device) LayerNormBackward(dx, dw, db, dy, x Ptr, t Type, w, mean, rstd Ptr, rows, n int, add bool) {
	if rows == 0 || n == 0 {
		return
	}
	wanted := dw != 0 || db != 0
	kernel := layerNormWarp(n, dx, dy, x, w)
	var chunks, per int
	if kernel != "" {
		// Twice the multiprocessors of the largest GPUs: the registers of a block allow two, or one.
		chunks = min(2*132, ceilDiv(rows, 8))
		per = ceilDiv(rows, chunks)
		chunks = ceilDiv(rows, per)
	} else {
		chunks, per = columnChunks(rows, n, columnWidth(n, dy, x))
	}
	var partial Ptr
	if wanted {
		partial = d.workspace(chunks * 2 * n * 4)
	}
	if kernel != "" {
		d.launch("layernorm", "layernorm_backward_"+kernel+t.String(), Dim{X: chunks}, Dim{X: 256}, 0,
			P(dx), P(partial), P(dy), P(x), P(w), P(mean), P(rstd), I(rows), I(n), I(per), Flag(add))
	} else {
		if dx != 0 {
			d.launch("layernorm", "layernorm_backward_"+t.String(), Dim{X: rows}, rowThreads(n), 0, P(dx), P(dy), P(x), P(w), P(mean), P(rstd), I(n), Flag(add))
		}
		if wanted {
			width := columnWidth(n, dy, x)
			d.launch("layernorm", "layernorm_parameters_"+t.String(), Dim{X: ceilDiv(n, 32*width), Y: chunks}, Dim{X: 256}, 0,
				P(partial), P(dy), P(x), P(mean), P(rstd), I(rows), I(n), I(per), Flag(width > 1))
		}
	}
	if wanted {
		d.columnsAdd(dw, db, partial, chunks, n, 2*n)
	}
}

// layerNormWarp is the part of the name of the kernels that hold a row in a warp's registers, empty if they cannot.
func layerNormWarp(n int, rows ...Ptr) string {
	switch {
	case !vectors(n, rows...) || n > 1024:
		return ""
	case n <= 384:
		return "384_"
	}
	return "1024_"
}
