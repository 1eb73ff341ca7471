package cuda

// InsertTokensForward puts the same tokens (inserted, n), float32, into every image's, before its token at: y (count, tokens+inserted, n), x (count, tokens, n)
// of type t.
func (d *Device) InsertTokensForward(y, x, inserts Ptr, t Type, count, tokens, n, at, inserted int) {
	d.launch("inserttokens", "inserttokens_"+t.String(), items(count, (tokens+inserted)*n), Dim{X: 256}, 0,
		P(y), P(x), P(inserts), I(count), U64(uint64(tokens*n)), U64(uint64(at*n)), U64(uint64(inserted*n)))
}

// InsertTokensBackward computes dx (count, tokens, n), or adds to it, and adds to dinserts (inserted, n), float32, from dy (count, tokens+inserted, n). Either
// may be 0: not wanted.
func (d *Device) InsertTokensBackward(dx, dinserts, dy Ptr, t Type, count, tokens, n, at, inserted int, add bool) {
	if dx != 0 {
		d.RemoveTokensForward(dx, dy, t, count, tokens+inserted, n, at, inserted, add)
	}
	if dinserts != 0 {
		d.SumRows(dinserts, dy.Add(at*n, t), t, count, inserted*n, (tokens+inserted)*n)
	}
}
