package tensor

// SelectSamples computes y[i] = scale·x[samples[i]] over the leading dimension, or adds it to y[i]. samples are indices into x's leading
// dimension in ascending order, one for each of y's. [ResidualSamples] is the way back.
func SelectSamples(y, x *Tensor, samples []int, scale float32, add bool) {
	n := checkSamples("SelectSamples", x, y, samples)
	if g := y.dev.gpu; g != nil {
		g.SelectSamples(y.ptr, x.at(y.typ), y.typ, y.dev.indices(samples), scale, len(samples), n, add)
		return
	}
	y.dev.Run(len(samples), func(i, _ int) {
		to, from := y.data[i*n:(i+1)*n], x.data[samples[i]*n:][:n]
		if add {
			y.dev.kernels.AddScaled(to, from, scale)
			return
		}
		copy(to, from)
		if scale != 1 {
			y.dev.kernels.Scale(to, scale)
		}
	})
}

// checkSamples checks that few has the rows samples of many's leading dimension, and returns the elements of one.
func checkSamples(op string, many, few *Tensor, samples []int) (n int) {
	ok := len(many.shape) > 0 && len(few.shape) == len(many.shape) && few.shape[0] == len(samples)
	if ok {
		n = product(many.shape[1:])
		for i, d := range many.shape[1:] {
			ok = ok && few.shape[1+i] == d
		}
		for i, s := range samples {
			ok = ok && s < many.shape[0] && (i == 0 && s >= 0 || i > 0 && s > samples[i-1])
		}
	}
	check(ok, op, "x (B, …) and a tensor (b, …) for b ascending samples below B", many, few)
	return n
}
