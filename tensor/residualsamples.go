package tensor

import "slices"

// ResidualSamples computes y = x, and y[samples[i]] = x[samples[i]] + scale·branch[i]: a residual connection whose branch was computed for
// some samples alone, see [SelectSamples]. A nil x is zeros; y may be x. samples are in ascending order.
func ResidualSamples(y, x, branch *Tensor, samples []int, scale float32) {
	n := checkSamples("ResidualSamples", y, branch, samples)
	check(x == nil || SameShape(y, x), "ResidualSamples", "y and x of the same shape", y, x)
	if g := y.dev.gpu; g != nil {
		g.ResidualSamples(y.ptr, x.at(y.typ), branch.at(y.typ), y.typ, y.dev.indices(samples), scale, len(samples), y.shape[0], n)
		return
	}
	y.dev.Run(y.shape[0], func(b, _ int) {
		to := y.data[b*n : (b+1)*n]
		if x == nil {
			clear(to)
		} else {
			copy(to, x.data[b*n:])
		}
		if i, ok := slices.BinarySearch(samples, b); ok {
			y.dev.kernels.AddScaled(to, branch.data[i*n:(i+1)*n], scale)
		}
	})
}
