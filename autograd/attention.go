package autograd

import "github.com/godino-ml/godino/tensor"

// Attention is y = softmax(q·kᵀ/√D)·v for every image and head. qkv (B, N, 3C) holds q, k and v one after the other, each of heads×D = C
// elements; y (B, N, C).
func (t *Tape) Attention(qkv *Var, heads int) *Var {
	s := qkv.Value.Shape()
	if len(s) != 3 || heads <= 0 || s[2]%(3*heads) != 0 {
		panic(&tensor.ShapeError{Op: "Attention", Shapes: [][]int{s, {heads}}, Want: "qkv (B, N, 3·heads·D)"})
	}
	y := t.output([]int{s[0], s[1], s[2] / 3}, qkv)
	lse := t.statistics(y, s[0], heads, s[1])
	tensor.AttentionForward(y.Value, lse, qkv.Value, heads)
	t.keeps(y, qkv, y)
	t.undoes(y, func(dy *tensor.Tensor) {
		// p = exp(q·kᵀ/√D − lse); y = p·v
		dqkv, add := t.grad(qkv)
		tensor.AttentionBackward(dqkv, dy, qkv.Value, y.Value, lse, heads, add)
	})
	return y
}
