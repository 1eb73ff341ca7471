package nn

import (
	"fmt"

	"github.com/godino-ml/godino/autograd"
	"github.com/godino-ml/godino/tensor"
)

// VisionTransformer is the backbone (Dosovitskiy et al. 2021): patches to tokens, a class token before them, a position embedding added,
// blocks of attention and MLP, a last norm. Its methods only read it, so that several goroutines may evaluate one model, each on a tape of
// its own.
//
// Letters of the shapes below: B images, N patches, R registers, D dimensions of a token. Registers take part in the attention of every block;
// no output shows them.
type VisionTransformer struct {
	ClassToken Param // cls_token (1, 1, D)
	Registers  Param // register_tokens (1, R, D); without a Var if the model has none
	PatchEmbed PatchEmbed
	Blocks     []*Block
	Norm       LayerNorm

	config ViTConfig
	pos    posEmbed
}

// NewVisionTransformer makes a model with fresh weights: linear weights, class token and position embedding N(0, 0.02²), linear biases 0, norms
// 1 and 0, patch embedding uniform within ±1/√(3P²). The same seed gives the same weights. It panics on a configuration that
// ViTConfig.Validate refuses.
func NewVisionTransformer(dev *tensor.Device, c ViTConfig, seed uint64) *VisionTransformer {
	if err := c.Validate(); err != nil {
		panic("nn: NewVisionTransformer: " + err.Error())
	}
	c = c.withDefaults()
	in := initializer{dev, seed}
	grid := c.ImageSize / c.PatchSize
	m := &VisionTransformer{
		ClassToken: in.normal("cls_token", linearStd, 1, 1, c.Dim),
		PatchEmbed: newPatchEmbed(in, "patch_embed", c.PatchSize, c.Dim),
		Norm:       newLayerNorm(in, "norm", c.Dim, c.LayerNormEps),
		config:     c,
	}
	m.pos.param = in.normal("pos_embed", linearStd, 1, grid*grid+1, c.Dim)
	m.pos.grid, m.pos.offset, m.pos.antialias = grid, *c.InterpolateOffset, c.InterpolateAntialias
	if c.Registers > 0 {
		m.Registers = in.normal("register_tokens", registerStd, 1, c.Registers, c.Dim)
	}
	for i := range c.Depth {
		m.Blocks = append(m.Blocks, newBlock(in, fmt.Sprintf("blocks.%d", i), c, i))
	}
	return m
}

// registerStd is the standard deviation of the registers at the start, as DINOv2 has it.
const registerStd = 1e-6

// Config is the model's shape, defaults filled in.
func (m *VisionTransformer) Config() ViTConfig { return m.config }

// Params are all parameters in the order of the reference's state dict, by its names.
func (m *VisionTransformer) Params() []Param {
	params := []Param{m.ClassToken, m.pos.param}
	if m.Registers.Var != nil {
		params = append(params, m.Registers)
	}
	params = append(params, m.PatchEmbed.Proj.Weight, m.PatchEmbed.Proj.Bias)
	for _, b := range m.Blocks {
		params = append(params, b.params()...)
	}
	return append(params, m.Norm.Weight, m.Norm.Bias)
}

// Forward maps images x (B, 3, H, W) of any size from one patch up to their features (B, D): the normalised class token. Pixels right of and
// below the last whole patch are not seen. Drop path is on in training alone; drop is nil elsewhere.
func (m *VisionTransformer) Forward(t *autograd.Tape, x *autograd.Var, drop *DropPath) *autograd.Var {
	tokens := m.embed(t, x)
	last := len(m.Blocks) - 1
	for _, b := range m.Blocks[:last] {
		tokens = b.Forward(t, tokens, drop)
	}
	class := m.Blocks[last].ForwardClass(t, tokens, drop)
	y := m.Norm.Forward(t, class)
	t.Done(class)
	return y
}

// Tokens maps images x (B, 3, H, W) to all normalised tokens (B, N+1, D), the class token first.
func (m *VisionTransformer) Tokens(t *autograd.Tape, x *autograd.Var, drop *DropPath) *autograd.Var {
	tokens := m.embed(t, x)
	for _, b := range m.Blocks {
		tokens = b.Forward(t, tokens, drop)
	}
	tokens = m.withoutRegisters(t, tokens)
	y := m.Norm.Forward(t, tokens)
	t.Done(tokens)
	return y
}

