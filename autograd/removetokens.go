package autograd

import "github.com/godino-ml/godino/tensor"

// RemoveTokens leaves count tokens of every image of x (B, N, D) out, from its token at: (B, N−count, D).
func (t *Tape) RemoveTokens(x *Var, at, count int) *Var {
	s := x.Value.Shape()
	if len(s) != 3 || count > s[1] {
		panic(&tensor.ShapeError{Op: "RemoveTokens", Shapes: [][]int{s}, Want: "x (B, N, D), count <= N"})
	}
	y := t.output([]int{s[0], s[1] - count, s[2]}, x)
	tensor.RemoveTokensForward(y.Value, x.Value, at, count)
	t.undoes(y, func(dy *tensor.Tensor) {
		// y = [x[:at] | x[at+count:]]
		dx, add := t.grad(x)
		tensor.RemoveTokensBackward(dx, dy, at, count, add)
	})
	return y
}
