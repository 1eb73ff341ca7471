package cuda

// EntropyForward computes h[r] = −Σ p·ln p, in nats, of rows of probabilities p (rows, n); h (rows) is float32.
func (d *Device) EntropyForward(h, p Ptr, t Type, rows, n int) {
	d.launch("entropy", "entropy_"+t.String(), Dim{X: rows}, rowThreads(n), 0, P(h), P(p), I(n))
}
