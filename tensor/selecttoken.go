package tensor

// SelectTokenForward copies one token of every image: y[b] = x[b, index], y (B, D), x (B, N, D).
func SelectTokenForward(y, x *Tensor, index int) {
	checkSelectToken("SelectTokenForward", y, x, index)
	if g := x.dev.gpu; g != nil {
		g.SelectTokenForward(y.at(x.typ), x.ptr, x.typ, x.shape[0], x.shape[1], x.shape[2], index)
		return
	}
	d := y.shape[1]
	for b := range y.shape[0] {
		copy(y.data[b*d:][:d], x.data[(b*x.shape[1]+index)*d:])
	}
}

// SelectTokenBackward undoes SelectTokenForward: dx (B, N, D) gets dy (B, D) at index, and zero at the other tokens unless add.
func SelectTokenBackward(dx, dy *Tensor, index int, add bool) {
	if dx == nil {
		return
	}
	checkSelectToken("SelectTokenBackward", dy, dx, index)
	if g := dx.dev.gpu; g != nil {
		g.SelectTokenBackward(dx.ptr, dy.at(dx.typ), dx.typ, dx.shape[0], dx.shape[1], dx.shape[2], index, add)
		return
	}
	d := dy.shape[1]
	size := dx.shape[1] * d
	dy.dev.Run(dy.shape[0], func(b, _ int) {
		image := dx.data[b*size:][:size]
		if !add {
			clear(image)
		}
		dy.dev.kernels.Add(image[index*d:][:d], dy.data[b*d:][:d])
	})
}

func checkSelectToken(op string, y, x *Tensor, index int) {
	check(len(y.shape) == 2 && len(x.shape) == 3 && y.shape[0] == x.shape[0] && y.shape[1] == x.shape[2] && index >= 0 && index < x.shape[1],
		op, "y (B, D), x (B, N, D), 0 <= index < N", y, x)
}
