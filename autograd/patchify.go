package autograd

import "github.com/godino-ml/godino/tensor"

// Patchify lays out the patch×patch squares of images as rows: x (B, C, H, W) to y (B, ⌊H/patch⌋·⌊W/patch⌋, C·patch²).
func (t *Tape) Patchify(x *Var, patch int) *Var {
	s := x.Value.Shape()
	if len(s) != 4 || patch <= 0 {
		panic(&tensor.ShapeError{Op: "Patchify", Shapes: [][]int{s, {patch}}, Want: "images (B, C, H, W), a patch size > 0"})
	}
	y := t.output([]int{s[0], (s[2] / patch) * (s[3] / patch), s[1] * patch * patch}, x)
	tensor.PatchifyForward(y.Value, x.Value, patch)
	t.undoes(y, func(dy *tensor.Tensor) {
		// y[b, i·cols+j, (c·P+u)·P+v] = x[b, c, i·P+u, j·P+v]
		dx, add := t.grad(x)
		tensor.PatchifyBackward(dx, dy, patch, add)
	})
	return y
}
