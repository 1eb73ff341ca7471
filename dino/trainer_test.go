package dino

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/godino-ml/godino/autograd"
	"github.com/godino-ml/godino/internal/golden"
	"github.com/godino-ml/godino/kernels"
	"github.com/godino-ml/godino/nn"
	"github.com/godino-ml/godino/tensor"
)

// tinyConfig is a whole configuration that trains in milliseconds.
func tinyConfig() Config {
	c := Reference()
	c.Arch, c.PatchSize = "vit:dim=32,depth=2,heads=2", 4
	c.GlobalCropsSize, c.LocalCropsSize, c.LocalCropsNumber, c.Blur = 16, 8, 2, false
	c.OutDim, c.HeadHiddenDim, c.HeadBottleneckDim = 48, 32, 16
	c.BatchSize, c.Epochs, c.WarmupEpochs, c.LR = 8, 2, 0.5, 0.02
	c.Seed, c.MaxBad = 3, 0.2
	return c
}

func newTrainer(t *testing.T, c Config, images int) *Trainer {
	t.Helper()
	tr, err := NewTrainer(tensor.NewCPU(kernels.Best(), 2), c, images)
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

// randomBatch is a batch of noise.
func randomBatch(c Config, images int, seed uint64) *Batch {
	r := rand.New(rand.NewPCG(seed, 1))
	noise := func(n int) []float32 {
		x := make([]float32, n)
		for i := range x {
			x[i] = float32(r.NormFloat64())
		}
		return x
	}
	return &Batch{Global: noise(2 * images * 3 * c.GlobalCropsSize * c.GlobalCropsSize), Local: noise(c.LocalCropsNumber * images * 3 * c.LocalCropsSize * c.LocalCropsSize)}
}

func params(n *Network) []float32 {
	var all []float32
	for _, p := range n.Params() {
		all = append(all, p.Value.Data()...)
	}
	return all
}

func TestAccumulationEqualsBigBatch(t *testing.T) {
	c := tinyConfig()
	c.Optimizer, c.LR, c.DropPathRate, c.FreezeLastLayer, c.WarmupEpochs = "sgd", 20, 0, 0, 0
	big := newTrainer(t, c, 16)
	c.BatchSize, c.Accum = 4, 2
	small := newTrainer(t, c, 16)
	for step := range 4 {
		b := randomBatch(c, 8, uint64(step))
		want, err := big.Step(b)
		if err != nil {
			t.Fatal(err)
		}
		got, err := small.Step(half(c, b, 0), half(c, b, 1))
		if err != nil {
			t.Fatal(err)
		}
		if d := math.Abs(got.Loss - want.Loss); !(d < 1e-5) {
			t.Errorf("step %d: loss %g of two halves, %g of the whole", step, got.Loss, want.Loss)
		}
		if d := math.Abs(got.Entropy - want.Entropy); !(d < 1e-5) {
			t.Errorf("step %d: entropy %g of two halves, %g of the whole", step, got.Entropy, want.Entropy)
		}
		if got.Images != want.Images || got.LR != want.LR || got.Prototypes != want.Prototypes {
			t.Errorf("step %d: %+v, want %+v", step, got, want)
		}
	}
	closeTo(t, "student", params(small.Student), params(big.Student), 2e-5)
	closeTo(t, "teacher", params(small.Teacher), params(big.Teacher), 2e-5)
	closeTo(t, "centre", small.Loss.Center.Data(), big.Loss.Center.Data(), 1e-6)
	if slices.Equal(params(newTrainer(t, c, 16).Student), params(small.Student)) {
		t.Error("the student has not moved")
	}
}

// half is the first or second half of the images of a view-major batch of 8.
func half(c Config, b *Batch, which int) *Batch {
	pick := func(x []float32, views, size int) (y []float32) {
		row := 3 * size * size
		for v := range views {
			y = append(y, x[(v*8+which*4)*row:(v*8+which*4+4)*row]...)
		}
		return y
	}
	return &Batch{Global: pick(b.Global, 2, c.GlobalCropsSize), Local: pick(b.Local, c.LocalCropsNumber, c.LocalCropsSize)}
}

func TestFrozenLastLayer(t *testing.T) {
	c := tinyConfig()
	c.NormLastLayer, c.WarmupEpochs = false, 0
	tr := newTrainer(t, c, 16) // two steps an epoch
	last := func(n *Network) []float32 {
		return slices.Concat(n.Head.v.Value.Data(), n.Head.g.Value.Data())
	}
	before := slices.Clone(last(tr.Student))
	first := slices.Clone(tr.Student.Params()[0].Value.Data())
	for step := range 3 {
		s, err := tr.Step(randomBatch(c, 8, uint64(step)))
		if err != nil {
			t.Fatal(err)
		}
		moved := !slices.Equal(before, last(tr.Student))
		if frozen := s.Epoch < 1; moved == frozen {
			t.Errorf("step %d of epoch %d: last layer moved: %v", step, s.Epoch, moved)
		}
	}
	if slices.Equal(first, tr.Student.Params()[0].Value.Data()) {
		t.Error("the class token was not trained")
	}
	for _, s := range tr.Optimizer.State() {
		want := int64(3)
		if strings.Contains(s.Name, "last_layer") {
			want = 1 // its Adam steps start when it is unfrozen
		}
		if s.Steps != want {
			t.Errorf("%s has taken %d steps, want %d", s.Name, s.Steps, want)
		}
	}
	if got := len(tr.Optimizer.State()); got != len(tr.Student.Params()) {
		t.Errorf("%d parameters are optimised, want all %d with norm_last_layer off", got, len(tr.Student.Params()))
	}
}

func TestNonFiniteStepChangesNothing(t *testing.T) {
	nan := float32(math.NaN())
	for _, test := range []struct {
		want   string
		inject func(tr *Trainer, b *Batch)
	}{
		{"the batch's global crops", func(tr *Trainer, b *Batch) { b.Global[7] = nan }},
		{"the batch's local crops", func(tr *Trainer, b *Batch) { b.Local[len(b.Local)-1] = float32(math.Inf(1)) }},
		{"student.backbone.blocks.1.mlp.fc1.weight", func(tr *Trainer, b *Batch) { poison(tr.Student, "backbone.blocks.1.mlp.fc1.weight", nan) }},
		{"teacher.head.mlp.2.bias", func(tr *Trainer, b *Batch) { poison(tr.Teacher, "head.mlp.2.bias", nan) }},
		{"dino_loss.center", func(tr *Trainer, b *Batch) { tr.Loss.Center.Data()[3] = nan }},
		{"the output of student.backbone.blocks.0", func(tr *Trainer, b *Batch) {
			for i := range 32 {
				at(tr.Student, "backbone.blocks.0.mlp.fc2.bias")[i] = 3e38
				at(tr.Student, "backbone.blocks.0.attn.proj.bias")[i] = 3e38
			}
		}},
	} {
		t.Run(test.want, func(t *testing.T) {
			c := tinyConfig()
			c.FreezeLastLayer, c.WarmupEpochs = 0, 0
			tr := newTrainer(t, c, 16)
			b := randomBatch(c, 8, 1)
			test.inject(tr, b)
			student, teacher, center := params(tr.Student), params(tr.Teacher), slices.Clone(tr.Loss.Center.Data())
			s, err := tr.Step(b)
			var bad *NonFiniteError
			if !errors.As(err, &bad) {
				t.Fatalf("error %v, want a *NonFiniteError", err)
			}
			if bad.Tensor != test.want || s.Skipped != test.want {
				t.Errorf("blames %q and %q, want %q", bad.Tensor, s.Skipped, test.want)
			}
			if !sameBits(student, params(tr.Student)) || !sameBits(teacher, params(tr.Teacher)) || !sameBits(center, tr.Loss.Center.Data()) {
				t.Error("the step changed the state")
			}
			if tr.Steps() != 1 {
				t.Errorf("%d steps done, want 1: the run goes on with the next", tr.Steps())
			}
			if strings.HasPrefix(test.want, "student") {
				if _, err := tr.Save(filepath.Join(t.TempDir(), "x.safetensors"), DataID{}); err == nil || !strings.Contains(err.Error(), test.want) {
					t.Errorf("saving: error %v, want one that names %s", err, test.want)
				}
			}
		})
	}
}

func at(n *Network, name string) []float32 {
	for _, p := range n.Params() {
		if p.Name == name {
			return p.Value.Data()
		}
	}
	panic("no parameter " + name)
}

func poison(n *Network, name string, v float32) { at(n, name)[1] = v }

func sameBits(a, b []float32) bool {
	return slices.EqualFunc(a, b, func(x, y float32) bool { return math.Float32bits(x) == math.Float32bits(y) })
}

// A gradient that is not finite although the loss is.
func TestNonFiniteGradient(t *testing.T) {
	c := tinyConfig()
	tr := newTrainer(t, c, 16)
	tr.inspect = func() { tr.trained[5].Grad.Data()[0] = float32(math.Inf(-1)) }
	before := params(tr.Student)
	_, err := tr.Step(randomBatch(c, 8, 1))
	if want := "the gradient of " + tr.trained[5].Name; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("error %v, want one that says %q", err, want)
	}
	if !sameBits(before, params(tr.Student)) {
		t.Error("the step changed the student")
	}
}

