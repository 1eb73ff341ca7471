package tensor

// DropPath computes the factors of a residual branch for every sample (stochastic depth, Huang et al. 2016): scale[i] is 1/keep with probability
// keep, otherwise 0, as Uniform(seed, step, pass, block, branch, i) < keep decides. scale (B).
func DropPath(scale *Tensor, seed uint64, step *Count, pass uint64, block, branch int, keep float64) {
	if g := scale.dev.gpu; g != nil {
		g.DropPath(scale.f32(), scale.n, seed, step.at(), pass, block, branch, keep)
		return
	}
	for i := range scale.data {
		scale.data[i] = 0
		if Dropped(seed, step, pass, block, branch, i, keep) {
			continue
		}
		scale.data[i] = float32(1 / keep)
	}
}

// Dropped says whether a sample's branch is dropped, on a CPU; see DropPath.
func Dropped(seed uint64, step *Count, pass uint64, block, branch, sample int, keep float64) bool {
	return !(float64(Uniform(seed, step.value(), pass, uint64(block), uint64(branch), uint64(sample))) < keep)
}
