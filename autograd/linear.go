package autograd

import "github.com/godino-ml/godino/tensor"

// Linear is y = x·wᵀ + b. x (…, in), w (out, in) or, as a convolution's, (out, …) of in elements a row; b (out), or nil for none; y (…, out).
func (t *Tape) Linear(x, w, b *Var) *Var {
	y := t.output(t.withCols(x.Value, w.Value.Dim(0)), x, w, b)
	tensor.LinearForward(y.Value, x.Value, matrix(w.Value), b.tensor())
	t.keeps(y, x, w)
	t.undoes(y, func(dy *tensor.Tensor) {
		// y = x·wᵀ + b
		db := t.sum(b)
		dx, addX := t.grad(x)
		dw, addW := t.grad(w)
		tensor.LinearBackward(dx, matrix(dw), db, dy, x.Value, matrix(w.Value), addX, addW)
	})
	return y
}

// matrix is w with all dimensions but the first as one.
func matrix(w *tensor.Tensor) *tensor.Tensor {
	if w == nil || len(w.Shape()) == 2 {
		return w
	}
	return w.View(w.Dim(0), w.Len()/max(w.Dim(0), 1))
}

// withCols is x's shape with another last dimension, until the next call.
func (t *Tape) withCols(x *tensor.Tensor, cols int) []int {
	t.shape = append(t.shape[:0], x.Shape()...)
	t.shape[len(t.shape)-1] = cols
	return t.shape
}
