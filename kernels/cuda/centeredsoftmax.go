package cuda

// CenteredSoftmaxForward computes the softmax of scale·(x − center) over rows of n columns: y may be x; center (n) and scale (1) are float32. Of each row it
// also writes the entropy −Σ y·ln y (float32) and the index of the first of its largest elements (int32), and it sets used[index] to 1, in n
// float32 that are 0 or 1: each of the three may be 0, not wanted.
func (d *Device) CenteredSoftmaxForward(y, x, center, scale, entropy, index, used Ptr, rows, n int, t Type) {
	d.launch("centeredsoftmax", "centeredsoftmax_forward_"+t.String(), Dim{X: rows}, rowThreads(n), 0,
		P(y), P(x), P(center), P(scale), P(entropy), P(index), P(used), I(n))
}
