package cuda

// SelectSamples computes y[i] = scale·x[samples[i]], or adds it to y[i], for count samples of n elements each. samples (count) are int32.
func (d *Device) SelectSamples(y, x Ptr, t Type, samples Ptr, scale float32, count, n int, add bool) {
	d.launch("selectsamples", "selectsamples_"+t.String(), items(count, n), Dim{X: 256}, 0,
		P(y), P(x), P(samples), I(count), U64(uint64(n)), F(scale), Flag(add))
}
