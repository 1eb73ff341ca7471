package autograd

import (
	"slices"

	"github.com/godino-ml/godino/tensor"
)

// ConcatRows puts Vars one after the other along their leading dimension.
func (t *Tape) ConcatRows(xs ...*Var) *Var {
	if len(xs) == 0 || len(xs[0].Value.Shape()) == 0 {
		panic(&tensor.ShapeError{Op: "ConcatRows", Want: "at least one tensor of at least one dimension"})
	}
	shape := slices.Clone(xs[0].Value.Shape())
	values := make([]*tensor.Tensor, len(xs))
	shape[0] = 0
	for i, x := range xs {
		values[i] = x.Value
		if len(x.Value.Shape()) > 0 { // ConcatRowsForward reports the others
			shape[0] += x.Value.Dim(0)
		}
	}
	y := t.output(shape, xs...)
	tensor.ConcatRowsForward(y.Value, values...)
	t.undoes(y, func(dy *tensor.Tensor) {
		// y = [x0; x1; …]
		from := 0
		for _, x := range xs {
			rows := x.Shape()[0]
			t.add(x, dy.Slice(from, from+rows))
			from += rows
		}
	})
	return y
}
