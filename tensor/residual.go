package tensor

// Residual computes y[i] = x[i] + scale[i]·branch[i] over the leading dimension: a residual connection whose branch drop path scales by
// sample, by 0 or 1/keep. scale (B); nil is 1 throughout; a branch scaled by 0 is not read. y may be x.
func Residual(y, x, branch *Tensor, scale *Tensor) {
	check(SameShape(y, x) && SameShape(x, branch) && (scale == nil || len(x.shape) > 0 && scale.Len() == x.shape[0]),
		"Residual", "y, x and branch of the same shape, scale of its leading dimension", y, x, branch)
	if g := x.dev.gpu; g != nil {
		count, n := x.items(scale)
		g.Residual(y.at(x.typ), x.ptr, branch.at(x.typ), x.typ, scale.f32(), count, n)
		return
	}
	forScaled(x, scale, func(from, to int, a float32) {
		if a == 0 {
			copy(y.data[from:to], x.data[from:to])
			return
		}
		y.dev.kernels.AddScaledTo(y.data[from:to], x.data[from:to], branch.data[from:to], a)
	})
}

// items is how many elements of the leading dimension have a scale of their own, and how many elements each of them has.
func (t *Tensor) items(scale *Tensor) (count, n int) {
	if scale == nil || scale.n == 0 {
		return 1, t.n
	}
	return scale.n, t.n / scale.n
}

// addScaled computes y += a·x for elements [from, to).
func addScaled(y, x *Tensor, from, to int, a float32) {
	switch a {
	case 0:
	case 1:
		y.dev.kernels.Add(y.data[from:to], x.data[from:to])
	default:
		y.dev.kernels.AddScaled(y.data[from:to], x.data[from:to], a)
	}
}

// forScaled calls f for chunks [from, to) of elements of x, each with the one scale of its place in the leading dimension.
func forScaled(x *Tensor, scale *Tensor, f func(from, to int, a float32)) {
	if scale == nil {
		x.dev.runElements(x.Len(), func(from, to int) { f(from, to, 1) })
		return
	}
	samples := scale.Len()
	if samples == 0 {
		return
	}
	n := x.Len() / samples
	per := (n + chunkElements - 1) / chunkElements // chunks an item of the leading dimension
	x.dev.Run(samples*per, func(chunk, _ int) {
		i, c := chunk/per, chunk%per
		f(i*n+c*chunkElements, i*n+min((c+1)*chunkElements, n), scale.data[i])
	})
}