// In bf16 a step's loss and gradients are those of float32, as nearly as 8 bits of significand let them be, and not the same.
func TestStepInBF16(t *testing.T) {
	c := tinyConfig()
	step := func(precision tensor.Precision) (loss float64, gradients map[string][]float32) {
		c.Precision = precision.String()
		tr, err := NewTrainer(tensor.NewCPU(kernels.WithBF16(kernels.Best()), 2), c, 40)
		if err != nil {
			t.Fatal(err)
		}
		gradients = map[string][]float32{}
		tr.inspect = func() {
			for _, p := range tr.trained {
				gradients[p.Name] = slices.Clone(p.Grad.Data())
			}
		}
		s, err := tr.Step(randomBatch(c, c.BatchSize, 5))
		if err != nil {
			t.Fatal(err)
		}
		return s.Loss, gradients
	}
	loss, want := step(tensor.Float32)
	lossBF16, got := step(tensor.BF16)
	if diff := math.Abs(loss - lossBF16); !(diff <= 0.01*loss) || diff == 0 {
		t.Errorf("the loss is %g in float32, %g in bf16", loss, lossBF16)
	}
	for name, w := range want {
		var dot, ww, gg float64
		for i, g := range got[name] {
			dot += float64(g) * float64(w[i])
			ww += float64(w[i]) * float64(w[i])
			gg += float64(g) * float64(g)
		}
		if cos := dot / math.Sqrt(ww*gg); !(cos >= 0.99) || !(math.Abs(gg/ww-1) <= 0.1) {
			t.Errorf("the gradient of %s has cosine %.4f with that of float32, and %.3f times its length", name, cos, math.Sqrt(gg/ww))
		}
	}
}

