package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/godino-ml/godino/autograd"
	"github.com/godino-ml/godino/dino"
	"github.com/godino-ml/godino/internal/golden"
	"github.com/godino-ml/godino/nn"
	"github.com/godino-ml/godino/nn/weights"
	"github.com/godino-ml/godino/tensor"
)

// loadQuietly reads a network as the commands do.
func loadQuietly(t *testing.T, path, arch string) *network {
	t.Helper()
	n, err := (&networkFlags{PretrainedWeights: path, CheckpointKey: "teacher", Arch: arch}).load(tensor.CPU(), slog.New(slog.NewTextHandler(io.Discard, nil)))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// features are the class token and the patch tokens of images.
func features(n *network, x []float32, shape []int) (cls, patches []float32) {
	tape := autograd.NewEvalTape(tensor.NewArena(n.dev))
	tokens := n.Tokens(tape, autograd.NewConst(tensor.FromSlice(n.dev, x, shape...)), nil).Value
	size := tokens.Dim(1) * tokens.Dim(2)
	for b := range tokens.Dim(0) {
		image := tokens.Data()[b*size:][:size]
		cls = append(cls, image[:tokens.Dim(2)]...)
		patches = append(patches, image[tokens.Dim(2):]...)
	}
	return cls, patches
}

// TestImportDINOv2 imports weights by DINOv2's names and compares features with PyTorch's.
func TestImportDINOv2(t *testing.T) {
	f := golden.Open(t, "dinov2.safetensors")
	dir := t.TempDir()
	path, out := filepath.Join(dir, "dinov2.safetensors"), filepath.Join(dir, "out.safetensors")
	c := &weights.Contents{}
	for _, name := range f.Names("weights.") {
		a := f.Get(name)
		c.Arrays = append(c.Arrays, weights.Array{Name: strings.TrimPrefix(name, "weights."), Shape: a.Shape, Data: a.Float})
	}
	if err := weights.Save(path, c); err != nil {
		t.Fatal(err)
	}
	var shape struct{ D, Depth, Heads, Registers int }
	f.Meta("config", &shape)
	arch := fmt.Sprintf("vit:dim=%d,depth=%d,heads=%d,registers=%d,layer_scale=1,antialias=1", shape.D, shape.Depth, shape.Heads, shape.Registers)
	want(t, exitCheckpoint, []string{"how many heads"}, "import", path, "--out", out)
	want(t, exitDone, []string{"names of DINO", "mask_token (1, 32)", "images of 35 px", "antialias, offset 0", "wrote"}, "import", path, "--out", out, "--arch", arch)
	n := loadQuietly(t, out, "") // what import wrote says all of it
	for _, size := range []string{"35x35", "21x35", "42x49"} {
		x := f.Get(size + ".x")
		cls, patches := features(n, x.Float, x.Shape)
		golden.Near(t, size+" cls", cls, f.Get(size+".cls").Float, 2e-5)
		golden.Near(t, size+" patches", patches, f.Get(size+".patches").Float, 2e-5)
	}
	want(t, exitUsage, []string{"is the file that is read"}, "import", path, "--out", path)
	want(t, exitUsage, []string{".safetensors"}, "import", path, "--out", filepath.Join(dir, "w.pth"))
	want(t, exitUsage, []string{"--interpolate_offset"}, "import", path, "--out", out, "--interpolate_offset", "2")
	want(t, exitCheckpoint, []string{"no such file"}, "import", filepath.Join(dir, "none.pth"), "--out", out)
}

// backboneFile saves a backbone of random weights.
func backboneFile(t *testing.T, path string, c nn.ViTConfig) *nn.VisionTransformer {
	t.Helper()
	m := nn.NewVisionTransformer(tensor.CPU(), c, 1)
	for i, p := range m.Params() {
		r := tensor.Stream(7, uint64(i))
		for j := range p.Value.Data() {
			p.Value.Data()[j] += float32(0.1 * r.NormFloat64())
		}
	}
	n := &network{Backbone: &dino.Backbone{VisionTransformer: m}}
	if err := n.save(path, m.Config()); err != nil {
		t.Fatal(err)
	}
	return m
}

// TestExportImport: every format is written, and what can be read back is the same network.
func TestExportImport(t *testing.T) {
	for _, c := range []nn.ViTConfig{
		{ImageSize: 32, PatchSize: 8, Dim: 24, Depth: 2, Heads: 3, LayerNormEps: 1e-5},
		{ImageSize: 28, PatchSize: 14, Dim: 24, Depth: 1, Heads: 2, LayerScale: 0.5, Registers: 2, InterpolateAntialias: true, InterpolateOffset: new(float64)},
		{ImageSize: 16, PatchSize: 8, Dim: 16, Depth: 1, Heads: 2, Registers: 1},
	} {
		dir := t.TempDir()
		path := filepath.Join(dir, "w.safetensors")
		m := backboneFile(t, path, c)
		for _, format := range []string{"safetensors", "huggingface", "timm"} {
			t.Run(fmt.Sprintf("%s/%s", format, m.Config().Arch()), func(t *testing.T) {
				out, back := filepath.Join(dir, format), filepath.Join(dir, format+"-back.safetensors")
				if format == "safetensors" {
					out += ".safetensors"
				}
				want(t, exitDone, []string{"parameters"}, "export", "--pretrained_weights", path, "--out", out, "--format", format)
				want(t, exitDone, []string{"wrote"}, "import", out, "--out", back)
				n := loadQuietly(t, back, "")
				got, wanted := n.Config(), m.Config()
				if format == "huggingface" && c.Registers > 0 && c.LayerScale == 0 {
					wanted.LayerScale = 1 // which it always has
				}
				if got.Arch() != wanted.Arch() || *got.InterpolateOffset != *wanted.InterpolateOffset || got.ImageSize != wanted.ImageSize {
					t.Errorf("read back as %s of %d px with offset %g, want %s of %d px with %g",
						got.Arch(), got.ImageSize, *got.InterpolateOffset, wanted.Arch(), wanted.ImageSize, *wanted.InterpolateOffset)
				}
				x := make([]float32, 3*c.ImageSize*c.ImageSize)
				r := tensor.Stream(3)
				for i := range x {
					x[i] = float32(r.NormFloat64())
				}
				shape := []int{1, 3, c.ImageSize, c.ImageSize}
				cls, _ := features(n, x, shape)
				wantCls, _ := features(&network{Backbone: &dino.Backbone{VisionTransformer: m}, dev: tensor.CPU()}, x, shape)
				golden.Near(t, "cls", cls, wantCls, 1e-6)
			})
		}
		onnx := filepath.Join(dir, "w.onnx")
		want(t, exitDone, []string{"onnx of", "(batch, 3, 32, 48)", "attention (batch"}, "export", "--pretrained_weights", path, "--out", onnx, "--image_size", "32x48", "--attention")
		if b, err := os.ReadFile(onnx); err != nil || len(b) < 4*m.Config().NumParams() {
			t.Errorf("%s: %d bytes, %v", onnx, len(b), err)
		}
	}
}

func TestExportUsage(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "w.safetensors")
	backboneFile(t, path, nn.ViTConfig{ImageSize: 16, PatchSize: 8, Dim: 8, Depth: 1, Heads: 1})
	run1 := filepath.Join(dir, "run")
	if err := os.MkdirAll(run1, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(run1, dino.CheckpointName), nil, 0o666); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args  []string
		words []string
	}{
		{[]string{"--out", filepath.Join(dir, "w")}, []string{"--format onnx"}},
		{[]string{"--out", filepath.Join(dir, "w.onnx"), "--image_size", "big"}, []string{"480x640"}},
		{[]string{"--out", filepath.Join(dir, "w.onnx"), "--image_size", "99999"}, []string{"16384"}},
		{[]string{"--out", filepath.Join(dir, "new"), "--format", "timm", "--image_size", "32"}, []string{"for onnx"}},
		{[]string{"--out", run1, "--format", "huggingface"}, []string{"holds a run"}},
		{[]string{"--out", path, "--format", "timm"}, []string{"written to a folder"}},
		{[]string{"--out", dir, "--format", "onnx"}, []string{"written to a file"}},
	} {
		want(t, exitUsage, c.words, append([]string{"export", "--pretrained_weights", path}, c.args...)...)
	}
	want(t, exitFailure, []string{"smaller than a patch"}, "export", "--pretrained_weights", path, "--out", filepath.Join(dir, "w.onnx"), "--image_size", "7")
	// A shape that would take terabytes is refused for what it is.
	hostile := filepath.Join(dir, "hostile.safetensors")
	c := &weights.Contents{Arrays: []weights.Array{
		{Name: "patch_embed.proj.weight", Shape: []int{1 << 16, 0, 8, 8}, Data: []float32{}}, {Name: "pos_embed", Shape: []int{1, 5, 0}, Data: []float32{}},
		{Name: "blocks.999.norm1.weight", Shape: []int{0}, Data: []float32{}}, {Name: "blocks.0.mlp.fc1.weight", Shape: []int{1 << 18, 0}, Data: []float32{}},
	}}
	if err := weights.Save(hostile, c); err == nil {
		want(t, exitCheckpoint, nil, "import", hostile, "--out", filepath.Join(dir, "x.safetensors"))
	} else if !strings.Contains(err.Error(), "elements") {
		t.Error(err)
	}
}

