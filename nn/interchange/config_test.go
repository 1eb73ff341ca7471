package interchange

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/godino-ml/godino/nn/weights"
)

// readJSON is a JSON file as a map.
func readJSON(t *testing.T, path string) map[string]any {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var v map[string]any
	if err := json.Unmarshal(text, &v); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return v
}

// TestFolders: what is written for another program says what that program's loader asks for, and reads back as it was.
func TestFolders(t *testing.T) {
	for _, c := range models {
		m := lively(c.config)
		config := m.Config()
		t.Run("timm/"+c.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "new")
			notes, err := SaveTimm(dir, m, picture, nil)
			if err != nil {
				t.Fatal(err)
			}
			if told := len(notes) > 0; told != (config.LayerNormEps != 1e-6) {
				t.Errorf("notes %q for an epsilon of %g", notes, config.LayerNormEps)
			}
			args := readJSON(t, filepath.Join(dir, "config.json"))["model_args"].(map[string]any)
			for key, want := range map[string]any{"embed_dim": config.Dim, "depth": config.Depth, "num_heads": config.Heads, "patch_size": config.PatchSize,
				"img_size": config.ImageSize, "mlp_ratio": config.MLPRatio} {
				if fmt.Sprint(args[key]) != fmt.Sprint(want) {
					t.Errorf("%s is %v, want %v", key, args[key], want)
				}
			}
			if _, ok := args["reg_tokens"]; ok != (config.Registers > 0) {
				t.Errorf("reg_tokens given: %v", ok)
			}
			got := checkFolder(t, dir)
			if got.Heads != config.Heads || got.HuggingFace {
				t.Errorf("read as %+v", got)
			}
		})
		t.Run("huggingface/"+c.name, func(t *testing.T) {
			dir := t.TempDir()
			if _, err := SaveHuggingFace(dir, m, picture, nil); err != nil {
				t.Fatal(err)
			}
			text, err := os.ReadFile(filepath.Join(dir, "config.json"))
			if err != nil {
				t.Fatal(err)
			}
			kind := "vit"
			switch {
			case config.Registers > 0:
				kind = "dinov2_with_registers"
			case config.LayerScale > 0:
				kind = "dinov2"
			}
			for _, want := range []string{fmt.Sprintf("%q: %q", "model_type", kind), fmt.Sprintf(`"num_attention_heads": %d`, config.Heads)} {
				if !strings.Contains(string(text), want) {
					t.Errorf("config.json does not say %s:\n%s", want, text)
				}
			}
			if kind != "vit" && !strings.Contains(string(text), `"layerscale_value": 1.0`) { // transformers refuses an int
				t.Errorf("layerscale_value is no float:\n%s", text)
			}
			pre := readJSON(t, filepath.Join(dir, "preprocessor_config.json"))
			if fmt.Sprint(pre["image_mean"]) != "[0.485 0.456 0.406]" || fmt.Sprint(pre["size"]) != "map[shortest_edge:36]" {
				t.Errorf("preprocessor %v", pre)
			}
			got := checkFolder(t, dir)
			if got.Heads != config.Heads || !got.HuggingFace || got.LayerNormEps != config.LayerNormEps {
				t.Errorf("read as %+v, want %d heads and an epsilon of %g", got, config.Heads, config.LayerNormEps)
			}
		})
	}
}

// checkFolder opens the weights by their names there and reads the configuration.
func checkFolder(t *testing.T, dir string) *Config {
	t.Helper()
	path := filepath.Join(dir, "model.safetensors")
	f, err := weights.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if f.Metadata["format"] != "pt" {
		t.Errorf("format %q, transformers asks for pt", f.Metadata["format"])
	}
	if _, err := f.State("teacher"); err != nil {
		t.Error(err)
	}
	c, err := ReadConfig(path)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestReadConfigRefuses(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "model.safetensors")
	if _, err := ReadConfig(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without a configuration: %v", err)
	}
	for text, say := range map[string]string{
		`{"arch": "vit_small"}`:                             "not exist", // of dino train
		`{"model_type": "clip_vision_model"}`:               "clip_vision_model",
		`{"model_type": "dinov2", "use_swiglu_ffn": true}`:  "SwiGLU",
		`{"model_type": "vit", "hidden_act": "quick_gelu"}`: "quick_gelu",
		`{"model_type": "vit", "layer_norm_eps": -1}`:       "layer_norm_eps",
		`{"model_type": "vit", "num_attention_heads": -2}`:  "heads",
		`{"model_type": 7}`:                                 "model_type",
		`{`:                                                 "JSON",
		`{"model_type": "vit", "pad": "` + strings.Repeat("x", maxConfig) + `"}`: "MB",
	} {
		if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadConfig(path); err == nil || !strings.Contains(err.Error(), say) {
			t.Errorf("%.60s: %v, want %q", text, err, say)
		}
	}
	for text, want := range map[string]Config{
		`{"model_type": "vit"}`:                            {0, 1e-12, true, false},
		`{"model_type": "deit", "num_attention_heads": 3}`: {3, 1e-12, true, false},
		`{"model_type": "vit", "layer_norm_eps": 1e-6}`:    {0, 1e-6, true, false},
		`{"model_type": "dinov2"}`:                         {0, 1e-6, true, false},
		`{"model_type": "dinov2_with_registers"}`:          {0, 1e-6, true, true},
		`{"architecture": "vit_tiny_patch16_224"}`:         {0, 1e-6, false, true},
	} {
		if got, err := parseConfig([]byte(text)); err != nil || *got != want {
			t.Errorf("%s: %+v, %v, want %+v", text, got, err, want)
		}
	}
}

func FuzzConfig(f *testing.F) {
	f.Add([]byte(`{"model_type": "vit", "num_attention_heads": 3, "layer_norm_eps": 1e-12}`))
	f.Add([]byte(`{"architecture": "vit_tiny_patch16_224", "model_args": {"num_heads": 3}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		if c, err := parseConfig(text); err == nil && (c.Heads < 0 || !(c.LayerNormEps > 0 && c.LayerNormEps < 1)) {
			t.Errorf("%+v", c)
		}
	})
}
