package cuda

// ArgMaxRows finds the column of the largest element of every row of x (rows, n), the first of several; index (rows) is int32.
func (d *Device) ArgMaxRows(index, x Ptr, t Type, rows, n int) {
	d.launch("argmax", "argmax_"+t.String(), Dim{X: rows}, rowThreads(n), 0, P(index), P(x), I(n))
}
