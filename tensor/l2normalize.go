package tensor

// L2NormalizeForward divides the rows of x by their length: y = x / max(‖x‖, eps). y, x (…, D); norm (one a row) gets ‖x‖ for the backward
// and may be nil. y may be x.
func L2NormalizeForward(y, norm, x *Tensor, eps float32) {
	rows, n := x.Rows(), x.Cols()
	check(SameShape(y, x) && (norm == nil || norm.Len() == rows), "L2NormalizeForward", "y (…,D), norm (rows), x (…,D)", y, norm, x)
	if g := x.dev.gpu; g != nil {
		g.L2NormalizeForward(y.at(x.typ), norm.f32(), x.ptr, x.typ, eps, rows, n)
		return
	}
	x.dev.runRows(rows, n, func(from, to int) {
		for r := from; r < to; r++ {
			l := x.dev.kernels.L2NormalizeForward(y.data[r*n:(r+1)*n], x.data[r*n:(r+1)*n], eps)
			if norm != nil {
				norm.data[r] = l
			}
		}
	})
}

// L2NormalizeBackward computes the gradient dx of the input from the gradient dy of the output y, or adds it to dx. norm and eps are those of
// the forward.
func L2NormalizeBackward(dx, dy, y, norm *Tensor, eps float32, add bool) {
	rows, n := y.Rows(), y.Cols()
	check(SameShape(dx, y) && SameShape(dy, y) && norm.Len() == rows, "L2NormalizeBackward", "dx, dy, y (…,D), norm (rows)", dx, dy, y, norm)
	if g := y.dev.gpu; g != nil {
		g.L2NormalizeBackward(dx.at(y.typ), dy.at(y.typ), y.ptr, y.typ, norm.f32(), eps, rows, n, add)
		return
	}
	k := y.dev.kernels
	y.dev.runRows(rows, n, func(from, to int) {
		for r := from; r < to; r++ {
			dx, dy, y := dx.data[r*n:(r+1)*n], dy.data[r*n:(r+1)*n], y.data[r*n:(r+1)*n]
			if norm.data[r] < eps {
				clearUnless(add, dx)
				k.AddScaled(dx, dy, 1/eps) // y = x/eps: the length was replaced by a constant
			} else {
				k.L2NormalizeBackward(dx, dy, y, norm.data[r], add)
			}
		}
	})
}
