package autograd

import "github.com/godino-ml/godino/tensor"

// PrototypeCrossEntropy is the cross-entropy of the logits of Prototypes(z, v, g) with soft targets, summed over pairs of rows:
//
//	loss = weight · Σ_r Σ_{i∈rows[r]} −Σ_k target[i, k]·log softmax(scale·logits[r])[k]
//
// z (R, D), v (K, D), g (K, 1), target (T, K), rows[r] the rows of target that row r of z is compared with; loss has one element. scale is
// the inverse temperature. target needs no gradient; target and rows are kept until Backward. The logits are never whole in memory: neither
// they nor w nor their gradients.
func (t *Tape) PrototypeCrossEntropy(z, v, g *Var, target *tensor.Tensor, rows [][]int, scale, weight float32) *Var {
	loss := t.output([]int{1}, z, v, g)
	n := z.Value.Rows()
	perRow, lse, targetSum := t.arena.New(n), t.arena.New(n), t.arena.New(target.Rows())
	tensor.PrototypeCrossEntropyForward(perRow, lse, targetSum, z.Value, v.Value, g.Value, target, rows, scale)
	var sum float64
	for _, l := range perRow.Data() {
		sum += float64(l)
	}
	loss.Value.Data()[0] = float32(float64(weight) * sum)
	t.keeps(loss, z, v, g)
	t.undoes(loss, func(dloss *tensor.Tensor) {
		// loss = weight · Σ_r Σ_{i∈rows[r]} Σ_k target[i, k]·(lse[r] − scale·z[r]·w[k])
		dg := t.sum(g)
		dv, addV := t.grad(v)
		dz, addZ := t.grad(z)
		tensor.PrototypeCrossEntropyBackward(dz, dv, dg, z.Value, v.Value, g.Value, target, lse, targetSum, rows, scale, weight*dloss.Data()[0], addZ, addV)
	})
	return loss
}
