package interchange

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/godino-ml/godino/nn"
	"github.com/godino-ml/godino/nn/weights"
)

// Model types of transformers.
const (
	typeViT           = "vit"
	typeDeiT          = "deit"
	typeDINOv2        = "dinov2"
	typeWithRegisters = "dinov2_with_registers"
)

// SaveHuggingFace writes the backbone into dir for AutoModel.from_pretrained of transformers: as ViTModel, or with registers or LayerScale as
// Dinov2Model or Dinov2WithRegistersModel. The configuration names the model's own LayerNorm epsilon, which is not ViTConfig's default. It
// returns what transformers will do otherwise than the model here.
func SaveHuggingFace(dir string, m *nn.VisionTransformer, p Picture, metadata map[string]string) (notes []string, err error) {
	c := m.Config()
	named, err := weights.HuggingFace(arrays(m))
	if err != nil {
		return nil, err
	}
	config := map[string]any{
		"hidden_size": c.Dim, "num_hidden_layers": c.Depth, "num_attention_heads": c.Heads, "image_size": c.ImageSize, "patch_size": c.PatchSize,
		"num_channels": 3, "hidden_act": "gelu", "layer_norm_eps": fraction(c.LayerNormEps), "qkv_bias": true, "initializer_range": 0.02,
		"hidden_dropout_prob": fraction(0), "attention_probs_dropout_prob": fraction(0), "torch_dtype": "float32",
	}
	switch {
	case c.Registers > 0:
		config["model_type"], config["architectures"] = typeWithRegisters, []string{"Dinov2WithRegistersModel"}
		config["num_register_tokens"] = c.Registers
		named = append(named, weights.Array{Name: "embeddings.mask_token", Shape: []int{1, c.Dim}, Data: make([]float32, c.Dim)}) // which it always has
	case c.LayerScale > 0:
		config["model_type"], config["architectures"] = typeDINOv2, []string{"Dinov2Model"}
		config["use_mask_token"] = false
	default:
		config["model_type"], config["architectures"] = typeViT, []string{"ViTModel"}
		config["intermediate_size"] = hidden(m)
		config["encoder_stride"] = c.PatchSize
		notes = append(notes, "ViTModel puts a pooler on top that this model does not have, at random: load it with add_pooling_layer=False")
	}
	if config["model_type"] != typeViT {
		config["mlp_ratio"], config["layerscale_value"], config["use_swiglu_ffn"], config["apply_layernorm"] = hidden(m)/c.Dim, fraction(1), false, true
		if hidden(m)%c.Dim != 0 {
			return nil, fmt.Errorf("the MLP's %d hidden dimensions are no multiple of the token's %d, as transformers' DINOv2 has them", hidden(m), c.Dim)
		}
	}
	preprocessor := map[string]any{
		"image_processor_type": "BitImageProcessor", "do_convert_rgb": true, "do_resize": true, "size": map[string]int{"shortest_edge": p.Resize}, "resample": 3,
		"do_center_crop": true, "crop_size": map[string]int{"height": p.Size, "width": p.Size},
		"do_rescale": true, "rescale_factor": 1.0 / 255, "do_normalize": true, "image_mean": p.Mean, "image_std": p.Std,
	}
	if !(c.InterpolateAntialias == (c.Registers > 0) && *c.InterpolateOffset == 0) {
		notes = append(notes, fmt.Sprintf("images of other than %d×%d px: transformers resizes the position embedding a little otherwise than this model, so features differ slightly",
			c.ImageSize, c.ImageSize))
	}
	return notes, saveFolder(dir, named, metadata, map[string]any{configFile: config, preprocessorFile: preprocessor})
}

// fraction is a number that Python reads as a float, and never as an int: transformers checks the type.
type fraction float64

func (f fraction) MarshalJSON() ([]byte, error) {
	text := strconv.FormatFloat(float64(f), 'g', -1, 64)
	if !strings.ContainsAny(text, ".e") {
		text += ".0"
	}
	return []byte(text), nil
}

// hidden is the hidden dimension of the model's MLPs.
func hidden(m *nn.VisionTransformer) int { return m.Blocks[0].MLP.FC1.Bias.Value.Len() }

// Config is what a config.json says of the model beside it that names and shapes of the arrays do not.
type Config struct {
	Heads        int     // of every attention; 0 if it does not say
	LayerNormEps float64 // 0 if it does not say
	HuggingFace  bool    // of transformers
	Antialias    bool    // how the model resizes its position embedding, see nn.ViTConfig
}

const maxConfig = 1 << 20 // bytes

// ReadConfig reads the config.json beside a file of weights: that of transformers or of timm. Without one it returns an error that is
// fs.ErrNotExist, as it does for that of another program. Models that cannot be run here are refused.
func ReadConfig(weightsPath string) (*Config, error) {
	path := filepath.Join(filepath.Dir(weightsPath), configFile)
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: %w", path, fs.ErrNotExist)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxConfig+1))
	if err == nil && len(text) > maxConfig {
		err = fmt.Errorf("more than %d MB", maxConfig>>20)
	}
	var c *Config
	if err == nil {
		c, err = parseConfig(text)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return c, nil
}

func parseConfig(text []byte) (*Config, error) {
	var j struct {
		ModelType    string   `json:"model_type"`
		Heads        int      `json:"num_attention_heads"`
		Eps          *float64 `json:"layer_norm_eps"`
		Act          string   `json:"hidden_act"`
		SwiGLU       bool     `json:"use_swiglu_ffn"`
		Architecture string   `json:"architecture"`
		Args         struct {
			Heads int `json:"num_heads"`
		} `json:"model_args"`
	}
	if err := json.Unmarshal(text, &j); err != nil {
		return nil, err
	}
	c := &Config{}
	switch j.ModelType {
	case "":
		if j.Architecture == "" {
			return nil, fs.ErrNotExist // of another program, such as dino train
		}
		c.Heads, c.LayerNormEps, c.Antialias = j.Args.Heads, 1e-6, true
	case typeViT, typeDeiT:
		c.HuggingFace, c.Heads, c.LayerNormEps = true, j.Heads, 1e-12
	case typeDINOv2, typeWithRegisters:
		c.HuggingFace, c.Heads, c.LayerNormEps, c.Antialias = true, j.Heads, 1e-6, j.ModelType == typeWithRegisters
	default:
		return nil, fmt.Errorf("models of type %.80q are not read; there are vit, deit, dinov2 and dinov2_with_registers", j.ModelType)
	}
	if j.Eps != nil {
		c.LayerNormEps = *j.Eps
	}
	switch {
	case j.Act != "" && j.Act != "gelu":
		return nil, fmt.Errorf("hidden_act %.80q: the models here have the exact GELU", j.Act)
	case j.SwiGLU:
		return nil, errors.New("use_swiglu_ffn: this model's MLPs are gated (SwiGLU), as DINOv2's ViT-g has them; the models here have a GELU between two layers")
	case c.Heads < 0:
		return nil, fmt.Errorf("%d heads", c.Heads)
	case !(c.LayerNormEps > 0 && c.LayerNormEps < 1):
		return nil, fmt.Errorf("layer_norm_eps %g: want above 0 and below 1", c.LayerNormEps)
	}
	return c, nil
}

func saveJSON(path string, v any) error {
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	return weights.AtomicWrite(path, func(w io.Writer) error {
		_, err := w.Write(append(text, '\n'))
		return err
	})
}
