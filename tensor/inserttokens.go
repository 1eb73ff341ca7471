package tensor

// InsertTokensForward puts the same tokens into every image's, before its token at: y (B, N+R, D), x (B, N, D), tokens (1, R, D).
func InsertTokensForward(y, x, tokens *Tensor, at int) {
	checkInsertTokens("InsertTokensForward", y, x, tokens, at)
	if g := y.dev.gpu; g != nil {
		g.InsertTokensForward(y.ptr, x.at(y.typ), tokens.f32(), y.typ, x.shape[0], x.shape[1], x.Cols(), at, tokens.Rows())
		return
	}
	copyAround(y, x, at, tokens.Rows())
	d, r := y.Cols(), tokens.Rows()
	for b := range y.shape[0] {
		copy(y.data[(b*y.shape[1]+at)*d:][:r*d], tokens.data)
	}
}

// InsertTokensBackward undoes InsertTokensForward: dtokens is added to; dx is overwritten, or added to if add. Either may be nil: not wanted.
func InsertTokensBackward(dx, dtokens, dy *Tensor, at, count int, add bool) {
	checkInsertTokens("InsertTokensBackward", dy, dx, dtokens, at)
	if g := dy.dev.gpu; g != nil {
		g.InsertTokensBackward(dx.at(dy.typ), dtokens.f32(), dy.ptr, dy.typ, dy.shape[0], dy.shape[1]-count, dy.Cols(), at, count, add)
		return
	}
	if dx != nil {
		gatherAround(dx, dy, at, count, add)
	}
	if dtokens == nil {
		return
	}
	d, n := dy.Cols(), dy.shape[1]
	for b := range dy.shape[0] { // in order
		dy.dev.kernels.Add(dtokens.data, dy.data[(b*n+at)*d:][:count*d])
	}
}

// copyAround copies the tokens of x to y (B, N+count, D), those from at on behind a gap of count.
func copyAround(y, x *Tensor, at, count int) {
	d, n := x.Cols(), x.shape[1]
	x.dev.Run(x.shape[0], func(b, _ int) {
		to, from := y.data[b*(n+count)*d:][:(n+count)*d], x.data[b*n*d:][:n*d]
		copy(to, from[:at*d])
		copy(to[(at+count)*d:], from[at*d:])
	})
}

func checkInsertTokens(op string, y, x, tokens *Tensor, at int) {
	ok := len(y.shape) == 3 && at >= 0 && at <= y.shape[1]
	if ok && x != nil {
		ok = len(x.shape) == 3 && x.shape[0] == y.shape[0] && x.shape[2] == y.shape[2] && x.shape[1] <= y.shape[1] && at <= x.shape[1]
	}
	if ok && tokens != nil {
		ok = tokens.Cols() == y.shape[2] && at+tokens.Rows() <= y.shape[1] && (x == nil || x.shape[1]+tokens.Rows() == y.shape[1])
	}
	check(ok, op, "y (B, N+R, D), x (B, N, D), tokens (1, R, D), 0 <= at <= N", y, x, tokens)
}
