package interchange

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/godino-ml/godino/autograd"
	"github.com/godino-ml/godino/kernels"
	"github.com/godino-ml/godino/nn"
	"github.com/godino-ml/godino/nn/weights"
	"github.com/godino-ml/godino/tensor"
)

// models are the kinds of backbone that are written: as DINO's, with LayerScale as DINOv2's, with registers too, and with registers alone.
var models = []struct {
	name   string
	config nn.ViTConfig
}{
	{"plain", nn.ViTConfig{ImageSize: 32, PatchSize: 8, Dim: 48, Depth: 3, Heads: 4}},
	{"scaled", nn.ViTConfig{ImageSize: 28, PatchSize: 7, Dim: 32, Depth: 2, Heads: 2, LayerScale: 0.5, MLPRatio: 2}},
	{"registers", nn.ViTConfig{ImageSize: 28, PatchSize: 14, Dim: 32, Depth: 2, Heads: 2, LayerScale: 0.5, Registers: 4}},
	{"epsilon", nn.ViTConfig{ImageSize: 16, PatchSize: 8, Dim: 16, Depth: 1, Heads: 2, LayerNormEps: 0.05}},
	{"registers alone", nn.ViTConfig{ImageSize: 32, PatchSize: 8, Dim: 32, Depth: 1, Heads: 4, Registers: 1}},
}

// lively is a model whose every parameter matters: at the start biases are 0 and all branches small.
func lively(c nn.ViTConfig) *nn.VisionTransformer {
	m := nn.NewVisionTransformer(tensor.NewCPU(kernels.Best(), 2), c, 1)
	for i, p := range m.Params() {
		r := tensor.Stream(5, uint64(i))
		for j := range p.Value.Data() {
			p.Value.Data()[j] += float32(0.2 * r.NormFloat64())
		}
	}
	return m
}

// outputs are what the model makes of images of a size: x, cls, patches, attention (batch, heads, patches).
func outputs(m *nn.VisionTransformer, batch, h, w int) map[string]weights.Array {
	dev := m.ClassToken.Value.Device()
	x := tensor.New(dev, batch, 3, h, w)
	r := tensor.Stream(9)
	for i := range x.Data() {
		x.Data()[i] = float32(r.NormFloat64())
	}
	tape := autograd.NewEvalTape(tensor.NewArena(dev))
	img := autograd.NewConst(x)
	cls := m.Forward(tape, img, nil).Value
	tokens := m.Tokens(tape, img, nil).Value
	patches := tensor.New(dev, batch, tokens.Dim(1)-1, tokens.Dim(2))
	tensor.RemoveTokensForward(patches, tokens, 0, 1)
	p := m.LastSelfAttention(tape, img)
	heads, n := p.Dim(1), p.Dim(3)
	var attention []float32
	for i := range batch * heads {
		attention = append(attention, p.Data()[i*n*n+1:i*n*n+n]...)
	}
	return map[string]weights.Array{
		"x":         {Name: "x", Shape: x.Shape(), Data: x.Data()},
		"cls":       {Name: "cls", Shape: cls.Shape(), Data: cls.Data()},
		"patches":   {Name: "patches", Shape: patches.Shape(), Data: patches.Data()},
		"attention": {Name: "attention", Shape: []int{batch, heads, n - 1}, Data: attention},
	}
}

// TestPeers opens the files with the programs they are for. GODINO_PYTHON names a Python that has them: onnx and onnxruntime, timm, transformers;
// what is missing is skipped with its name.
func TestPeers(t *testing.T) {
	python := os.Getenv("GODINO_PYTHON")
	if python == "" {
		t.Skip("GODINO_PYTHON names no Python with onnx and onnxruntime, timm, transformers")
	}
	for _, c := range models {
		m := lively(c.config)
		dir := t.TempDir()
		for _, size := range [][2]int{{0, 0}, {3*c.config.PatchSize + 3, 5 * c.config.PatchSize}} {
			h, w := size[0], size[1]
			kinds := []string{"onnx"} // the others resize the position embedding themselves
			if h == 0 {
				h, w, kinds = c.config.ImageSize, c.config.ImageSize, []string{"onnx", "timm", "huggingface"}
			}
			var all []weights.Array
			for _, a := range outputs(m, 2, h, w) {
				all = append(all, a)
			}
			if err := weights.Save(filepath.Join(dir, "expected.safetensors"), &weights.Contents{Arrays: all}); err != nil {
				t.Fatal(err)
			}
			for _, kind := range kinds {
				if kind == "timm" && c.config.LayerNormEps != 0 {
					continue // its models all have 1e-6
				}
				t.Run(fmt.Sprintf("%s/%s/%dx%d", kind, strings.ReplaceAll(c.name, " ", "-"), h, w), func(t *testing.T) {
					writeAs(t, kind, dir, m, h, w)
					out, err := exec.Command(python, filepath.Join("testdata", "peers.py"), dir, kind).Output()
					var exit *exec.ExitError
					switch {
					case errors.As(err, &exit) && exit.ExitCode() == 77:
						t.Skipf("%s: %s; install it, or name another Python with GODINO_PYTHON", python, strings.TrimSpace(string(out)))
					case errors.As(err, &exit):
						t.Fatalf("%v\n%s\n%s", err, out, exit.Stderr)
					case err != nil:
						t.Fatal(err)
					}
					var result struct {
						Versions   map[string]string
						Difference map[string]float64
					}
					if err := json.Unmarshal(out, &result); err != nil {
						t.Fatalf("%v in %s", err, out)
					}
					t.Logf("%v: %v", result.Versions, result.Difference)
					if len(result.Difference) < 2 {
						t.Error("fewer than two outputs were compared")
					}
					for name, d := range result.Difference {
						if !(d <= 1e-4) {
							t.Errorf("%s differs by %g, allowed 1e-4", name, d)
						}
					}
				})
			}
		}
	}
}

func writeAs(t *testing.T, kind, dir string, m *nn.VisionTransformer, h, w int) {
	t.Helper()
	var err error
	switch kind {
	case "onnx":
		var f *os.File
		if f, err = os.Create(filepath.Join(dir, "model.onnx")); err == nil {
			defer f.Close()
			err = WriteONNX(f, m, ONNXOptions{Height: h, Width: w, Attention: true, Metadata: map[string]string{"mean": "0.485"}})
		}
	case "timm":
		_, err = SaveTimm(filepath.Join(dir, kind), m, picture, nil)
	case "huggingface":
		_, err = SaveHuggingFace(filepath.Join(dir, kind), m, picture, nil)
	}
	if err != nil {
		t.Fatal(err)
	}
}

var picture = Picture{Resize: 36, Size: 32, Mean: [3]float32{0.485, 0.456, 0.406}, Std: [3]float32{0.229, 0.224, 0.225}}
