package nn

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/godino-ml/godino/autograd"
	"github.com/godino-ml/godino/kernels"
	"github.com/godino-ml/godino/tensor"
)

// small is a model that runs in a moment.
var small = ViTConfig{ImageSize: 24, PatchSize: 8, Dim: 24, Depth: 3, Heads: 2}

// full is small with all that a model may have besides.
var full = ViTConfig{ImageSize: 24, PatchSize: 8, Dim: 24, Depth: 3, Heads: 2, Registers: 2, LayerScale: 0.5, InterpolateAntialias: true}

// images are random images of values as of normalised pixels.
func images(dev *tensor.Device, n, h, w int) *tensor.Tensor {
	x := tensor.New(dev, n, channels, h, w)
	r := tensor.Stream(uint64(n), uint64(h), uint64(w))
	for i := range x.Data() {
		x.Data()[i] = float32(r.NormFloat64())
	}
	return x
}

// lively gives every parameter a value that matters: at the start biases are 0 and all branches small.
func lively(m *VisionTransformer) {
	for i, p := range m.Params() {
		r := tensor.Stream(77, uint64(i))
		for j := range p.Value.Data() {
			p.Value.Data()[j] += float32(0.2 * r.NormFloat64())
		}
	}
}

func poisoned(dev *tensor.Device) *tensor.Arena {
	arena := tensor.NewArena(dev)
	arena.Poison()
	return arena
}

// The parameter counts of the paper's models, at 224 pixels.
func TestNumParams(t *testing.T) {
	dev := tensor.NewCPU(kernels.Reference(), 1)
	for _, c := range []struct {
		arch        string
		patch, want int
	}{
		{"vit_tiny", 16, 5_524_416}, {"vit_tiny", 8, 5_526_720},
		{"vit_small", 16, 21_665_664}, {"vit_small", 8, 21_670_272},
		{"vit_base", 16, 85_798_656}, {"vit_base", 8, 85_807_872},
	} {
		config, err := ParseArch(c.arch, c.patch, 224)
		if err != nil {
			t.Fatal(err)
		}
		if got := config.NumParams(); got != c.want {
			t.Errorf("%s/%d has %d parameters, want %d", c.arch, c.patch, got, c.want)
		}
		if c.arch != "vit_tiny" {
			continue // the others only cost memory
		}
		if got := NumParams(NewVisionTransformer(dev, config, 1).Params()); got != c.want {
			t.Errorf("%s/%d is made with %d parameters, want %d", c.arch, c.patch, got, c.want)
		}
	}
}

