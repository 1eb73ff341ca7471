package autograd

import "github.com/godino-ml/godino/tensor"

// InsertTokens puts the same tokens (1, R, D) into every image's x (B, N, D), before its token at: (B, N+R, D).
func (t *Tape) InsertTokens(x, tokens *Var, at int) *Var {
	s := x.Value.Shape()
	if len(s) != 3 {
		panic(&tensor.ShapeError{Op: "InsertTokens", Shapes: [][]int{s, tokens.Value.Shape()}, Want: "x (B, N, D)"})
	}
	count := tokens.Value.Rows()
	y := t.output([]int{s[0], s[1] + count, s[2]}, x, tokens)
	tensor.InsertTokensForward(y.Value, x.Value, tokens.Value, at)
	t.undoes(y, func(dy *tensor.Tensor) {
		// y = [x[:at] | tokens | x[at:]]
		dtokens := t.sum(tokens)
		dx, add := t.grad(x)
		tensor.InsertTokensBackward(dx, dtokens, dy, at, count, add)
	})
	return y
}
