package tensor

// ConcatTokensForward puts the class token before the patch tokens of every image and adds the position embedding:
//
//	y[b, 0] = cls + pos[0];  y[b, 1+n] = patches[b, n] + pos[1+n]
//
// y (B, N+1, D), cls (1, 1, D), patches (B, N, D), pos (1, N+1, D).
func ConcatTokensForward(y, cls, patches, pos *Tensor) {
	checkConcatTokens("ConcatTokensForward", y, cls, patches, pos)
	if g := y.dev.gpu; g != nil {
		g.ConcatTokensForward(y.ptr, cls.f32(), patches.at(y.typ), pos.f32(), y.typ, y.shape[0], y.shape[1]-1, y.Cols())
		return
	}
	k := y.dev.kernels
	d := y.Cols()
	size := y.shape[1] * d
	y.dev.Run(y.shape[0], func(b, _ int) {
		out := y.data[b*size:][:size]
		copy(out, cls.data)
		copy(out[d:], patches.data[b*(size-d):][:size-d])
		k.Add(out, pos.data)
	})
}

// ConcatTokensBackward undoes ConcatTokensForward. dcls and dpos are added to; dpatches is overwritten, or added to if add.
func ConcatTokensBackward(dcls, dpatches, dpos, dy *Tensor, add bool) {
	checkConcatTokens("ConcatTokensBackward", dy, dcls, dpatches, dpos)
	if g := dy.dev.gpu; g != nil {
		g.ConcatTokensBackward(dcls.f32(), dpatches.at(dy.typ), dpos.f32(), dy.ptr, dy.typ, dy.shape[0], dy.shape[1]-1, dy.Cols(), add)
		return
	}
	k := dy.dev.kernels
	d := dy.Cols()
	size := dy.shape[1] * d
	if dpatches != nil {
		dy.dev.Run(dy.shape[0], func(b, _ int) {
			dst, src := dpatches.data[b*(size-d):][:size-d], dy.data[b*size+d:][:size-d]
			if add {
				k.Add(dst, src)
			} else {
				copy(dst, src)
			}
		})
	}
	// A chunk is a token, which sums over the images in order.
	dy.dev.Run(dy.shape[1], func(n, _ int) {
		for b := range dy.shape[0] {
			row := dy.data[b*size+n*d:][:d]
			if dpos != nil {
				k.Add(dpos.data[n*d:][:d], row)
			}
			if dcls != nil && n == 0 {
				k.Add(dcls.data, row)
			}
		}
	})
}

func checkConcatTokens(op string, y, cls, patches, pos *Tensor) {
	ok := len(y.shape) == 3 && y.shape[1] > 0
	if ok && cls != nil {
		ok = cls.Len() == y.shape[2]
	}
	if ok && patches != nil {
		ok = len(patches.shape) == 3 && patches.shape[0] == y.shape[0] && patches.shape[1] == y.shape[1]-1 && patches.shape[2] == y.shape[2]
	}
	if ok && pos != nil {
		ok = pos.Cols() == y.shape[2] && pos.Rows() == y.shape[1]
	}
	check(ok, op, "y (B, N+1, D), cls (1, 1, D), patches (B, N, D), pos (1, N+1, D)", y, cls, patches, pos)
}
