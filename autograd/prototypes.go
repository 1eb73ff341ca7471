package autograd

import "github.com/godino-ml/godino/tensor"

// Prototypes is logits = z·wᵀ, w[k] = g[k]·v[k]/‖v[k]‖: a linear layer of weights by direction and length (Salimans and Kingma 2016).
// z (R, D), v (K, D), g (K, 1), logits (R, K), float32. On a CPU w is never whole in memory.
func (t *Tape) Prototypes(z, v, g *Var) *Var {
	logits := t.outputFloat32(t.withCols(z.Value, v.Value.Dim(0)), z, v, g)
	tensor.PrototypesForward(t.arena, logits.Value, z.Value, v.Value, g.Value)
	t.keeps(logits, z, v, g)
	t.undoes(logits, func(dlogits *tensor.Tensor) {
		// logits = z·wᵀ
		dg := t.sum(g)
		dv, addV := t.grad(v)
		dz, addZ := t.grad(z)
		tensor.PrototypesBackward(t.arena, dz, dv, dg, dlogits, z.Value, v.Value, g.Value, addZ, addV)
	})
	return logits
}
