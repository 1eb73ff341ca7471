package cuda

// ResidualSamples computes y = x, and y[samples[i]] = x[samples[i]] + scale·branch[i], for all samples of n elements each, of which count have a branch. x may be
// 0: zeros; y may be x. samples (count) are int32, in ascending order.
func (d *Device) ResidualSamples(y, x, branch Ptr, t Type, samples Ptr, scale float32, count, all, n int) {
	d.launch("residualsamples", "residualsamples_"+t.String(), items(all, n), Dim{X: 256}, 0,
		P(y), P(x), P(branch), P(samples), I(count), I(all), U64(uint64(n)), F(scale))
}
