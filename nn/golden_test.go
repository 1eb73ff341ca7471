package nn

import (
	"fmt"
	"strings"
	"testing"

	"github.com/godino-ml/godino/autograd"
	"github.com/godino-ml/godino/internal/golden"
	"github.com/godino-ml/godino/kernels"
	"github.com/godino-ml/godino/tensor"
)

// goldenTolerance is what outputs may differ by from PyTorch's, as golden.Near takes it: enough for a dozen blocks.
const goldenTolerance = 2e-5

// compare fails the test unless got has want's shape and is near it; see golden.Near.
func compare(t *testing.T, name string, got *tensor.Tensor, want *golden.Array, tol float64) {
	t.Helper()
	if fmt.Sprint(got.Shape()) != fmt.Sprint(want.Shape) {
		t.Errorf("%s: shape %v, want %v", name, got.Shape(), want.Shape)
		return
	}
	golden.Near(t, name, got.Data(), want.Float, tol)
}

// goldenViT is the model of the golden file, and the sizes of its inputs.
func goldenViT(t *testing.T, f *golden.File, dev *tensor.Device) (m *VisionTransformer, sizes []string) {
	t.Helper()
	var shape struct{ Img, Patch, D, Depth, Heads int }
	f.Meta("config", &shape)
	c := ViTConfig{ImageSize: shape.Img, PatchSize: shape.Patch, Dim: shape.D, Depth: shape.Depth, Heads: shape.Heads}
	c.MLPRatio = float64(f.Get("weights.blocks.0.mlp.fc1.weight").Shape[0]) / float64(c.Dim)
	f.Meta("eps", &c.LayerNormEps)
	m = NewVisionTransformer(dev, c, 1)
	params := m.Params()
	if n := len(f.Names("weights.")); n != len(params) {
		t.Fatalf("%d parameters, want %d", len(params), n)
	}
	for _, p := range params {
		w := f.Get("weights." + p.Name)
		if fmt.Sprint(p.Value.Shape()) != fmt.Sprint(w.Shape) {
			t.Fatalf("%s has shape %v, want %v", p.Name, p.Value.Shape(), w.Shape)
		}
		copy(p.Value.Data(), w.Float)
	}
	for _, name := range f.Names("") {
		if size, ok := strings.CutSuffix(name, ".x"); ok {
			sizes = append(sizes, size)
		}
	}
	if len(sizes) == 0 {
		t.Fatal("no inputs")
	}
	return m, sizes
}

func TestGoldenViT(t *testing.T) {
	f := golden.Open(t, "vit.safetensors")
	for _, table := range kernels.Tables() {
		dev := tensor.NewCPU(table, 2)
		m, sizes := goldenViT(t, f, dev)
		for _, record := range []bool{true, false} {
			for _, size := range sizes {
				t.Run(fmt.Sprintf("%s/%s/record=%v", table.Name, size, record), func(t *testing.T) {
					arena := tensor.NewArena(dev)
					arena.Poison()
					tape := autograd.NewEvalTape(arena)
					if record {
						tape = autograd.NewTape(arena)
					}
					x := f.Get(size + ".x")
					img := autograd.NewConst(tensor.FromSlice(dev, x.Float, x.Shape...))
					compare(t, "pos_embed", m.PosEmbed(tape, x.Shape[2], x.Shape[3]).Value, f.Get(size+".pos_embed"), goldenTolerance)
					compare(t, "cls", m.Forward(tape, img, nil).Value, f.Get(size+".cls"), goldenTolerance)
					for n := 1; n <= m.config.Depth; n++ {
						layers := m.IntermediateLayers(tape, img, n)
						for i, l := range layers {
							name := fmt.Sprintf("layer%d", m.config.Depth-n+i)
							compare(t, name, l.Value, f.Get(size+"."+name), goldenTolerance)
						}
					}
					last := fmt.Sprintf("layer%d", m.config.Depth-1)
					compare(t, "tokens", m.Tokens(tape, img, nil).Value, f.Get(size+"."+last), goldenTolerance)
					compare(t, "attention", m.LastSelfAttention(tape, img), f.Get(size+".attention"), goldenTolerance)
				})
			}
		}
	}
}