func TestParamOrder(t *testing.T) {
	c := small
	c.Depth = 2
	m := NewVisionTransformer(tensor.NewCPU(kernels.Reference(), 1), c, 1)
	want := []string{"cls_token [1 1 24]", "pos_embed [1 10 24]", "patch_embed.proj.weight [24 3 8 8]", "patch_embed.proj.bias [24]"}
	for i := range c.Depth {
		for _, name := range []string{"norm1.weight [24]", "norm1.bias [24]", "attn.qkv.weight [72 24]", "attn.qkv.bias [72]", "attn.proj.weight [24 24]",
			"attn.proj.bias [24]", "norm2.weight [24]", "norm2.bias [24]", "mlp.fc1.weight [96 24]", "mlp.fc1.bias [96]", "mlp.fc2.weight [24 96]", "mlp.fc2.bias [24]"} {
			want = append(want, fmt.Sprintf("blocks.%d.%s", i, name))
		}
	}
	want = append(want, "norm.weight [24]", "norm.bias [24]")
	var got []string
	for _, p := range m.Params() {
		got = append(got, fmt.Sprintf("%s %v", p.Name, p.Value.Shape()))
	}
	if !slices.Equal(got, want) {
		t.Errorf("parameters\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// TestParamOrderOfFull: registers and factors of the branches have DINOv2's names and places.
func TestParamOrderOfFull(t *testing.T) {
	m := NewVisionTransformer(tensor.NewCPU(kernels.Reference(), 1), full, 1)
	names := map[string]int{}
	for i, p := range m.Params() {
		names[p.Name] = i
		switch {
		case p.Name == "register_tokens" && fmt.Sprint(p.Value.Shape()) != "[1 2 24]":
			t.Errorf("register_tokens has shape %v", p.Value.Shape())
		case strings.HasSuffix(p.Name, ".gamma") && (fmt.Sprint(p.Value.Shape()) != "[24]" || p.Value.Data()[23] != 0.5):
			t.Errorf("%s has shape %v and starts from %v", p.Name, p.Value.Shape(), p.Value.Data()[23])
		}
	}
	for _, pair := range [][2]string{{"pos_embed", "register_tokens"}, {"register_tokens", "patch_embed.proj.weight"}, {"blocks.2.attn.proj.bias", "blocks.2.ls1.gamma"},
		{"blocks.2.ls1.gamma", "blocks.2.norm2.weight"}, {"blocks.2.mlp.fc2.bias", "blocks.2.ls2.gamma"}, {"blocks.2.ls2.gamma", "norm.weight"}} {
		if names[pair[0]]+1 != names[pair[1]] {
			t.Errorf("%s is number %d and %s number %d", pair[0], names[pair[0]], pair[1], names[pair[1]])
		}
	}
	for _, c := range []ViTConfig{full, small} {
		m := NewVisionTransformer(m.ClassToken.Value.Device(), c, 1)
		shapes := c.ParamShapes()
		if len(shapes) != len(m.Params()) || c.NumParams() != NumParams(m.Params()) {
			t.Fatalf("%d parameters of %d elements, ParamShapes says %d of %d", len(m.Params()), NumParams(m.Params()), len(shapes), c.NumParams())
		}
		for i, p := range m.Params() {
			if p.Name != shapes[i].Name || !slices.Equal(p.Value.Shape(), shapes[i].Shape) {
				t.Errorf("%s %v, ParamShapes says %v", p.Name, p.Value.Shape(), shapes[i])
			}
		}
	}
}

// TestInit checks the distribution of every parameter, and that the seed decides it.
func TestInit(t *testing.T) {
	dev := tensor.NewCPU(kernels.Reference(), 1)
	c := ViTConfig{ImageSize: 64, PatchSize: 4, Dim: 96, Depth: 1, Heads: 2}
	m, same, other := NewVisionTransformer(dev, c, 1), NewVisionTransformer(dev, c, 1), NewVisionTransformer(dev, c, 2)
	seen := map[float32]string{}
	for i, p := range m.Params() {
		x := p.Value.Data()
		if !slices.Equal(x, same.Params()[i].Value.Data()) {
			t.Errorf("%s differs for the same seed", p.Name)
		}
		n := float64(len(x))
		var mean, square, largest float64
		for _, v := range x {
			mean += float64(v) / n
			square += float64(v) * float64(v) / n
			largest = max(largest, math.Abs(float64(v)))
		}
		std := 0.0 // wanted
		switch {
		case strings.HasPrefix(p.Name, "patch_embed"):
			bound := 1 / math.Sqrt(3*4*4)
			if std = bound / math.Sqrt(3); !(largest <= bound) {
				t.Errorf("%s reaches %g, want at most %g", p.Name, largest, bound)
			}
		case strings.Contains(p.Name, "norm") && strings.HasSuffix(p.Name, ".weight"):
			if slices.Min(x) != 1 || slices.Max(x) != 1 {
				t.Errorf("%s is not 1", p.Name)
			}
			continue
		case strings.HasSuffix(p.Name, ".bias"):
			if largest != 0 {
				t.Errorf("%s is not 0", p.Name)
			}
			continue
		default:
			std = 0.02
		}
		if slices.Equal(x, other.Params()[i].Value.Data()) {
			t.Errorf("%s is the same for another seed", p.Name)
		}
		if name := seen[x[0]]; name != "" {
			t.Errorf("%s starts as %s", p.Name, name)
		}
		seen[x[0]] = p.Name
		// Four standard errors of the mean and of the standard deviation.
		if got := math.Sqrt(square); !(math.Abs(mean) <= 4*std/math.Sqrt(n)) || !(math.Abs(got-std) <= 4*std/math.Sqrt(2*n)) {
			t.Errorf("%s has mean %g and deviation %g of %g elements, want 0 and %g", p.Name, mean, got, n, std)
		}
	}
}

// TestForwardIsClassToken: Forward, which computes the class token alone in the last block, gives that of Tokens, values and gradients, with
// drop path too.
func TestForwardIsClassToken(t *testing.T) {
	forwardIsClassToken(t, small)
	forwardIsClassToken(t, full)
}

func forwardIsClassToken(t *testing.T, c ViTConfig) {
	for _, table := range kernels.Tables() {
		dev := tensor.NewCPU(table, 2)
		c.DropPathRate = 0.4
		m := NewVisionTransformer(dev, c, 1)
		lively(m)
		x := images(dev, 5, 16, 32)
		drop := &DropPath{Seed: 3, Step: step(4)}
		pass := func(forward func(t *autograd.Tape, img *autograd.Var) *autograd.Var) (out [][]float32) {
			ZeroGrad(m.Params())
			tape := autograd.NewTape(poisoned(dev))
			y := forward(tape, autograd.NewConst(x))
			tape.BackwardFrom(y, images(dev, 1, 5, 8).View(5, 24))
			out = append(out, slices.Clone(y.Value.Data()))
			for _, p := range m.Params() {
				out = append(out, slices.Clone(p.Grad.Data()))
			}
			return out
		}
		got := pass(func(tape *autograd.Tape, img *autograd.Var) *autograd.Var { return m.Forward(tape, img, drop) })
		want := pass(func(tape *autograd.Tape, img *autograd.Var) *autograd.Var {
			return tape.SelectToken(m.Tokens(tape, img, drop), 0)
		})
		for i := range want {
			size := 1.0
			for _, v := range want[i] {
				size = max(size, math.Abs(float64(v)))
			}
			for j, w := range want[i] {
				if d := math.Abs(float64(got[i][j] - w)); !(d <= 1e-5*size) {
					t.Fatalf("%s: output or gradient %d differs: %v, want %v", table.Name, i, got[i][j], w)
				}
			}
		}
	}
}

// TestGradientOfModel compares the gradient of every parameter with a finite difference along it, on images whose position embedding is
// interpolated, with drop path.
func TestGradientOfModel(t *testing.T) {
	t.Run("small", func(t *testing.T) { gradientOfModel(t, small) })
	t.Run("full", func(t *testing.T) { gradientOfModel(t, full) })
}

func gradientOfModel(t *testing.T, c ViTConfig) {
	dev := tensor.NewCPU(kernels.Best(), 2)
	c.DropPathRate = 0.4
	m := NewVisionTransformer(dev, c, 1)
	lively(m)
	x := autograd.NewInput(images(dev, 4, 16, 40))
	dy := images(dev, 1, 4, 8).View(4, 24)
	arena := poisoned(dev)
	loss := func() (s float64) {
		tape := autograd.NewEvalTape(arena)
		defer tape.Reset()
		return tensor.Dot(m.Forward(tape, x, &DropPath{Seed: 3}).Value, dy)
	}
	tape := autograd.NewTape(arena)
	tape.BackwardFrom(m.Forward(tape, x, &DropPath{Seed: 3}), dy)
	dx := tensor.New(dev, x.Value.Shape()...)
	copy(dx.Data(), x.Grad.Data())
	tape.Reset()

	check := func(name string, value, grad *tensor.Tensor) {
		norm := math.Sqrt(tensor.SumSquares(grad))
		if norm == 0 {
			t.Errorf("%s has no gradient", name)
			return
		}
		// The derivative along the gradient itself is its norm. The step moves the loss by a fraction of its size, far above rounding.
		old := slices.Clone(value.Data())
		at := func(h float64) float64 {
			for i := range old {
				value.Data()[i] = old[i] + float32(h/norm*float64(grad.Data()[i]))
			}
			return loss()
		}
		h := min(0.02/norm, 0.02)
		got := (at(h) - at(-h)) / (2 * h)
		copy(value.Data(), old)
		if d := math.Abs(got - norm); !(d <= 0.01*norm) {
			t.Errorf("%s: derivative along the gradient %g, want its norm %g", name, got, norm)
		}
	}
	for _, p := range m.Params() {
		check(p.Name, p.Value, p.Grad)
	}
	check("images", x.Value, dx)
}

// TestThreads: two resolutions forward and backward give the same bits for any number of threads.
func TestThreads(t *testing.T) {
	for _, table := range kernels.Tables() {
		var want []float32
		for _, threads := range []int{1, 2} {
			dev := tensor.NewCPU(table, threads)
			c := ViTConfig{ImageSize: 32, PatchSize: 4, Dim: 64, Depth: 2, Heads: 2, DropPathRate: 0.3}
			m := NewVisionTransformer(dev, c, 1)
			lively(m)
			tape := autograd.NewTape(poisoned(dev))
			large := m.Forward(tape, autograd.NewConst(images(dev, 4, 32, 32)), &DropPath{Pass: 0})
			little := m.Forward(tape, autograd.NewConst(images(dev, 6, 16, 16)), &DropPath{Pass: 1})
			y := tape.ConcatRows(large, little)
			tape.BackwardFrom(y, images(dev, 1, 10, 64).View(3*10, 64).Slice(0, 10))
			got := slices.Clone(y.Value.Data())
			for _, p := range m.Params() {
				got = append(got, p.Grad.Data()...)
			}
			if want == nil {
				want = got
			}
			if !slices.Equal(got, want) {
				t.Errorf("%s: other bits with %d threads than with 1", table.Name, threads)
			}
		}
	}
}

// TestConcurrentEvaluation evaluates one model from several goroutines, at sizes that none has seen.
func TestConcurrentEvaluation(t *testing.T) {
	dev := tensor.NewCPU(kernels.Best(), 2)
	m := NewVisionTransformer(dev, small, 1)
	Freeze(m.Params())
	sizes := [][2]int{{16, 16}, {16, 40}, {32, 8}, {24, 24}}
	features := func(m *VisionTransformer, size [2]int) []float32 {
		tape := autograd.NewEvalTape(poisoned(dev))
		return m.Forward(tape, autograd.NewConst(images(dev, 2, size[0], size[1])), nil).Value.Data()
	}
	var wait sync.WaitGroup
	for i := range 8 {
		wait.Go(func() {
			size := sizes[i%len(sizes)]
			got := features(m, size)
			if want := features(NewVisionTransformer(dev, small, 1), size); !slices.Equal(got, want) {
				t.Errorf("other features of %v images than alone", size)
			}
		})
	}
	wait.Wait()
}

// TestEvaluationMemory: a tape that records nothing holds the activations of one block, whatever the depth.
func TestEvaluationMemory(t *testing.T) {
	dev := tensor.NewCPU(kernels.Best(), 1)
	use := func(depth int) [3]int64 {
		c := small
		c.Depth = depth
		m := NewVisionTransformer(dev, c, 1)
		x := autograd.NewConst(images(dev, 2, 32, 32))
		var most [3]int64
		for i, run := range []func(t *autograd.Tape){
			func(t *autograd.Tape) { m.Forward(t, x, nil) },
			func(t *autograd.Tape) { m.Tokens(t, x, nil) },
			func(t *autograd.Tape) { m.LastSelfAttention(t, x) },
		} {
			arena := tensor.NewArena(dev)
			run(autograd.NewEvalTape(arena))
			most[i] = arena.MaxBytes()
		}
		return most
	}
	const extra = 8 // blocks
	few, many := use(2), use(2+extra)
	// What stays of a block are the statistics of its norms and attention.
	n := 2 * (32/8*32/8 + 1)
	statistics := int64(4 * extra * n * (2 + 2 + small.Heads))
	for i := range few {
		if many[i]-few[i] > statistics {
			t.Errorf("method %d: %d bytes at 2 blocks, %d at %d", i, few[i], many[i], 2+extra)
		}
	}
}

// TestImageSizes: pixels beyond the last whole patch are not seen; less than a patch, or other than three channels, is a mistake.
func TestImageSizes(t *testing.T) {
	dev := tensor.NewCPU(kernels.Best(), 1)
	m := NewVisionTransformer(dev, small, 1)
	forward := func(x *tensor.Tensor) []float32 {
		return m.Forward(autograd.NewEvalTape(poisoned(dev)), autograd.NewConst(x), nil).Value.Data()
	}
	large := images(dev, 1, 21, 39)
	cropped := tensor.New(dev, 1, channels, 16, 32)
	for c := range channels {
		for y := range 16 {
			copy(cropped.Data()[(c*16+y)*32:][:32], large.Data()[(c*21+y)*39:])
		}
	}
	if !slices.Equal(forward(large), forward(cropped)) {
		t.Error("pixels beyond the last whole patch change the features")
	}
	for _, shape := range [][]int{{1, 3, 7, 16}, {1, 1, 16, 16}, {3, 16, 16}} {
		func() {
			defer func() {
				if _, ok := recover().(*tensor.ShapeError); !ok {
					t.Errorf("images of shape %v: no *tensor.ShapeError", shape)
				}
			}()
			forward(tensor.New(dev, shape...))
		}()
	}
}

// TestPosEmbedSkip: the stored embedding is used for square images of the stored grid alone.
func TestPosEmbedSkip(t *testing.T) {
	dev := tensor.NewCPU(kernels.Best(), 1)
	m := NewVisionTransformer(dev, small, 1)
	stored := m.pos.param.Value
	tape := autograd.NewEvalTape(poisoned(dev))
	for _, c := range []struct {
		h, w int
		same bool
	}{{24, 24, true}, {31, 31, true}, {24, 25, false}, {16, 16, false}} {
		got := m.PosEmbed(tape, c.h, c.w).Value
		if same := slices.Equal(got.Data(), stored.Data()); same != c.same {
			t.Errorf("%d×%d: the stored embedding is used: %v, want %v", c.h, c.w, same, c.same)
		}
	}
	c := small
	offset := 0.0
	c.InterpolateOffset = &offset
	plain := NewVisionTransformer(dev, c, 1)
	got := plain.PosEmbed(tape, 24, 25).Value.Data()
	for i, v := range plain.pos.param.Value.Data() {
		if d := math.Abs(float64(v - got[i])); !(d <= 1e-7) {
			t.Fatal("without offset, a resize to the stored grid changes the embedding")
		}
	}
}

func TestFLOPs(t *testing.T) {
	// ViT-S/16 at 224 is published with 4.6 G multiply-adds; skipping what the class token does not need in the last block saves
	// 196·(384² + 2·384·1536).
	c, err := ParseArch("vit_small", 16, 224)
	if err != nil {
		t.Fatal(err)
	}
	m := &VisionTransformer{config: c}
	got := m.FLOPs(224, 224)/2 + 196*(384*384+2*384*1536)
	if !(math.Abs(got-4.6e9) < 0.05e9) {
		t.Errorf("%.3g multiply-adds, want 4.6e9", got)
	}
}
