package autograd

import "github.com/godino-ml/godino/tensor"

// PrototypeCrossEntropy is the cross-entropy of the logits of Prototypes(z, v, g) with soft targets, summed over pairs of rows:
//
//	loss = weight · Σ_r Σ_{i∈pairs[r]} −Σ_k target[i, k]·log softmax(scale·logits[r])[k]
//
// z (R, D), v (K, D), g (K, 1), target (T, K), pairs the rows of target that each row of z is compared with; loss has one element. scale is
// the inverse temperature. target needs no gradient; target and pairs are kept until Backward. On a CPU the logits are never whole in
// memory: neither they nor w nor their gradients.
func (t *Tape) PrototypeCrossEntropy(z, v, g *Var, target *tensor.Tensor, pairs *tensor.Pairs, scale, weight float32) *Var {
	loss := t.outputFloat32([]int{1}, z, v, g)
	n := z.Value.Rows()
	perRow, lse, targetSum := t.arena.NewFloat32(n), t.arena.NewFloat32(n), t.arena.NewFloat32(target.Rows())
	kept := tensor.PrototypeCrossEntropyForward(t.arena, perRow, lse, targetSum, z.Value, v.Value, g.Value, target, pairs, scale)
	tensor.SumTo(loss.Value, perRow, float64(weight))
	t.keeps(loss, z, v, g)
	t.undoes(loss, func(dloss *tensor.Tensor) {
		// loss = weight · Σ_r Σ_{i∈pairs[r]} Σ_k target[i, k]·(lse[r] − scale·z[r]·w[k])
		dg := t.sum(g)
		dv, addV := t.grad(v)
		dz, addZ := t.grad(z)
		tensor.PrototypeCrossEntropyBackward(t.arena, kept, dz, dv, dg, z.Value, v.Value, g.Value, target, lse, targetSum, pairs, scale, weight, dloss, addZ, addV)
	})
	return loss
}