// TestForeign imports what timm and transformers themselves write and compares features with theirs. GODINO_PYTHON names a Python that has them.
func TestForeign(t *testing.T) {
	python := os.Getenv("GODINO_PYTHON")
	if python == "" {
		t.Skip("GODINO_PYTHON names no Python with timm and transformers")
	}
	dir := t.TempDir()
	text, err := exec.Command(python, filepath.Join("testdata", "foreign.py"), dir).Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		if exit.ExitCode() == 77 {
			t.Skipf("%s: %s", python, text)
		}
		t.Fatalf("%v\n%s", err, exit.Stderr)
	}
	if err != nil {
		t.Fatal(err)
	}
	models := 0
	for _, name := range strings.Split(strings.TrimSpace(string(text)), "\n") {
		if strings.HasPrefix(name, "#") {
			t.Log(name)
			continue
		}
		models++
		t.Run(name, func(t *testing.T) {
			folder := filepath.Join(dir, name)
			out := filepath.Join(dir, name+".safetensors")
			args := []string{"import", folder, "--out", out}
			if strings.HasPrefix(name, "timm") { // state dicts alone
				arch := "vit:dim=48,depth=2,heads=4"
				switch name {
				case "timm_deit":
					arch += ",registers=1"
				case "timm_dinov2":
					arch += ",layer_scale=1"
				case "timm_reg4":
					arch += ",layer_scale=1,registers=4"
				}
				args = append(args, "--arch", arch)
			}
			t.Log(want(t, exitDone, []string{"wrote"}, args...))
			n := loadQuietly(t, out, "")
			f, err := weights.Open(filepath.Join(folder, "expected.safetensors"))
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			for i := 0; f.Has(fmt.Sprintf("x.%d", i)); i++ {
				get := func(what string) weights.Array {
					a, err := f.Array(fmt.Sprintf("%s.%d", what, i))
					if err != nil {
						t.Fatal(err)
					}
					return a
				}
				x := get("x")
				cls, patches := features(n, x.Data, x.Shape)
				golden.Near(t, fmt.Sprintf("cls of %v", x.Shape), cls, get("cls").Data, 1e-4)
				golden.Near(t, fmt.Sprintf("patches of %v", x.Shape), patches, get("patches").Data, 1e-4)
			}
		})
	}
	if models != 9 {
		t.Errorf("%d models", models)
	}
}

