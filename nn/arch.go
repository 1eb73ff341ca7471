package nn

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// ViTConfig is the shape of a VisionTransformer.
type ViTConfig struct {
	ImageSize int     // pixels a side of the images that the position embedding is stored for; others are seen through its interpolation
	PatchSize int     // pixels a side of a patch
	Dim       int     // of a token
	Depth     int     // blocks
	Heads     int     // of every attention; they divide Dim
	MLPRatio  float64 // hidden dimension of an MLP over Dim; 0 means 4

	// DropPathRate is the rate of the last block's branches in training; it grows linearly from 0 at the first. A teacher has 0.
	DropPathRate float64
	LayerNormEps float64 // 0 means 1e-6

	// Registers is the number of learned tokens between the class token and the patches, without position embedding, that no output shows
	// (Darcet et al. 2023, "Vision Transformers Need Registers").
	Registers int
	// LayerScale is what the factors of each channel of both branches start from (Touvron et al. 2021); 0 means that there are none.
	// DINOv2 trains from 1e-5.
	LayerScale float64

	// InterpolateOffset is added to the target size when the position embedding is resized; nil means 0.1, which released weights of DINO
	// expect (see tensor.NewPosMap). 0 is the plain bicubic resize.
	InterpolateOffset *float64
	// InterpolateAntialias resizes the position embedding as DINOv2's models with registers do (see tensor.NewAntialiasPosMap).
	InterpolateAntialias bool
}

// The architectures of the paper, at any patch size.
var architectures = map[string]ViTConfig{
	"vit_tiny":  {Dim: 192, Depth: 12, Heads: 3, MLPRatio: 4},
	"vit_small": {Dim: 384, Depth: 12, Heads: 6, MLPRatio: 4},
	"vit_base":  {Dim: 768, Depth: 12, Heads: 12, MLPRatio: 4},
}

// ParseArch is the configuration that a name describes: vit_tiny, vit_small, vit_base, or vit, a shape of its own. Options follow a colon:
// dim, depth and heads, which vit has to name, as in vit:dim=96,depth=4,heads=3; and mlp_ratio (4), registers (0), layer_scale (none),
// layer_norm_eps (1e-6) and antialias (0; 1 for the position embedding of DINOv2's models with registers), as in
// vit_small:registers=4,layer_scale=1e-5.
func ParseArch(arch string, patch, imageSize int) (ViTConfig, error) {
	name, options, found := strings.Cut(arch, ":")
	c, ok := architectures[name]
	if !ok && !(name == "vit" && found) {
		return ViTConfig{}, fmt.Errorf("unknown architecture %q: there are vit_tiny, vit_small, vit_base and shapes such as vit:dim=96,depth=4,heads=3", arch)
	}
	if found {
		var err error
		if c, err = parseShape(c, options); err != nil {
			return ViTConfig{}, fmt.Errorf("architecture %q: %w", arch, err)
		}
	}
	c.PatchSize, c.ImageSize = patch, imageSize
	if err := c.Validate(); err != nil {
		return ViTConfig{}, fmt.Errorf("architecture %q: %w", arch, err)
	}
	return c.withDefaults(), nil
}

// parseShape is c with options. Without a name's, dim, depth and heads are needed.
func parseShape(c ViTConfig, options string) (ViTConfig, error) {
	seen := map[string]bool{}
	named := c.Dim > 0
	for _, field := range strings.Split(options, ",") {
		key, value, _ := strings.Cut(strings.TrimSpace(field), "=")
		if seen[key] {
			return c, fmt.Errorf("%s is given twice", key)
		}
		seen[key] = true
		var err error
		switch key {
		case "dim":
			c.Dim, err = strconv.Atoi(value)
		case "depth":
			c.Depth, err = strconv.Atoi(value)
		case "heads":
			c.Heads, err = strconv.Atoi(value)
		case "mlp_ratio":
			c.MLPRatio, err = strconv.ParseFloat(value, 64)
		case "registers":
			c.Registers, err = strconv.Atoi(value)
		case "layer_scale":
			c.LayerScale, err = strconv.ParseFloat(value, 64)
		case "layer_norm_eps":
			c.LayerNormEps, err = strconv.ParseFloat(value, 64)
		case "antialias":
			c.InterpolateAntialias, err = strconv.ParseBool(value)
		default:
			return c, fmt.Errorf("%q is none of dim=, depth=, heads=, mlp_ratio=, registers=, layer_scale=, layer_norm_eps=, antialias=", field)
		}
		if err != nil {
			return c, fmt.Errorf("%s=%q is no number", key, value)
		}
	}
	if named {
		return c, nil
	}
	for _, key := range []string{"dim", "depth", "heads"} {
		if !seen[key] {
			return c, fmt.Errorf("%s= is missing", key)
		}
	}
	return c, nil
}

// Arch is the name that ParseArch makes this configuration of, at its sizes of images and patches.
func (c ViTConfig) Arch() string {
	c = c.withDefaults()
	name, options := "vit", []string{fmt.Sprintf("dim=%d,depth=%d,heads=%d", c.Dim, c.Depth, c.Heads)}
	if c.MLPRatio != 4 {
		options = append(options, fmt.Sprintf("mlp_ratio=%g", c.MLPRatio))
	}
	for n, a := range architectures {
		if a.Dim == c.Dim && a.Depth == c.Depth && a.Heads == c.Heads && a.MLPRatio == c.MLPRatio {
			name, options = n, nil
		}
	}
	if c.Registers > 0 {
		options = append(options, fmt.Sprintf("registers=%d", c.Registers))
	}
	if c.LayerScale > 0 {
		options = append(options, fmt.Sprintf("layer_scale=%g", c.LayerScale))
	}
	if c.LayerNormEps != defaultLayerNormEps {
		options = append(options, fmt.Sprintf("layer_norm_eps=%g", c.LayerNormEps))
	}
	if c.InterpolateAntialias {
		options = append(options, "antialias=1")
	}
	if len(options) == 0 {
		return name
	}
	return name + ":" + strings.Join(options, ",")
}

