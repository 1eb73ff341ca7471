package kernels

// softCrossEntropyForward: −Σ target[i]·(scale·logits[i] − logSumExp), the cross-entropy of one row of logits with one soft target, where
// logSumExp is that of scale·logits.
func softCrossEntropyForward(logits, target []float32, scale, logSumExp float32) float32 {
	var s float64
	for i, v := range logits {
		s -= float64(target[i]) * float64(scale*v-logSumExp)
	}
	return float32(s)
}

// softCrossEntropyBackward: dlogits[i] += w·(targetSum·exp(scale·logits[i] − logSumExp) − target[i]). It is the gradient of w/scale times the
// forward if targetSum is Σ target[i]. A row that has several targets gives the sum over all of them here, once, with the first, so that
// exp is computed once, and adds the other targets with AddScaled.
func softCrossEntropyBackward(dlogits, logits, target []float32, scale, logSumExp, targetSum, w float32) {
	for i, v := range logits {
		dlogits[i] += w * (targetSum*exp(scale*v-logSumExp) - target[i])
	}
}
