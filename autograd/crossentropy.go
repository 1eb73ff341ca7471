package autograd

import "github.com/godino-ml/godino/tensor"

// CrossEntropy is the cross-entropy of logits (R, C) with classes labels (R), summed over rows:
//
//	loss = weight · Σ_r −Σ_k t[r,k]·log softmax(logits[r])[k],  t = (1−smoothing)·(k = labels[r]) + smoothing/C
//
// loss has one element. labels are kept until Backward.
func (t *Tape) CrossEntropy(logits *Var, labels []int, smoothing, weight float64) *Var {
	loss := t.outputFloat32([]int{1}, logits)
	perRow, logp := t.arena.NewFloat32(logits.Value.Rows()), t.arena.New(logits.Value.Shape()...)
	tensor.CrossEntropyForward(perRow, logp, logits.Value, labels, smoothing)
	tensor.SumTo(loss.Value, perRow, weight)
	t.undoes(loss, func(dloss *tensor.Tensor) {
		// loss = weight · Σ_r −Σ_k t[r,k]·logp[r,k]
		dlogits, add := t.grad(logits)
		tensor.CrossEntropyBackward(dlogits, logp, labels, smoothing, weight, dloss, add)
	})
	return loss
}