// Caps of a configuration: far beyond any model of use, and low enough that sizes do not overflow.
const (
	maxDim       = 1 << 16
	maxDepth     = 1 << 10
	maxImageSize = 1 << 16
	maxRegisters = 1 << 10
)

const defaultLayerNormEps = 1e-6

// Validate says what of the configuration cannot be, nil if nothing.
func (c ViTConfig) Validate() error {
	c = c.withDefaults()
	switch {
	case c.Dim <= 0 || c.Dim > maxDim:
		return fmt.Errorf("dim %d: want 1 to %d", c.Dim, maxDim)
	case c.Depth <= 0 || c.Depth > maxDepth:
		return fmt.Errorf("depth %d: want 1 to %d", c.Depth, maxDepth)
	case c.Heads <= 0 || c.Dim%c.Heads != 0:
		return fmt.Errorf("heads %d: want a divisor of dim %d", c.Heads, c.Dim)
	case !(c.MLPRatio > 0 && c.MLPRatio <= 64) || c.hidden() < 1:
		return fmt.Errorf("mlp_ratio %g: want at least one hidden dimension and at most 64 times dim %d", c.MLPRatio, c.Dim)
	case c.PatchSize <= 0:
		return fmt.Errorf("patch size %d: want at least 1 pixel", c.PatchSize)
	case c.ImageSize < c.PatchSize || c.ImageSize > maxImageSize:
		return fmt.Errorf("image size %d: want at least the patch size %d and at most %d pixels", c.ImageSize, c.PatchSize, maxImageSize)
	case !(c.DropPathRate >= 0 && c.DropPathRate < 1):
		return fmt.Errorf("drop path rate %g: want 0 to below 1", c.DropPathRate)
	case !(float32(c.LayerNormEps) > 0 && c.LayerNormEps < 1):
		return fmt.Errorf("layer norm eps %g: want above 0 and below 1", c.LayerNormEps)
	case c.Registers < 0 || c.Registers > maxRegisters:
		return fmt.Errorf("registers %d: want 0 to %d", c.Registers, maxRegisters)
	case !(c.LayerScale >= 0 && c.LayerScale <= 100):
		return fmt.Errorf("layer scale %g: want 0 (none) to 100", c.LayerScale)
	case !(*c.InterpolateOffset >= 0 && *c.InterpolateOffset < 1):
		return errors.New("interpolate offset: want 0 to below 1")
	}
	return nil
}

// ParamShape is the name and shape of a parameter.
type ParamShape struct {
	Name  string
	Shape []int
}

// ParamShapes are the parameters that such a model has, in the order of VisionTransformer.Params: what a file must hold, known before the memory
// is taken.
func (c ViTConfig) ParamShapes() []ParamShape {
	c = c.withDefaults()
	d, hidden, grid := c.Dim, c.hidden(), c.ImageSize/c.PatchSize
	var list []ParamShape
	add := func(name string, shape ...int) { list = append(list, ParamShape{name, shape}) }
	layer := func(name string, out, in int) {
		add(name+".weight", out, in)
		add(name+".bias", out)
	}
	norm := func(name string) {
		add(name+".weight", d)
		add(name+".bias", d)
	}
	add("cls_token", 1, 1, d)
	add("pos_embed", 1, grid*grid+1, d)
	if c.Registers > 0 {
		add("register_tokens", 1, c.Registers, d)
	}
	add("patch_embed.proj.weight", d, channels, c.PatchSize, c.PatchSize)
	add("patch_embed.proj.bias", d)
	for i := range c.Depth {
		block := fmt.Sprintf("blocks.%d.", i)
		scale := func(name string) {
			if c.LayerScale > 0 {
				add(block+name+".gamma", d)
			}
		}
		norm(block + "norm1")
		layer(block+"attn.qkv", 3*d, d)
		layer(block+"attn.proj", d, d)
		scale("ls1")
		norm(block + "norm2")
		layer(block+"mlp.fc1", hidden, d)
		layer(block+"mlp.fc2", d, hidden)
		scale("ls2")
	}
	norm("norm")
	return list
}

// NumParams is how many elements the parameters of such a model have.
func (c ViTConfig) NumParams() int {
	total := 0
	for _, p := range c.ParamShapes() {
		n := 1
		for _, d := range p.Shape {
			n *= d
		}
		total += n
	}
	return total
}

func (c ViTConfig) withDefaults() ViTConfig {
	if c.MLPRatio == 0 {
		c.MLPRatio = 4
	}
	if c.LayerNormEps == 0 {
		c.LayerNormEps = defaultLayerNormEps
	}
	if c.InterpolateOffset == nil {
		offset := 0.1
		c.InterpolateOffset = &offset
	}
	return c
}

// hidden is the hidden dimension of the MLPs.
func (c ViTConfig) hidden() int {
	const rounding = 1e-6 // of a ratio that was computed as hidden/dim
	return int(float64(c.Dim)*c.MLPRatio + rounding)
}

// dropRate is the drop path rate of a block.
func (c ViTConfig) dropRate(block int) float64 {
	if c.Depth == 1 {
		return 0 // as torch.linspace(0, rate, 1)
	}
	return c.DropPathRate * float64(block) / float64(c.Depth-1)
}
