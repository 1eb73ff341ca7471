package tensor

// ArgMaxRows finds the index of the largest element of every row of x (R, K), the first of several; index has R elements.
func ArgMaxRows(index []int, x *Tensor) {
	check(len(index) == x.Rows() && x.Cols() > 0, "ArgMaxRows", "x (R,K) with K > 0, as many indices as rows", x)
	n := x.Cols()
	if g := x.dev.gpu; g != nil {
		found := make([]int32, len(index))
		m := x.dev.allocate(4 * len(found))
		g.ArgMaxRows(m.ptr, x.ptr, x.typ, len(found), n)
		g.Download(bytesOf(found), m.ptr)
		for r, k := range found {
			index[r] = int(k)
		}
		return
	}
	x.dev.runRows(len(index), n, func(from, to int) {
		for r := from; r < to; r++ {
			row, best := x.data[r*n:(r+1)*n], 0
			for k, v := range row {
				if v > row[best] {
					best = k
				}
			}
			index[r] = best
		}
	})
}
