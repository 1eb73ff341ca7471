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
	a, paths := b.gather(t, x, drop)
	mid := b.addHeads(t, x, a, paths)
	t.Done(x)
	return b.addMLP(t, mid, drop)
}

// ForwardClass is the class token (B, C) of Forward. Once the heads have gathered, every token goes its own way: the others need not be
// computed when nobody looks at them, as after the last block. It ends the use of x.
func (b *Block) ForwardClass(t *autograd.Tape, x *autograd.Var, drop *DropPath) *autograd.Var {
	a, paths := b.gather(t, x, drop)
	class, x0 := t.SelectToken(a, 0), t.SelectToken(x, 0)
	t.Done(a, x)
	mid := b.addHeads(t, x0, class, paths)
	t.Done(x0)
	return b.addMLP(t, mid, drop)
}

// gather is what the heads of the attention gather for the samples that take its branch, (b, N, C).
func (b *Block) gather(t *autograd.Tape, x *autograd.Var, drop *DropPath) (*autograd.Var, paths) {
	p := drop.paths(t, b.dropRate, b.index, attentionBranch, x.Value.Dim(0))
	in := p.of(t, x)
	h := b.Norm1.Forward(t, in)
	a := b.Attn.heads(t, h)
	t.Done(h)
	if in != x {
		t.Done(in)
	}
	return a, p
}

// addHeads adds the attention's branch to x, from what its heads have gathered, a, whose use it ends.
func (b *Block) addHeads(t *autograd.Tape, x, a *autograd.Var, p paths) *autograd.Var {
	var y *autograd.Var
	if p.some() || b.Scale1.Var != nil {
		y = add(t, x, b.Attn.Proj.Forward(t, a), b.Scale1, p)
	} else {
		y = b.Attn.Proj.addTo(t, x, a, p.scales(t))
	}
	t.Done(a)
	return y
}

// addMLP adds the MLP's branch to x, whose use it ends.
func (b *Block) addMLP(t *autograd.Tape, x *autograd.Var, drop *DropPath) *autograd.Var {
	p := drop.paths(t, b.dropRate, b.index, mlpBranch, x.Value.Dim(0))
	in := p.of(t, x)
	h := b.Norm2.Forward(t, in)
	var y *autograd.Var
	if p.some() || b.Scale2.Var != nil {
		y = add(t, x, b.MLP.Forward(t, h), b.Scale2, p)
	} else {
		y = b.MLP.addTo(t, x, h, p.scales(t))
	}
	t.Done(h, x)
	if in != x {
		t.Done(in)
	}
	return y
}

// add is x + gamma·branch for the samples that take the branch, with LayerScale's gamma if the model has one. It ends the use of branch.
func add(t *autograd.Tape, x, branch *autograd.Var, gamma Param, p paths) *autograd.Var {
	if gamma.Var != nil {
		scaled := t.LayerScale(branch, gamma.Var)
		t.Done(branch)
		branch = scaled
	}
	var y *autograd.Var
	if p.some() {
		y = t.ResidualSamples(x, branch, p.samples, p.scale)
	} else {
		y = t.Residual(x, branch, p.scales(t))
	}
	t.Done(branch)
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
