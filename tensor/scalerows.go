package tensor

// ScaleRows computes y[i] = scale[i]·x[i] over the leading dimension, or adds it to y[i]: the backward of Residual to its branch. scale (B); nil
// is 1 throughout; what is scaled by 0 is not read. Without add, y may be x.
func ScaleRows(y, x *Tensor, scale *Tensor, add bool) {
	check(SameShape(y, x) && (scale == nil || len(x.shape) > 0 && scale.Len() == x.shape[0]),
		"ScaleRows", "y and x of the same shape, scale of its leading dimension", y, x)
	if g := x.dev.gpu; g != nil {
		count, n := x.items(scale)
		g.ScaleRows(y.at(x.typ), x.ptr, x.typ, scale.f32(), count, n, add)
		return
	}
	forScaled(x, scale, func(from, to int, a float32) {
		switch {
		case add:
			addScaled(y, x, from, to, a)
		case a == 0:
			clear(y.data[from:to])
		default:
			copy(y.data[from:to], x.data[from:to])
			if a != 1 {
				y.dev.kernels.Scale(y.data[from:to], a)
			}
		}
	})
}