// A device whose kernels have no bf16 is refused, with the reason.
func TestTrainerRefusesBF16(t *testing.T) {
	c := tinyConfig()
	c.Precision = "bf16"
	if _, err := NewTrainer(tensor.NewCPU(kernels.Reference(), 1), c, 40); err == nil || !strings.Contains(err.Error(), "bf16") {
		t.Errorf("with the reference kernels: %v", err)
	}
	c.Precision = "fp16"
	if err := c.Validate(); err == nil || !strings.Contains(err.Error(), "float32 or bf16") {
		t.Errorf("fp16: %v", err)
	}
}

// A later step of the same shapes must not allocate tensors: the garbage collector is what Go programs of this kind lose their time to.
func TestStepReusesMemory(t *testing.T) {
	c := tinyConfig()
	c.Arch, c.OutDim = "vit:dim=64,depth=2,heads=2", 4096
	tr := newTrainer(t, c, 800)
	b := randomBatch(c, 8, 1)
	step := func() {
		if _, err := tr.Step(b); err != nil {
			t.Fatal(err)
		}
	}
	step()
	step()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	const steps = 3
	for range steps {
		step()
	}
	runtime.ReadMemStats(&after)
	perStep := (after.TotalAlloc - before.TotalAlloc) / steps
	// The smallest tensors that matter here, tokens of one view, have 8·17·64·4 = 34 KiB; the logits 512 KiB.
	if perStep > 100<<10 {
		t.Errorf("a step allocates %d KiB", perStep>>10)
	}
}

