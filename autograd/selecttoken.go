package autograd

import "github.com/godino-ml/godino/tensor"

// SelectToken is y[b] = x[b, index]. x (B, N, D), y (B, D).
func (t *Tape) SelectToken(x *Var, index int) *Var {
	s := x.Value.Shape()
	if len(s) != 3 {
		panic(&tensor.ShapeError{Op: "SelectToken", Shapes: [][]int{s}, Want: "tokens (B, N, D)"})
	}
	y := t.output([]int{s[0], s[2]}, x)
	tensor.SelectTokenForward(y.Value, x.Value, index)
	t.undoes(y, func(dy *tensor.Tensor) {
		// y[b] = x[b, index]
		dx, add := t.grad(x)
		tensor.SelectTokenBackward(dx, dy, index, add)
	})
	return y
}
