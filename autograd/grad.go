package autograd

import "github.com/godino-ml/godino/tensor"

// Memory of gradients. The first gradient that reaches a Var overwrites a tensor lent by the arena; further ones are added to it; when the
// operation that made the Var has been undone, nothing can reach it any more and the tensor goes back. Operations whose gradient is dy itself
// share it instead of copying: a loan counts the Vars that hold a tensor, and one that must add to it while others read it takes a copy first.

// grad is the tensor that a backward writes x's gradient to, and whether it must add to it: an intermediate Var's first gradient
// overwrites undefined memory, and so does a parameter's after ZeroGrad. It is nil when x needs none. An operation asks for its gradients in
// the order in which it writes them, after those that it asks sum for: then it may get the same Var twice.
func (t *Tape) grad(x *Var) (dx *tensor.Tensor, add bool) {
	if x == nil || !x.needsGrad {
		return nil, false
	}
	if x.Grad == nil {
		if x.cleared != nil {
			x.Grad, x.cleared = x.cleared, nil
		} else {
			t.lend(x)
		}
		return x.Grad, false
	}
	if x.loan != nil && x.loan.holders > 1 {
		shared := x.Grad
		x.loan.holders--
		t.lend(x)
		tensor.Copy(x.Grad, shared)
	}
	return x.Grad, true
}

// sum is grad for operations that can only add, as those of weights.
func (t *Tape) sum(x *Var) *tensor.Tensor {
	dx, add := t.grad(x)
	if dx != nil && !add {
		dx.Zero()
	}
	return dx
}

// add adds dx to x's gradient.
func (t *Tape) add(x *Var, dx *tensor.Tensor) {
	to, add := t.grad(x)
	switch {
	case to == nil:
	case add:
		tensor.AddForward(to, to, dx)
	default:
		tensor.Copy(to, dx)
	}
}

// pass adds y's gradient to x's. If it is x's first, both share it.
func (t *Tape) pass(x, y *Var) {
	if !x.needsGrad {
		return
	}
	if x.Grad != nil || x.cleared != nil || y.loan == nil {
		t.add(x, y.Grad)
		return
	}
	x.Grad, x.loan = y.Grad, y.loan
	x.loan.holders++
	t.borrowers = append(t.borrowers, x)
}

func (t *Tape) lend(x *Var) {
	if x.float32() {
		x.Grad = t.statistics(x, x.Shape()...)
	} else {
		x.Grad = t.memory(x, x.Shape()...)
	}
	x.loan = t.loans.next()
	x.loan.holders = 1
	t.borrowers = append(t.borrowers, x)
}

// release ends y's part in its gradient.
func (t *Tape) release(y *Var) {
	if y.loan != nil {
		y.loan.holders--
		if y.loan.holders == 0 {
			t.arena.Free(y.Grad)
		}
	}
	y.Grad, y.loan = nil, nil
}