// TestStepDropsPaths: how many samples drop path leaves out changes from step to step; the memory does not.
func TestStepDropsPaths(t *testing.T) {
	c := tinyConfig()
	c.Arch, c.DropPathRate = "vit:dim=64,depth=4,heads=2", 0.5
	tr := newTrainer(t, c, 800)
	b := randomBatch(c, 8, 1)
	steps := func(n int) int64 {
		for range n {
			if _, err := tr.Step(b); err != nil {
				t.Fatal(err)
			}
		}
		return tr.arena.Bytes()
	}
	if early, late := steps(20), steps(40); early != late {
		t.Errorf("the arena grew from %d to %d bytes after 20 steps", early, late)
	}
}

// The logits of a step's views with every prototype, and the prototypes' normalised weights, would be its largest tensors: neither may exist.
func TestStepStreamsPrototypes(t *testing.T) {
	c := tinyConfig()
	c.OutDim, c.HeadBottleneckDim, c.LocalCropsNumber = 1<<15, 64, 6
	tr := newTrainer(t, c, 800)
	for step := range 2 {
		if _, err := tr.Step(randomBatch(c, 8, uint64(step))); err != nil {
			t.Fatal(err)
		}
	}
	logits, weights := int64(c.Views()*8*c.OutDim*4), int64(c.OutDim*c.HeadBottleneckDim*4)
	if got, limit := tr.arena.MaxBytes(), min(logits, weights); got >= limit {
		t.Errorf("a step holds %d bytes at once: as much as the views' logits, %d, or the prototypes, %d", got, logits, weights)
	}
}

func TestLossOracles(t *testing.T) {
	dev := tensor.NewCPU(kernels.Best(), 2)
	// A uniform teacher and student: ln K (spec: 1024 → 6.9315 … 65536 → 11.0904).
	for k, want := range map[int]float64{1024: 6.9315, 2048: 7.6246, 4096: 8.3178, 8192: 9.0109, 65536: 11.0904} {
		l := NewLoss(dev, k, 3)
		tape := autograd.NewTape(tensor.NewArena(dev))
		target := l.Target(tensor.New(dev, 2, k), 0.04)
		z := autograd.NewInput(tensor.New(dev, 3, 4)) // of zeros, whose logits are 0
		loss := l.Forward(tape, z, NewHead(dev, HeadConfig{InDim: 4, BottleneckDim: 4, OutDim: k, Layers: 1}, 1), target, 1).Value.Data()[0]
		if d := math.Abs(float64(loss) - want); !(d < 1e-4) {
			t.Errorf("K %d: loss %g of uniform outputs, want %g", k, loss, want)
		}
		if d := math.Abs(l.Entropy() - want); !(d < 1e-4) || math.Abs(l.LnK()-want) > 1e-4 {
			t.Errorf("K %d: entropy %g and ln K %g, want %g", k, l.Entropy(), l.LnK(), want)
		}
	}
	// At the start logits are about N(0, 1/256) and teacher and student agree: ln K + 0.195 − 0.0039/(0.1·0.04).
	const k, batch, views = 65536, 2, 3
	head := NewHead(dev, HeadConfig{InDim: 256, BottleneckDim: 256, OutDim: k, Layers: 1}, 1)
	tape := autograd.NewTape(tensor.NewArena(dev))
	x := tensor.New(dev, views*batch, 256)
	r := rand.New(rand.NewPCG(1, 2))
	for i := range batch * 256 {
		f := float32(r.NormFloat64())
		for v := range views {
			x.Data()[v*batch*256+i] = f
		}
	}
	student := head.Bottleneck(tape, autograd.NewInput(x))
	teacher := tape.Prototypes(student, head.v, head.g).Value.Slice(0, 2*batch)
	l := NewLoss(dev, k, views)
	loss := float64(l.Forward(tape, student, head, l.Target(teacher, 0.04), 1).Value.Data()[0])
	if want := math.Log(k) + 0.195 - 0.0039/(0.1*0.04); !(math.Abs(loss-want) < 0.03) {
		t.Errorf("loss %g at the start, want about %g", loss, want)
	}
	if l.Prototypes() < 1 || l.Prototypes() > batch {
		t.Errorf("%d prototypes used by %d images twice", l.Prototypes(), batch)
	}
	l.UpdateCenter()
	want := make([]float32, k)
	for i := range want {
		want[i] = 0.1 * (teacher.Data()[i] + teacher.Data()[k+i]) / 2
	}
	closeTo(t, "centre", l.Center.Data(), want, 1e-7)
}

