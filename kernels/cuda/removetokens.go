package cuda

// RemoveTokensForward copies the tokens of x (count, tokens, n) but the removed from at on to y (count, tokens−removed, n), or adds them.
func (d *Device) RemoveTokensForward(y, x Ptr, t Type, count, tokens, n, at, removed int, add bool) {
	d.launch("removetokens", "removetokens_forward_"+t.String(), items(count, (tokens-removed)*n), Dim{X: 256}, 0,
		P(y), P(x), I(count), U64(uint64((tokens-removed)*n)), U64(uint64(at*n)), U64(uint64(removed*n)), Flag(add))
}

// RemoveTokensBackward copies dy (count, tokens−removed, n) to dx (count, tokens, n), with zero for the tokens that were left out, or adds it.
func (d *Device) RemoveTokensBackward(dx, dy Ptr, t Type, count, tokens, n, at, removed int, add bool) {
	d.launch("removetokens", "removetokens_backward_"+t.String(), items(count, tokens*n), Dim{X: 256}, 0,
		P(dx), P(dy), I(count), U64(uint64((tokens-removed)*n)), U64(uint64(at*n)), U64(uint64(removed*n)), Flag(add))
}
