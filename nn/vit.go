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
// Letters of the shapes below: B images, N patches, D dimensions of a token.
type VisionTransformer struct {
	ClassToken Param // cls_token (1, 1, D)
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
	m.pos.grid, m.pos.offset = grid, *c.InterpolateOffset
	for i := range c.Depth {
		m.Blocks = append(m.Blocks, newBlock(in, fmt.Sprintf("blocks.%d", i), c, i))
	}
	return m
}

// Config is the model's shape, defaults filled in.
func (m *VisionTransformer) Config() ViTConfig { return m.config }

// Params are all parameters in the order of the reference's state dict, by its names.
func (m *VisionTransformer) Params() []Param {
	params := []Param{m.ClassToken, m.pos.param, m.PatchEmbed.Proj.Weight, m.PatchEmbed.Proj.Bias}
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
			layers = append(layers, m.Norm.Forward(t, tokens))
		}
	}
	t.Done(tokens)
	return layers
}

// LastSelfAttention are the attention weights of the last block (B, heads, N+1, N+1): row 0 of a head is what the class token looks at. The
// tensor is lent by the tape's arena.
func (m *VisionTransformer) LastSelfAttention(t *autograd.Tape, x *autograd.Var) *tensor.Tensor {
	tokens := m.embed(t, x)
	last := len(m.Blocks) - 1
	for _, b := range m.Blocks[:last] {
		tokens = b.Forward(t, tokens, nil)
	}
	h := m.Blocks[last].Norm1.Forward(t, tokens)
	p := m.Blocks[last].Attn.Weights(t, h)
	t.Done(tokens, h)
	return p
}

// PosEmbed is the position embedding as it is added for images of h×w pixels: (1, N+1, D).
func (m *VisionTransformer) PosEmbed(t *autograd.Tape, h, w int) *autograd.Var {
	rows, cols := m.grid(h, w)
	pos, _ := m.pos.forward(t, h, w, rows, cols)
	return pos
}

// embed maps images (B, 3, H, W) to the tokens that the first block gets (B, N+1, D).
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
	return tokens
}

// grid is how many rows and columns of patches an image of h×w pixels has.
func (m *VisionTransformer) grid(h, w int) (rows, cols int) {
	rows, cols = h/m.config.PatchSize, w/m.config.PatchSize
	if rows == 0 || cols == 0 {
		panic(&tensor.ShapeError{Op: "VisionTransformer", Shapes: [][]int{{h, w}, {m.config.PatchSize, m.config.PatchSize}}, Want: "images of at least one patch"})
	}
	return rows, cols
}