// IntermediateLayers are the outputs of the last n blocks, first block first, each through the last norm: (B, N+1, D).
func (m *VisionTransformer) IntermediateLayers(t *autograd.Tape, x *autograd.Var, n int) []*autograd.Var {
	if n < 1 || n > len(m.Blocks) {
		panic(fmt.Sprintf("nn: IntermediateLayers of the last %d of %d blocks", n, len(m.Blocks)))
	}
	tokens := m.embed(t, x)
	var layers []*autograd.Var
	for i, b := range m.Blocks {
		tokens = b.Forward(t, tokens, nil)
		if i >= len(m.Blocks)-n {
			y := m.Norm.Forward(t, tokens)
			layers = append(layers, m.withoutRegisters(t, y))
		}
	}
	t.Done(tokens)
	return layers
}

// LastSelfAttention are the attention weights of the last block (B, heads, N+1, N+1): row 0 of a head is what the class token looks at. What
// goes to registers is left out, so that with them rows sum to less than 1. The tensor is lent by the tape's arena.
func (m *VisionTransformer) LastSelfAttention(t *autograd.Tape, x *autograd.Var) *tensor.Tensor {
	tokens := m.embed(t, x)
	last := len(m.Blocks) - 1
	for _, b := range m.Blocks[:last] {
		tokens = b.Forward(t, tokens, nil)
	}
	h := m.Blocks[last].Norm1.Forward(t, tokens)
	p := m.Blocks[last].Attn.Weights(t, h)
	t.Done(tokens, h)
	if r := m.config.Registers; r > 0 {
		return attentionWithoutRegisters(t, p, r)
	}
	return p
}

// attentionWithoutRegisters copies attention weights p (B, heads, 1+R+N, 1+R+N) without the rows and columns of registers.
func attentionWithoutRegisters(t *autograd.Tape, p *tensor.Tensor, registers int) *tensor.Tensor {
	b, heads, n := p.Dim(0), p.Dim(1), p.Dim(2)
	m := n - registers
	x, all := make([]float32, b*heads*m*m), p.Floats()
	for i := range b * heads {
		to, from := x[i*m*m:][:m*m], all[i*n*n:][:n*n]
		for row := range m {
			source := row
			if row > 0 {
				source += registers
			}
			to[row*m] = from[source*n]
			copy(to[row*m+1:(row+1)*m], from[source*n+1+registers:(source+1)*n])
		}
	}
	t.Arena().Free(p)
	y := t.Arena().New(b, heads, m, m)
	y.SetFloats(x)
	return y
}

// PosEmbed is the position embedding as it is added for images of h×w pixels: (1, N+1, D).
func (m *VisionTransformer) PosEmbed(t *autograd.Tape, h, w int) *autograd.Var {
	rows, cols := m.grid(h, w)
	pos, _ := m.pos.forward(t, h, w, rows, cols)
	return pos
}

// embed maps images (B, 3, H, W) to the tokens that the first block gets (B, 1+R+N, D).
func (m *VisionTransformer) embed(t *autograd.Tape, x *autograd.Var) *autograd.Var {
	s := x.Value.Shape()
	if len(s) != 4 || s[1] != channels {
		panic(&tensor.ShapeError{Op: "VisionTransformer", Shapes: [][]int{s}, Want: "images (B, 3, H, W)"})
	}
	h, w := s[2], s[3]
	rows, cols := m.grid(h, w)
	patches := m.PatchEmbed.Forward(t, x)
	pos, made := m.pos.forward(t, h, w, rows, cols)
	tokens := t.ConcatTokens(m.ClassToken.Var, patches, pos)
	t.Done(patches)
	if made {
		t.Done(pos)
	}
	if m.Registers.Var == nil {
		return tokens
	}
	all := t.InsertTokens(tokens, m.Registers.Var, 1)
	t.Done(tokens)
	return all
}

// withoutRegisters is tokens (B, 1+R+N, D) without the registers: (B, N+1, D). It ends the use of tokens if there are any.
func (m *VisionTransformer) withoutRegisters(t *autograd.Tape, tokens *autograd.Var) *autograd.Var {
	if m.Registers.Var == nil {
		return tokens
	}
	y := t.RemoveTokens(tokens, 1, m.config.Registers)
	t.Done(tokens)
	return y
}

// grid is how many rows and columns of patches an image of h×w pixels has.
func (m *VisionTransformer) grid(h, w int) (rows, cols int) {
	rows, cols = h/m.config.PatchSize, w/m.config.PatchSize
	if rows == 0 || cols == 0 {
		panic(&tensor.ShapeError{Op: "VisionTransformer", Shapes: [][]int{{h, w}, {m.config.PatchSize, m.config.PatchSize}}, Want: "images of at least one patch"})
	}
	return rows, cols
}