// TestGoldenDINOv2: registers, LayerScale and a position embedding resized with antialias, against PyTorch.
func TestGoldenDINOv2(t *testing.T) {
	f := golden.Open(t, "dinov2.safetensors")
	var shape struct{ Img, Patch, D, Depth, Heads, Registers int }
	f.Meta("config", &shape)
	offset := 0.0
	c := ViTConfig{ImageSize: shape.Img, PatchSize: shape.Patch, Dim: shape.D, Depth: shape.Depth, Heads: shape.Heads, Registers: shape.Registers, LayerScale: 1,
		InterpolateOffset: &offset, InterpolateAntialias: true}
	for _, table := range kernels.Tables() {
		dev := tensor.NewCPU(table, 2)
		m := NewVisionTransformer(dev, c, 1)
		for _, p := range m.Params() {
			copy(p.Value.Data(), f.Get("weights."+p.Name).Float)
		}
		sizes := 0
		for _, name := range f.Names("") {
			size, ok := strings.CutSuffix(name, ".x")
			if !ok {
				continue
			}
			sizes++
			t.Run(table.Name+"/"+size, func(t *testing.T) {
				arena := tensor.NewArena(dev)
				arena.Poison()
				tape := autograd.NewEvalTape(arena)
				x := f.Get(size + ".x")
				img := autograd.NewConst(tensor.FromSlice(dev, x.Float, x.Shape...))
				compare(t, "pos_embed", m.PosEmbed(tape, x.Shape[2], x.Shape[3]).Value, f.Get(size+".pos_embed"), goldenTolerance)
				compare(t, "cls", m.Forward(tape, img, nil).Value, f.Get(size+".cls"), goldenTolerance)
				tokens := m.Tokens(tape, img, nil).Value
				compare(t, "patches", withoutTokens(dev, tokens, 0, 1), f.Get(size+".patches"), goldenTolerance)
				compare(t, "layer", withoutTokens(dev, m.IntermediateLayers(tape, img, 1)[0].Value, 0, 1), f.Get(size+".patches"), goldenTolerance)
				attention := f.Get(size + ".attention") // (B, heads, 1+R+N, 1+R+N)
				p := m.LastSelfAttention(tape, img)
				n, r := p.Dim(3), shape.Registers
				var want []float32
				for i := range attention.Shape[0] * attention.Shape[1] {
					for row := range n + r {
						if row < 1 || row > r {
							from := attention.Float[(i*(n+r)+row)*(n+r):][:n+r]
							want = append(append(want, from[0]), from[1+r:]...)
						}
					}
				}
				golden.Near(t, "attention", p.Data(), want, goldenTolerance)
			})
		}
		if sizes != 3 {
			t.Errorf("%d sizes in the file", sizes)
		}
	}
}

// withoutTokens is x without count tokens from at on.
func withoutTokens(dev *tensor.Device, x *tensor.Tensor, at, count int) *tensor.Tensor {
	y := tensor.New(dev, x.Dim(0), x.Dim(1)-count, x.Dim(2))
	tensor.RemoveTokensForward(y, x, at, count)
	return y
}

// Each step of the golden file has p0, g0, p1, g1, … with p_i+1 the parameter after a step with gradient g_i.
func TestGoldenOptimizers(t *testing.T) {
	f := golden.Open(t, "optim.safetensors")
	cases := []struct {
		name    string
		tensors []string
	}{
		{name: "adamw", tensors: []string{""}}, // p0, g0
		{name: "sgd", tensors: []string{""}},
		{name: "lars", tensors: []string{"w", "b"}}, // w0, gw0, b0, gb0
	}
	for _, table := range kernels.Tables() {
		dev := tensor.NewCPU(table, 2)
		for _, c := range cases {
			t.Run(table.Name+"/"+c.name, func(t *testing.T) {
				set := goldenCoefficients(t, f.Metadata[c.name])
				var params []Param
				value := func(name string, step int) *golden.Array {
					if name == "" {
						name = "p"
					}
					return f.Get(fmt.Sprintf("%s.%s%d", c.name, name, step))
				}
				for _, name := range c.tensors {
					a := value(name, 0)
					p := autograd.NewParam(tensor.New(dev, a.Shape...))
					copy(p.Value.Data(), a.Float)
					params = append(params, Param{"layer." + name, p})
				}
				o, err := NewOptimizer(c.name, params)
				if err != nil {
					t.Fatal(err)
				}
				switch o := o.(type) {
				case *AdamW:
					o.Beta1, o.Beta2, o.Eps = set["beta1"], set["beta2"], set["eps"]
				case *SGD:
					o.Momentum = set["momentum"]
				case *LARS:
					o.Momentum, o.Eta = set["momentum"], set["eta"]
				}
				steps := 0
				for ; f.Has(fmt.Sprintf("%s.g%s%d", c.name, c.tensors[0], steps)); steps++ {
					for i, name := range c.tensors {
						copy(params[i].Grad.Data(), f.Get(fmt.Sprintf("%s.g%s%d", c.name, name, steps)).Float)
					}
					o.Step(set["lr"], set["wd"], nil, nil, nil)
					for i, name := range c.tensors {
						compare(t, fmt.Sprintf("%q after step %d", params[i].Name, steps), params[i].Value, value(name, steps+1), 1e-6)
					}
				}
				if steps < 2 {
					t.Errorf("only %d steps in the file", steps)
				}
			})
		}
	}
}

// goldenCoefficients reads text such as "lr .01, wd .1, betas .9/.999, eps 1e-8; remark".
func goldenCoefficients(t *testing.T, text string) map[string]float64 {
	t.Helper()
	set := map[string]float64{}
	text, _, _ = strings.Cut(text, ";")
	for _, field := range strings.Split(text, ",") {
		key, value, _ := strings.Cut(strings.TrimSpace(field), " ")
		a, b, pair := strings.Cut(value, "/")
		var x, y float64
		if _, err := fmt.Sscan(a, &x); err != nil {
			t.Fatalf("coefficient %q of %q: %v", field, text, err)
		}
		if !pair {
			set[key] = x
			continue
		}
		if _, err := fmt.Sscan(b, &y); err != nil {
			t.Fatalf("coefficient %q of %q: %v", field, text, err)
		}
		set["beta1"], set["beta2"] = x, y
	}
	return set
}
