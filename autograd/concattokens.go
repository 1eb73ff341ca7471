package autograd

import "github.com/godino-ml/godino/tensor"

// ConcatTokens is y[b] = [cls | patches[b]] + pos. cls (1, 1, D), patches (B, N, D), pos (1, N+1, D), y (B, N+1, D).
func (t *Tape) ConcatTokens(cls, patches, pos *Var) *Var {
	s := patches.Value.Shape()
	if len(s) != 3 {
		panic(&tensor.ShapeError{Op: "ConcatTokens", Shapes: [][]int{cls.Value.Shape(), s, pos.Value.Shape()}, Want: "patches (B, N, D)"})
	}
	y := t.output([]int{s[0], s[1] + 1, s[2]}, cls, patches, pos)
	tensor.ConcatTokensForward(y.Value, cls.Value, patches.Value, pos.Value)
	t.undoes(y, func(dy *tensor.Tensor) {
		// y[b, 0] = cls + pos[0]; y[b, 1+n] = patches[b, n] + pos[1+n]
		dcls, dpos := t.sum(cls), t.sum(pos)
		dpatches, add := t.grad(patches)
		tensor.ConcatTokensBackward(dcls, dpatches, dpos, dy, add)
	})
	return y
}
