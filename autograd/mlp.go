package autograd

import "github.com/godino-ml/godino/tensor"

// MLP is the MLP of a transformer's block with its residual connection, over the leading dimension:
//
//	y[b] = residual[b] + scale[b]·(gelu(x[b]·w1ᵀ + b1)·w2ᵀ + b2)
//
// x (…, C), w1 (hidden, C), b1 (hidden), w2 (out, hidden), b2 (out), y and residual (…, out). A nil residual is none; a nil scale is all
// ones, and it is kept until Backward.
func (t *Tape) MLP(x, w1, b1, w2, b2, residual *Var, scale *tensor.Tensor) *Var {
	y := t.output(t.withCols(x.Value, w2.Value.Dim(0)), x, w1, b1, w2, b2, residual)
	a := t.memory(y, t.withCols(x.Value, w1.Value.Dim(0))...)
	if !y.needsGrad {
		tensor.MLPForward(y.Value, a, nil, x.Value, w1.Value, b1.tensor(), w2.Value, b2.tensor(), residual.tensor(), scale)
		t.arena.Free(a)
		return y
	}
	h := t.memory(y, a.Shape()...)
	tensor.MLPForward(y.Value, a, h, x.Value, w1.Value, b1.tensor(), w2.Value, b2.tensor(), residual.tensor(), scale)
	t.arena.Free(a)
	t.keeps(y, x, w1, w2)
	t.undoes(y, func(dy *tensor.Tensor) {
		// h = x·w1ᵀ + b1; a = gelu(h); y = residual + scale·(a·w2ᵀ + b2)
		branch := t.scaled(y, scale)
		db1, db2 := t.sum(b1), t.sum(b2)
		dw2, addW2 := t.grad(w2)
		dw1, addW1 := t.grad(w1)
		dx, addX := t.grad(x)
		a := t.memory(y, h.Shape()...)
		tensor.MLPBackward(dx, dw1, db1, dw2, db2, branch, x.Value, a, h, w1.Value, w2.Value, addX, addW1, addW2)
		t.free(branch, dy)
		t.arena.Free(a)
		t.arena.Free(h)
		if residual != nil {
			t.pass(residual, y)
		}
	})
	return y
}
