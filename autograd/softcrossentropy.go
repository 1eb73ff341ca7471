package autograd

import "github.com/godino-ml/godino/tensor"

// SoftCrossEntropy is the cross-entropy of logits with soft targets, summed over pairs of rows:
//
//	loss = weight · Σ_r Σ_{i∈rows[r]} −Σ_k target[i, k]·log softmax(scale·logits[r])[k]
//
// logits (R, K), target (M, K), rows[r] the rows of target that row r of logits is compared with; loss has one element. target needs no
// gradient. scale is the inverse temperature. target and rows are kept until Backward.
func (t *Tape) SoftCrossEntropy(logits *Var, target *tensor.Tensor, rows [][]int, scale, weight float32) *Var {
	loss := t.output([]int{1}, logits)
	perRow, lse := t.arena.New(logits.Value.Rows()), t.arena.New(logits.Value.Rows())
	tensor.SoftCrossEntropyForward(perRow, lse, logits.Value, target, rows, scale)
	var sum float64
	for _, l := range perRow.Data() {
		sum += float64(l)
	}
	loss.Value.Data()[0] = float32(float64(weight) * sum)
	t.keeps(loss, logits)
	t.undoes(loss, func(dloss *tensor.Tensor) {
		// loss = weight · Σ_r Σ_{i∈rows[r]} Σ_k target[i, k]·(lse[r] − scale·logits[r, k])
		dlogits, add := t.grad(logits)
		tensor.SoftCrossEntropyBackward(dlogits, logits.Value, target, lse, rows, scale, weight*dloss.Data()[0], add)
	})
	return loss
}
