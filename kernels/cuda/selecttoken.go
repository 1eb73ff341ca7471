package cuda

// SelectTokenForward copies one token of every image: y[b] = x[b, index], y (count, n), x (count, tokens, n).
func (d *Device) SelectTokenForward(y, x Ptr, t Type, count, tokens, n, index int) {
	d.launch("selecttoken", "selecttoken_forward_"+t.String(), items(count, n), Dim{X: 256}, 0,
		P(y), P(x), I(count), U64(uint64(tokens*n)), U64(uint64(index*n)), I(n))
}

// SelectTokenBackward writes dy (count, n) to dx[:, index], of (count, tokens, n), and zero to the other tokens, or adds it.
func (d *Device) SelectTokenBackward(dx, dy Ptr, t Type, count, tokens, n, index int, add bool) {
	touched := tokens * n
	if add {
		touched = n
	}
	d.launch("selecttoken", "selecttoken_backward_"+t.String(), items(count, touched), Dim{X: 256}, 0,
		P(dx), P(dy), I(count), U64(uint64(tokens*n)), U64(uint64(index*n)), I(n), Flag(add))
}
