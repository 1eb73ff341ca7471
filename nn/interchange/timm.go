package interchange

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/godino-ml/godino/nn"
	"github.com/godino-ml/godino/nn/weights"
)

// Picture says how a picture becomes the model's input: its shorter side is resized (bicubic) to Resize pixels, the middle Size×Size is taken,
// and what is then from 0 to 1 is normalised a channel.
type Picture struct {
	Resize, Size int
	Mean, Std    [3]float32
}

// Names of the files in a folder that another program opens.
const (
	weightsFile      = "model.safetensors"
	configFile       = "config.json"
	preprocessorFile = "preprocessor_config.json"
)

// timmConfig is config.json as timm.create_model("local-dir:DIR") reads it.
type timmConfig struct {
	Architecture string         `json:"architecture"`
	NumClasses   int            `json:"num_classes"`
	NumFeatures  int            `json:"num_features"`
	GlobalPool   string         `json:"global_pool"`
	ModelArgs    map[string]any `json:"model_args"`
	Pretrained   map[string]any `json:"pretrained_cfg"`
}

// SaveTimm writes the backbone into dir for timm.create_model("local-dir:DIR", pretrained=True): arrays by timm's names, and the shape. It
// returns what timm will do otherwise than the model here.
func SaveTimm(dir string, m *nn.VisionTransformer, p Picture, metadata map[string]string) (notes []string, err error) {
	arrays, err := weights.Timm(arrays(m))
	if err != nil {
		return nil, err
	}
	c := m.Config()
	config := timmConfig{
		Architecture: "vit_small_patch16_224", NumFeatures: c.Dim, GlobalPool: "token", // model_args say what is different
		ModelArgs: map[string]any{"img_size": c.ImageSize, "patch_size": c.PatchSize, "embed_dim": c.Dim, "depth": c.Depth, "num_heads": c.Heads, "mlp_ratio": c.MLPRatio},
		Pretrained: map[string]any{"num_classes": 0, "input_size": []int{3, c.ImageSize, c.ImageSize}, "fixed_input_size": true, "interpolation": "bicubic",
			"crop_pct": float64(p.Size) / float64(p.Resize), "crop_mode": "center", "mean": p.Mean, "std": p.Std, "first_conv": "patch_embed.proj", "classifier": "head"},
	}
	if c.LayerScale > 0 {
		config.ModelArgs["init_values"] = c.LayerScale
	}
	if c.Registers > 0 {
		config.ModelArgs["reg_tokens"], config.ModelArgs["no_embed_class"] = c.Registers, true
	}
	if c.LayerNormEps != 1e-6 {
		notes = append(notes, fmt.Sprintf("timm's LayerNorm adds 1e-6 to the variance, this model's %g: give create_model a norm_layer, or accept a slight difference", c.LayerNormEps))
	}
	return notes, saveFolder(dir, arrays, metadata, map[string]any{configFile: config})
}

// arrays are the model's parameters by name; the memory is the model's.
func arrays(m *nn.VisionTransformer) []weights.Array {
	var list []weights.Array
	for _, p := range m.Params() {
		list = append(list, weights.Array{Name: p.Name, Shape: p.Value.Shape(), Data: p.Value.Floats()})
	}
	return list
}

// saveFolder writes the arrays and the JSON files into dir, each atomically.
func saveFolder(dir string, arrays []weights.Array, metadata map[string]string, files map[string]any) error {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	meta := map[string]string{"format": "pt"} // which transformers asks for
	for k, v := range metadata {
		meta[k] = v
	}
	if err := weights.Save(filepath.Join(dir, weightsFile), &weights.Contents{Arrays: arrays, Metadata: meta}); err != nil {
		return err
	}
	for name, v := range files {
		if err := saveJSON(filepath.Join(dir, name), v); err != nil {
			return err
		}
	}
	return nil
}
