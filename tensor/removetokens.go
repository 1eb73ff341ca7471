package tensor

// RemoveTokensForward leaves count tokens of every image out, from its token at: y (B, N−count, D), x (B, N, D).
func RemoveTokensForward(y, x *Tensor, at, count int) {
	checkRemoveTokens("RemoveTokensForward", y, x, at, count)
	if g := x.dev.gpu; g != nil {
		g.RemoveTokensForward(y.at(x.typ), x.ptr, x.typ, x.shape[0], x.shape[1], x.Cols(), at, count, false)
		return
	}
	gatherAround(y, x, at, count, false)
}

// RemoveTokensBackward undoes RemoveTokensForward: dx (B, N, D) gets dy (B, N−count, D), and zero at the tokens that were left out, unless add.
func RemoveTokensBackward(dx, dy *Tensor, at, count int, add bool) {
	if dx == nil {
		return
	}
	checkRemoveTokens("RemoveTokensBackward", dy, dx, at, count)
	if g := dx.dev.gpu; g != nil {
		g.RemoveTokensBackward(dx.ptr, dy.at(dx.typ), dx.typ, dx.shape[0], dx.shape[1], dx.Cols(), at, count, add)
		return
	}
	d, n, m := dx.Cols(), dx.shape[1], dy.shape[1]
	dx.dev.Run(dx.shape[0], func(b, _ int) {
		to, from := dx.data[b*n*d:][:n*d], dy.data[b*m*d:][:m*d]
		clearUnless(add, to)
		dx.dev.kernels.Add(to[:at*d], from[:at*d])
		dx.dev.kernels.Add(to[(at+count)*d:], from[at*d:])
	})
}

// gatherAround copies to y, or adds to it, the tokens of x (B, N, D) but the count from at on.
func gatherAround(y, x *Tensor, at, count int, add bool) {
	d, n := x.Cols(), x.shape[1]
	m := n - count
	x.dev.Run(x.shape[0], func(b, _ int) {
		to, from := y.data[b*m*d:][:m*d], x.data[b*n*d:][:n*d]
		if !add {
			copy(to, from[:at*d])
			copy(to[at*d:], from[(at+count)*d:])
			return
		}
		x.dev.kernels.Add(to[:at*d], from[:at*d])
		x.dev.kernels.Add(to[at*d:], from[(at+count)*d:])
	})
}

func checkRemoveTokens(op string, y, x *Tensor, at, count int) {
	check(len(y.shape) == 3 && len(x.shape) == 3 && y.shape[0] == x.shape[0] && y.shape[2] == x.shape[2] && y.shape[1]+count == x.shape[1] &&
		at >= 0 && count >= 0 && at <= y.shape[1], op, "y (B, N−count, D), x (B, N, D), 0 <= at <= N−count", y, x)
}
