package tensor

// SoftCrossEntropyForward computes the cross-entropy of rows of logits with soft targets,
//
//	loss[r] = −Σ_{i ∈ rows[r]} Σ_k target[i,k]·logsoftmax(scale·logits[r])[k],
//
// for scale > 0 (the inverse of a temperature). logits (R, K), target (T, K), loss (R), lse (R): the logarithm of Σ exp(scale·logits[r]),
// kept for the backward. rows[r] lists the rows of target that row r is compared with; it may be empty.
func SoftCrossEntropyForward(loss, lse, logits, target *Tensor, rows [][]int, scale float32) {
	n := checkSoftCrossEntropy("SoftCrossEntropyForward", logits, target, rows, loss, lse)
	k := logits.dev.kernels
	logits.dev.runRows(len(rows), n, func(from, to int) {
		for r := from; r < to; r++ {
			z := logits.data[r*n : (r+1)*n]
			lse.data[r] = k.LogSumExp(z, scale)
			var sum float32
			for _, i := range rows[r] {
				sum += k.SoftCrossEntropyForward(z, target.data[i*n:(i+1)*n], scale, lse.data[r])
			}
			loss.data[r] = sum
		}
	})
}

// SoftCrossEntropyBackward computes the gradient of weight·Σ loss[r] by logits, or adds it to dlogits. The target has no gradient.
func SoftCrossEntropyBackward(dlogits, logits, target, lse *Tensor, rows [][]int, scale, weight float32, add bool) {
	n := checkSoftCrossEntropy("SoftCrossEntropyBackward", logits, target, rows, lse, lse)
	check(SameShape(dlogits, logits), "SoftCrossEntropyBackward", "dlogits and logits of the same shape", dlogits, logits)
	dev, k := logits.dev, logits.dev.kernels
	targetSum := dev.scratch(target.Rows())
	dev.runRows(target.Rows(), n, func(from, to int) {
		for i := from; i < to; i++ {
			targetSum[i] = k.Sum(target.data[i*n : (i+1)*n])
		}
	})
	w := weight * scale
	dev.runRows(len(rows), n, func(from, to int) {
		for r := from; r < to; r++ {
			dz, z := dlogits.data[r*n:(r+1)*n], logits.data[r*n:(r+1)*n]
			clearUnless(add, dz)
			var sum float32
			for _, i := range rows[r] {
				sum += targetSum[i]
			}
			for j, i := range rows[r] {
				t := target.data[i*n : (i+1)*n]
				if j == 0 {
					k.SoftCrossEntropyBackward(dz, z, t, scale, lse.data[r], sum, w)
				} else {
					k.AddScaled(dz, t, -w)
				}
			}
		}
	})
	dev.release(targetSum)
}

func checkSoftCrossEntropy(op string, logits, target *Tensor, rows [][]int, loss, lse *Tensor) (cols int) {
	n := logits.Cols()
	ok := target.Cols() == n && logits.Rows() == len(rows) && loss.Len() == len(rows) && lse.Len() == len(rows)
	for _, list := range rows {
		for _, i := range list {
			ok = ok && i >= 0 && i < target.Rows()
		}
	}
	check(ok, op, "logits (R,K), target (T,K), loss (R), lse (R), R lists of rows below T", logits, target, loss, lse)
	return n
}
