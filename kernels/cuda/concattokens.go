package cuda

// ConcatTokensForward computes y[b, 0] = cls + pos[0]; y[b, 1+i] = patches[b, i] + pos[1+i]: y (count, tokens+1, n) and patches (count, tokens, n) of type t,
// cls (n) and pos (tokens+1, n) float32.
func (d *Device) ConcatTokensForward(y, cls, patches, pos Ptr, t Type, count, tokens, n int) {
	d.launch("concattokens", "concattokens_"+t.String(), items(count, (tokens+1)*n), Dim{X: 256}, 0,
		P(y), P(cls), P(patches), P(pos), I(count), U64(uint64(tokens*n)), I(n))
}

// ConcatTokensBackward adds to dcls and dpos, float32, and computes dpatches, or adds to it, from dy (count, tokens+1, n). Each may be 0: not wanted.
func (d *Device) ConcatTokensBackward(dcls, dpatches, dpos, dy Ptr, t Type, count, tokens, n int, add bool) {
	all := (tokens + 1) * n
	if dpatches != 0 {
		d.RemoveTokensForward(dpatches, dy, t, count, tokens+1, n, 0, 1, add)
	}
	if dpos != 0 {
		d.SumRows(dpos, dy, t, count, all, all)
	}
	if dcls != 0 {
		d.SumRows(dcls, dy, t, count, n, all)
	}
}
