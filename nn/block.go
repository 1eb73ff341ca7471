package nn

import "github.com/godino-ml/godino/autograd"

// Block is one layer of the transformer, with the norms before the branches:
//
//	x = x + attention(norm1(x));  x = x + mlp(norm2(x))
//
// With LayerScale, the channels of each branch are multiplied by factors that are learned.
type Block struct {
	Norm1 LayerNorm
	Attn  Attention
	Norm2 LayerNorm
	MLP   MLP

	// Factors of the branches' channels, ls1.gamma and ls2.gamma (D); without a Var if the model has none.
	Scale1, Scale2 Param

	dropRate float64
	index    int
}

func newBlock(in initializer, name string, c ViTConfig, index int) *Block {
	b := &Block{
		Norm1:    newLayerNorm(in, name+".norm1", c.Dim, c.LayerNormEps),
		Attn:     newAttention(in, name+".attn", c.Dim, c.Heads),
		Norm2:    newLayerNorm(in, name+".norm2", c.Dim, c.LayerNormEps),
		MLP:      newMLP(in, name+".mlp", c.Dim, c.hidden()),
		dropRate: c.dropRate(index),
		index:    index,
	}
	if c.LayerScale > 0 {
		b.Scale1 = in.constant(name+".ls1.gamma", float32(c.LayerScale), c.Dim)
		b.Scale2 = in.constant(name+".ls2.gamma", float32(c.LayerScale), c.Dim)
	}
	return b
}

// Forward maps tokens x (B, N, C) to the same shape. It ends the use of x (see autograd.Tape.Done).
func (b *Block) Forward(t *autograd.Tape, x *autograd.Var, drop *DropPath) *autograd.Var {
	h := b.Norm1.Forward(t, x)
	a := b.Attn.heads(t, h)
	t.Done(h)
	y := b.rest(t, x, a, drop)
	t.Done(x)
	return y
}

// ForwardClass is the class token (B, C) of Forward. Once the heads have gathered, every token goes its own way: the others need not be
// computed when nobody looks at them, as after the last block. It ends the use of x.
func (b *Block) ForwardClass(t *autograd.Tape, x *autograd.Var, drop *DropPath) *autograd.Var {
	h := b.Norm1.Forward(t, x)
	a := b.Attn.heads(t, h)
	class, x0 := t.SelectToken(a, 0), t.SelectToken(x, 0)
	t.Done(h, a, x)
	y := b.rest(t, x0, class, drop)
	t.Done(x0)
	return y
}

// rest is the block after the heads of its attention have gathered a, whose use it ends.
func (b *Block) rest(t *autograd.Tape, x, a *autograd.Var, drop *DropPath) *autograd.Var {
	n := x.Value.Dim(0)
	keep := drop.scale(t, b.dropRate, b.index, attentionBranch, n)
	var mid *autograd.Var
	if b.Scale1.Var == nil {
		mid = b.Attn.Proj.addTo(t, x, a, keep)
	} else {
		mid = addScaled(t, x, b.Attn.Proj.Forward(t, a), b.Scale1, keep)
	}
	t.Done(a)
	h := b.Norm2.Forward(t, mid)
	keep = drop.scale(t, b.dropRate, b.index, mlpBranch, n)
	var y *autograd.Var
	if b.Scale2.Var == nil {
		y = b.MLP.addTo(t, mid, h, keep)
	} else {
		y = addScaled(t, mid, b.MLP.Forward(t, h), b.Scale2, keep)
	}
	t.Done(h, mid)
	return y
}

// addScaled is x + keep·gamma·branch with LayerScale's gamma and drop path's keep. It ends the use of branch.
func addScaled(t *autograd.Tape, x, branch *autograd.Var, gamma Param, keep []float32) *autograd.Var {
	scaled := t.LayerScale(branch, gamma.Var)
	t.Done(branch)
	y := t.Residual(x, scaled, keep)
	t.Done(scaled)
	return y
}

func (b *Block) params() []Param {
	params := []Param{b.Norm1.Weight, b.Norm1.Bias, b.Attn.QKV.Weight, b.Attn.QKV.Bias, b.Attn.Proj.Weight, b.Attn.Proj.Bias}
	if b.Scale1.Var != nil {
		params = append(params, b.Scale1)
	}
	params = append(params, b.Norm2.Weight, b.Norm2.Bias, b.MLP.FC1.Weight, b.MLP.FC1.Bias, b.MLP.FC2.Weight, b.MLP.FC2.Bias)
	if b.Scale2.Var != nil {
		params = append(params, b.Scale2)
	}
	return params
}
