package autograd

import "github.com/godino-ml/godino/tensor"

// InterpolatePos resizes a position embedding by a map of tensor.NewPosMap: pos (1, Grid²+1, D) to y (1, Rows·Cols+1, D).
func (t *Tape) InterpolatePos(pos *Var, m *tensor.PosMap) *Var {
	y := t.outputFloat32([]int{1, m.Rows*m.Cols + 1, pos.Value.Cols()}, pos)
	tensor.InterpolatePosForward(y.Value, pos.Value, m)
	t.undoes(y, func(dy *tensor.Tensor) {
		// y = m·pos
		tensor.InterpolatePosBackward(t.sum(pos), dy, m)
	})
	return y
}
