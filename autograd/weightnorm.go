package autograd

import "github.com/godino-ml/godino/tensor"

// WeightNorm is w[k] = g[k]·v[k]/‖v[k]‖: a weight by direction and length (Salimans and Kingma 2016). v, w (K, D), g (K, 1).
func (t *Tape) WeightNorm(v, g *Var) *Var {
	w := t.output(v.Value.Shape(), v, g)
	norm := t.arena.New(v.Value.Rows())
	tensor.WeightNormForward(w.Value, norm, v.Value, g.Value)
	t.keeps(w, v, g)
	t.undoes(w, func(dw *tensor.Tensor) {
		// w[k] = g[k]·v[k]/norm[k]
		dv, dg := t.sum(v), t.sum(g)
		tensor.WeightNormBackward(dv, dg, dw, v.Value, g.Value, norm)
	})
	return w
}