func TestInspect(t *testing.T) {
	out := want(t, exitDone, []string{"teacher.backbone.cls_token", "dino_loss.center", "names of DINO: whole", "vit:dim=64,depth=2,heads=1/8"}, "inspect", golden.Path(t, "checkpoint.pth"))
	if strings.Contains(out, "not finite (") {
		t.Errorf("reports numbers that are not finite:\n%s", out)
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "w.safetensors")
	backboneFile(t, path, nn.ViTConfig{ImageSize: 16, PatchSize: 8, Dim: 8, Depth: 1, Heads: 2})
	f, err := weights.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	c, err := f.Contents()
	f.Close()
	if err != nil {
		t.Fatal(err)
	}
	c.Arrays = slices.DeleteFunc(c.Arrays, func(a weights.Array) bool { return a.Name == "norm.bias" })
	c.Arrays[0].Data = []float32{1, 2, float32(math.NaN()), 4, float32(math.Inf(1)), 6, 7, 4}
	c.Raws = append(c.Raws, weights.Int64s("steps", []int{1}, []int64{3}))
	name := c.Arrays[0].Name
	if err := weights.Save(path, c); err != nil {
		t.Fatal(err)
	}
	want(t, exitDone, []string{"1 tensors missing", "missing: norm.bias (8)", "2 elements", "a checksum for each"}, "inspect", path)
	var s inspection
	if err := json.Unmarshal([]byte(want(t, exitDone, nil, "inspect", path, "--json")), &s); err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(s.Tensors, func(x tensorSummary) bool { return x.Name == name })
	if x := s.Tensors[i]; x.Statistics == nil || *x.Statistics != (statistics{1, 7, 4, 2}) {
		t.Errorf("%s: %+v", name, x.Statistics)
	}
	if s.NotFinite != 2 || s.Backbone == nil || s.Backbone.Whole || !s.Checksums || len(s.Tensors) != len(c.Arrays)+1 {
		t.Errorf("%+v", s)
	}
	want(t, exitDone, []string{"vit_tiny/8", "of another shape"}, "inspect", path, "--arch", "vit_tiny", "--no_statistics")

	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)-1] ^= 1
	if err := os.WriteFile(path, b, 0o666); err != nil {
		t.Fatal(err)
	}
	want(t, exitCheckpoint, []string{"is damaged"}, "inspect", path)
	if err := os.WriteFile(path, []byte("PK\x03\x04 no zip"), 0o666); err != nil {
		t.Fatal(err)
	}
	want(t, exitCheckpoint, []string{"zip"}, "inspect", path)
	want(t, exitDone, []string{"backbone: none"}, "inspect", golden.Path(t, "knn.safetensors"))
}