// Every student row is compared with both teacher rows of its image but its own view's: 2(V−1) pairs.
func TestPairs(t *testing.T) {
	rows := pairs(3, 4)
	count := 0
	for r, list := range rows {
		view, image := r/3, r%3
		count += len(list)
		for _, i := range list {
			if i%3 != image || i/3 == view || i/3 > 1 {
				t.Errorf("row %d (view %d of image %d) is compared with teacher row %d", r, view, image, i)
			}
		}
	}
	if want := 2 * (4 - 1) * 3; count != want || len(rows) != 12 {
		t.Errorf("%d pairs in %d rows, want %d in 12", count, len(rows), want)
	}
}

// Crops of one size go through the backbone together: the same numbers as apart.
func TestForwardMergesEqualSizes(t *testing.T) {
	c := tinyConfig()
	c.LocalCropsSize = c.GlobalCropsSize
	tr := newTrainer(t, c, 16)
	b := randomBatch(c, 8, 1)
	together := slices.Clone(tr.Student.Forward(tr.still, tr.take([]*Batch{b})[0].views, nil).Value.Data())
	tr.still.Reset()
	var apart []float32
	for _, v := range tr.take([]*Batch{b})[0].views {
		apart = append(apart, tr.Student.Forward(tr.still, []*autograd.Var{v}, nil).Value.Data()...)
		tr.still.Reset()
	}
	closeTo(t, "logits", together, apart, 1e-5)
}

func TestHead(t *testing.T) {
	dev := tensor.NewCPU(kernels.Best(), 1)
	names := func(c HeadConfig) (list []string) {
		for _, p := range NewHead(dev, c, 1).Params() {
			list = append(list, p.Name)
		}
		return list
	}
	c := HeadConfig{InDim: 12, HiddenDim: 2000, BottleneckDim: 64, OutDim: 3000, Layers: 3, NormLastLayer: true}
	for _, test := range []struct {
		name   string
		change func(*HeadConfig)
		want   string
	}{
		{"reference", func(*HeadConfig) {}, "mlp.0.weight mlp.0.bias mlp.2.weight mlp.2.bias mlp.4.weight mlp.4.bias last_layer.weight_g last_layer.weight_v"},
		{"one layer", func(c *HeadConfig) { c.Layers = 1 }, "mlp.weight mlp.bias last_layer.weight_g last_layer.weight_v"},
		{"batch norm", func(c *HeadConfig) { c.UseBN = true }, "mlp.0.weight mlp.0.bias mlp.1.weight mlp.1.bias mlp.3.weight mlp.3.bias mlp.4.weight mlp.4.bias " +
			"mlp.6.weight mlp.6.bias last_layer.weight_g last_layer.weight_v"},
	} {
		h := c
		test.change(&h)
		if got := strings.Join(names(h), " "); got != test.want {
			t.Errorf("%s: parameters %s, want %s", test.name, got, test.want)
		}
	}

	h := NewHead(dev, c, 1)
	std := func(x []float32) float64 {
		var s float64
		for _, v := range x {
			s += float64(v) * float64(v)
		}
		return math.Sqrt(s / float64(len(x)))
	}
	if s := std(h.layers[1].weight.Value.Data()); !(math.Abs(s-0.02) < 2e-4) {
		t.Errorf("hidden weights have a standard deviation of %g, want 0.02", s)
	}
	v := h.v.Value.Data()
	if s, want := std(v), 1.0/8/math.Sqrt(3); !(math.Abs(s-want) < 0.01*want) || largest(v) > 1.0/8 || largest(v) < 0.124 {
		t.Errorf("directions have a standard deviation of %g and a largest element of %g, want uniform within 1/8: %g", s, largest(v), want)
	}
	if h.g.NeedsGrad() {
		t.Error("weight_g is trained with norm_last_layer")
	}
	c.NormLastLayer = false
	if !NewHead(dev, c, 1).g.NeedsGrad() {
		t.Error("weight_g is not trained without norm_last_layer")
	}
	if !slices.Equal(v, NewHead(dev, c, 1).v.Value.Data()) || slices.Equal(v, NewHead(dev, c, 2).v.Value.Data()) {
		t.Error("the seed does not decide the directions")
	}

	// Logits of a normalised last layer are cosines.
	x := tensor.New(dev, 5, 12)
	for i := range x.Data() {
		x.Data()[i] = float32(i%7) - 3
	}
	tape := autograd.NewEvalTape(tensor.NewArena(dev))
	if l := largest(h.Forward(tape, autograd.NewConst(x)).Value.Data()); !(l <= 1.0001 && l > 0.1) {
		t.Errorf("the largest logit is %g, want a cosine", l)
	}
}

