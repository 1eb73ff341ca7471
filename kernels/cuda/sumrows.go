package cuda

// SumRows adds to sum (n), float32, the first n columns of rows that are ld elements of type t apart.
func (d *Device) SumRows(sum, x Ptr, t Type, rows, n, ld int) {
	if rows == 0 || n == 0 {
		return
	}
	width := columnWidth(n, x)
	if ld%4 != 0 {
		width = 1
	}
	chunks, per := columnChunks(rows, n, width)
	partial := d.workspace(chunks * n * 4)
	d.launch("sumrows", "sumrows_"+t.String(), Dim{X: ceilDiv(n, 32*width), Y: chunks}, Dim{X: 256}, 0,
		P(partial), P(x), I(rows), I(n), U64(uint64(ld)), I(per), Flag(width > 1))
	d.columnsAdd(sum, 0, partial, chunks, n, n)
}
