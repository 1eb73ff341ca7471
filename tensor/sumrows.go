package tensor

// SumRows adds to sum (C) the rows of x (…, C), in order: the gradient of a bias, the centre of a batch.
func SumRows(sum, x *Tensor) {
	rows, n := x.Rows(), x.Cols()
	check(sum.Len() == n, "SumRows", "sum (C), x (…,C)", sum, x)
	if g := x.dev.gpu; g != nil {
		sum.written()
		g.SumRows(sum.f32(), x.ptr, x.typ, rows, n, n)
		return
	}
	const block = 512 // columns: every chunk reads 2 KiB of each row and shares no cache line of sum with another
	x.dev.Run((n+block-1)/block, func(chunk, _ int) {
		from, to := chunk*block, min((chunk+1)*block, n)
		for r := range rows {
			x.dev.kernels.Add(sum.data[from:to], x.data[r*n+from:r*n+to])
		}
	})
}
