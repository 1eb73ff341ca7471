package cuda

// LayerScaleForward computes y = x·gamma for rows (rows, n) of type t; gamma (n) is float32. y may be x.
func (d *Device) LayerScaleForward(y, x Ptr, t Type, gamma Ptr, rows, n int) {
	d.layerScale(y, x, t, gamma, rows, n, false)
}

// LayerScaleBackward computes dx = dy·gamma, or adds it to dx, and adds to dgamma (n), float32. Either may be 0: not wanted.
func (d *Device) LayerScaleBackward(dx, dgamma, dy, x Ptr, t Type, gamma Ptr, rows, n int, add bool) {
	if rows == 0 || n == 0 {
		return
	}
	if dgamma != 0 {
		width := columnWidth(n, dy, x)
		chunks, per := columnChunks(rows, n, width)
		partial := d.workspace(chunks * n * 4)
		d.launch("layerscale", "layerscale_dgamma_"+t.String(), Dim{X: ceilDiv(n, 32*width), Y: chunks}, Dim{X: 256}, 0,
			P(partial), P(dy), P(x), I(rows), I(n), I(per), Flag(width > 1))
		d.columnsAdd(dgamma, 0, partial, chunks, n, n)
	}
	if dx != 0 {
		d.layerScale(dx, dy, t, gamma, rows, n, add)
	}
}

func (d *Device) layerScale(y, x Ptr, t Type, gamma Ptr, rows, n int, add bool) {
	d.launch("layerscale", "layerscale_"+t.String(), Dim{X: ceilDiv(rows, 8)}, Dim{X: 256}, 0, P(y), P(x), P(gamma), I(rows), I(n), Flag(add))
}