// A head with batch norm trains, and its running statistics follow the batches.
func TestBatchNormHead(t *testing.T) {
	c := tinyConfig()
	c.UseBNInHead = true
	tr := newTrainer(t, c, 16)
	s, err := tr.Step(randomBatch(c, 8, 1))
	if err != nil || !(s.GradNorm > 0) {
		t.Fatalf("gradient norm %g, error %v", s.GradNorm, err)
	}
	if n := len(tr.Student.Head.Buffers()); n != 4 {
		t.Fatalf("%d running statistics, want a mean and a variance of two layers", n)
	}
	for _, b := range tr.Student.Head.Buffers() {
		if b.Value.Data()[0] == 0 || b.Value.Data()[0] == 1 {
			t.Errorf("%s stays at %g", b.Name, b.Value.Data()[0])
		}
	}
}

// The reference's own checkpoint starts a run: student, teacher and centre.
func TestGoldenCheckpoint(t *testing.T) {
	g := golden.Open(t, "checkpoint_expected.safetensors")
	shape := func(name string) []int { return g.Get(name).Shape }
	c := tinyConfig()
	dim := shape("teacher.backbone.cls_token")[2]
	depth := len(g.Names("teacher.backbone.blocks.")) / len(g.Names("teacher.backbone.blocks.0."))
	c.Arch = fmt.Sprintf("vit:dim=%d,depth=%d,heads=1,mlp_ratio=%g", dim, depth, float64(shape("teacher.backbone.blocks.0.mlp.fc1.weight")[0])/float64(dim))
	c.PatchSize = shape("teacher.backbone.patch_embed.proj.weight")[3]
	c.GlobalCropsSize = c.PatchSize * int(math.Sqrt(float64(shape("teacher.backbone.pos_embed")[1]-1)))
	c.LocalCropsSize = c.GlobalCropsSize / 2
	c.HeadHiddenDim = shape("teacher.head.mlp.0.weight")[0]
	c.OutDim, c.HeadBottleneckDim = shape("teacher.head.last_layer.weight_v")[0], shape("teacher.head.last_layer.weight_v")[1]
	path := golden.Path(t, "checkpoint.pth")
	same := func(prefix string, params []nn.Param) {
		t.Helper()
		for _, p := range params {
			if !sameBits(p.Value.Data(), g.Get(prefix+p.Name).Float) {
				t.Errorf("%s%s is not what the file holds", prefix, p.Name)
			}
		}
	}

	tr := newTrainer(t, c, 16)
	if _, err := tr.Init(path, "all"); err != nil {
		t.Fatal(err)
	}
	same("student.", tr.Student.Params())
	same("teacher.", tr.Teacher.Params())
	if !sameBits(tr.Loss.Center.Data(), g.Get("dino_loss.center").Float) {
		t.Error("the centre is not what the file holds")
	}

	tr = newTrainer(t, c, 16)
	took, err := tr.Init(path, "teacher")
	if err != nil || !strings.HasPrefix(took, "backbone and head") {
		t.Fatalf("took %q, error %v", took, err)
	}
	same("teacher.", tr.Student.Params())
	same("teacher.", tr.Teacher.Params())

	c.OutDim++ // another head: the backbone alone
	tr = newTrainer(t, c, 16)
	if took, err = tr.Init(path, "student"); err != nil || !strings.Contains(took, "starts anew") {
		t.Fatalf("took %q, error %v", took, err)
	}
	c.Arch = fmt.Sprintf("vit:dim=%d,depth=%d,heads=1", dim, depth+1)
	if _, err = newTrainer(t, c, 16).Init(path, "teacher"); err == nil || !strings.Contains(err.Error(), "missing") {
		t.Errorf("a deeper backbone: error %v, want the missing tensors", err)
	}
}
