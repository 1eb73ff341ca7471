package tensor

// GELUForward computes y = x·Φ(x), the exact GELU; see kernels.Table. y and x have the same shape; y may be x.
func GELUForward(y, x *Tensor) {
	check(SameShape(y, x), "GELUForward", "y and x of the same shape", y, x)
	if g := x.dev.gpu; g != nil {
		g.GELUForward(y.at(x.typ), x.ptr, x.typ, x.n)
		return
	}
	x.dev.runElements(x.Len(), func(from, to int) {
		x.dev.kernels.GELUForward(y.data[from:to], x.data[from:to])
	})
}

// GELUBackward computes dx = dy·GELU'(x), or adds it to dx.
func GELUBackward(dx, dy, x *Tensor, add bool) {
	check(SameShape(dx, x) && SameShape(dy, x), "GELUBackward", "dx, dy and x of the same shape", dx, dy, x)
	if g := x.dev.gpu; g != nil {
		g.GELUBackward(dx.at(x.typ), dy.at(x.typ), x.ptr, x.typ, x.n, add)
		return
	}
	x.dev.runElements(x.Len(), func(from, to int) {
		x.dev.kernels.GELUBackward(dx.data[from:to], dy.data[from:to], x.data[from:to], add)
	})
}
