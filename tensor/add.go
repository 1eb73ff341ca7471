package tensor

// AddForward computes y = a + b, all of the same shape. y may be a or b.
func AddForward(y, a, b *Tensor) {
	check(SameShape(y, a) && SameShape(a, b), "AddForward", "y, a and b of the same shape", y, a, b)
	if y.Len() > 0 && &y.data[0] == &b.data[0] {
		a, b = b, a // or the copy would overwrite b
	}
	y.dev.runElements(y.Len(), func(from, to int) {
		copy(y.data[from:to], a.data[from:to])
		y.dev.kernels.Add(y.data[from:to], b.data[from:to])
	})
}

// AddScaled computes y += a·x, of the same shape.
func AddScaled(y, x *Tensor, a float32) {
	check(SameShape(y, x), "AddScaled", "y and x of the same shape", y, x)
	y.dev.runElements(y.Len(), func(from, to int) {
		y.dev.kernels.AddScaled(y.data[from:to], x.data[from:to], a)
	})
}

// Scale computes x *= a.
func Scale(x *Tensor, a float32) {
	x.dev.runElements(x.Len(), func(from, to int) { x.dev.kernels.Scale(x.data[from:to], a) })
}

// Fill sets every element of x to a.
func Fill(x *Tensor, a float32) {
	if g := x.dev.gpu; g != nil {
		x.written()
		g.Fill(x.ptr, x.typ, a, x.n)
		return
	}
	x.dev.runElements(x.Len(), func(from, to int) {
		x := x.data[from:to]
		for i := range x {
			x[i] = a
		}
	})
}

// SumRows adds to sum (C) the rows of x (…, C), in order: the gradient of a bias, the centre of a batch.
func SumRows(sum, x *Tensor) {
	rows, n := x.Rows(), x.Cols()
	check(sum.Len() == n, "SumRows", "sum (C), x (…,C)", sum, x)
	const block = 512 // columns: every chunk reads 2 KiB of each row and shares no cache line of sum with another
	x.dev.Run((n+block-1)/block, func(chunk, _ int) {
		from, to := chunk*block, min((chunk+1)*block, n)
		for r := range rows {
			x.dev.kernels.Add(sum.data[from:to], x.data[r*n+from:r*n+to])
		}
	})
}
