package dino

import (
	"bytes"
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/godino-ml/godino/dino/augment"
	"github.com/godino-ml/godino/dino/dataset"
	"github.com/godino-ml/godino/kernels"
	"github.com/godino-ml/godino/nn"
	"github.com/godino-ml/godino/nn/weights"
	"github.com/godino-ml/godino/tensor"
)

func tinyFinetune() FinetuneConfig {
	c := DefaultFinetune()
	c.Arch, c.PatchSize, c.ImageSize, c.PosSize = "vit:dim=32,depth=2,heads=2", 4, 16, 16
	c.BatchSize, c.Epochs, c.WarmupEpochs, c.LR, c.Seed = 6, 3, 0.5, 0.02, 3
	return c
}

func labelledBatch(c FinetuneConfig, n int, seed uint64) *Batch {
	r := tensor.Stream(seed)
	b := &Batch{Global: make([]float32, n*3*c.ImageSize*c.ImageSize), Labels: make([]int, n), Indices: make([]int, n)}
	for i := range b.Global {
		b.Global[i] = float32(r.NormFloat64())
	}
	for i := range b.Labels {
		b.Labels[i] = i % 3
	}
	return b
}

// TestFinetuneStepAgainstDefinition: the first step of AdamW moves every element by −lr·s·(decay·p + g/(|g|+ε)), where s is the layer's share of the
// learning rate and g the clipped gradient.
func TestFinetuneStepAgainstDefinition(t *testing.T) {
	c := tinyFinetune()
	c.WarmupEpochs, c.LayerDecay, c.WeightDecay, c.ClipGrad, c.BatchSize = 0, 0.5, 0.3, 0.01, 9
	f, err := NewFinetuner(tensor.NewCPU(kernels.Best(), 2), c, 9, 3, nil)
	if err != nil {
		t.Fatal(err)
	}
	before := map[string][]float32{}
	for _, p := range f.Params() {
		before[p.Name] = slices.Clone(p.Value.Data())
	}
	b := labelledBatch(c, 9, 1)
	s, err := f.Step(b)
	if err != nil || s.Images != 9 || !(math.Abs(s.Loss-math.Log(3)) < 0.3) || s.LR != c.LR*9/256 {
		t.Fatalf("%+v, %v", s, err)
	}
	shares := map[string]float64{"cls_token": 0.125, "pos_embed": 0.125, "patch_embed": 0.125, "blocks.0": 0.25, "blocks.1": 0.5, "norm.": 1, "head.": 1}
	seen := 0
	for _, p := range f.Params() {
		share := 0.0
		for prefix, v := range shares {
			if strings.HasPrefix(strings.TrimPrefix(p.Name, "backbone."), prefix) {
				share = v
			}
		}
		if share == 0 {
			t.Fatalf("%s is of no layer", p.Name)
		}
		seen++
		var norm float64
		for _, g := range p.Grad.Data() {
			norm += float64(g) * float64(g)
		}
		scale := min(1, c.ClipGrad/(math.Sqrt(norm)+1e-6))
		decay := c.WeightDecay
		if strings.HasSuffix(p.Name, ".bias") || len(p.Value.Shape()) == 1 {
			decay = 0
		}
		for i, g := range p.Grad.Data() {
			g := scale * float64(g)
			was := float64(before[p.Name][i])
			want := was - s.LR*share*(decay*was+g/(math.Abs(g)+1e-8))
			if !(math.Abs(float64(p.Value.Data()[i])-want) <= 1e-5*s.LR*share+1e-7*math.Abs(was)+1e-9) {
				t.Fatalf("%s %d: %v became %v, want %v", p.Name, i, was, p.Value.Data()[i], want)
			}
		}
	}
	if want := len(f.Backbone.Params()) + 2; seen != want {
		t.Errorf("%d parameters of %d are trained", seen, want)
	}
}

func TestFinetuneSkipsWhatIsNotFinite(t *testing.T) {
	c := tinyFinetune()
	f, err := NewFinetuner(tensor.NewCPU(kernels.Best(), 2), c, 9, 3, nil)
	if err != nil {
		t.Fatal(err)
	}
	b := labelledBatch(c, 6, 1)
	b.Global[5] = float32(math.NaN())
	was := slices.Clone(f.Head.Weight.Value.Data())
	var bad *NonFiniteError
	if s, err := f.Step(b); !errors.As(err, &bad) || s.Skipped == "" || f.Steps() != 1 {
		t.Errorf("%+v, %v, %d steps", s, err, f.Steps())
	}
	if !slices.Equal(was, f.Head.Weight.Value.Data()) {
		t.Error("a step that was skipped changed the weights")
	}
	if _, err := f.Step(labelledBatch(c, 6, 2)); err != nil {
		t.Errorf("the step after: %v", err)
	}
}

func finetuneOptions(t *testing.T, n int) FinetuneOptions {
	t.Helper()
	c := tinyFinetune()
	dev := tensor.NewCPU(kernels.Best(), 2)
	vit, err := c.ViT()
	if err != nil {
		t.Fatal(err)
	}
	return FinetuneOptions{Config: c, OutputDir: filepath.Join(t.TempDir(), "run"), Device: dev, From: nn.NewVisionTransformer(dev, vit, 77), Workers: 2,
		Train: pictures(t, t.TempDir(), n), Val: pictures(t, t.TempDir(), n), SaveEvery: -1}
}

func finetuneTo(t *testing.T, o FinetuneOptions, steps int) (*FinetuneRun, []FinetuneEpoch) {
	t.Helper()
	r, err := OpenFinetune(o)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var epochs []FinetuneEpoch
	err = r.Run(ctx, FinetuneEvents{Epoch: func(e FinetuneEpoch) { epochs = append(epochs, e) }, Step: func(s FinetuneStep) {
		if s.Step+1 == steps && steps < r.Finetuner.TotalSteps() {
			cancel()
		}
	}})
	if steps < r.Finetuner.TotalSteps() != errors.Is(err, ErrInterrupted) || err != nil && !errors.Is(err, ErrInterrupted) {
		t.Fatalf("after %d steps: %v", r.Finetuner.Steps(), err)
	}
	return r, epochs
}

// TestFinetuneResumes: the files of a run that was interrupted, anywhere, and went on with other threads and workers have the same bytes.
func TestFinetuneResumes(t *testing.T) {
	const total = 3 * 3
	o := finetuneOptions(t, 8) // 16 images: steps of 6, 6 and 4
	whole, epochs := finetuneTo(t, o, total)
	if len(epochs) != 3 || epochs[2].Score == nil || epochs[2].Step != total || whole.Finetuner.Steps() != total {
		t.Fatalf("%+v", epochs)
	}
	read := func(o FinetuneOptions, name string) []byte {
		t.Helper()
		text, err := os.ReadFile(filepath.Join(o.OutputDir, name))
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	for _, stop := range []int{1, 2, 3, 5, 6, 8} {
		other := o
		other.OutputDir = filepath.Join(t.TempDir(), "run")
		finetuneTo(t, other, stop)
		other.Resume, other.Workers, other.Device, other.From = ResumeLatest, 5, tensor.NewCPU(kernels.Best(), 1), nil
		r, _ := finetuneTo(t, other, total)
		for _, name := range []string{CheckpointName, BestName} {
			if !bytes.Equal(read(o, name), read(other, name)) {
				t.Errorf("stopped after %d steps: %s differs from that of a run that was not", stop, name)
			}
		}
		if a, b := bytes.Count(read(o, LogName), []byte("\n")), bytes.Count(read(other, LogName), []byte("\n")); a != b {
			t.Errorf("stopped after %d steps: %d lines in the log, want %d", stop, b, a)
		}
		if *r.Best() != *whole.Best() {
			t.Errorf("stopped after %d steps: the best is %+v, want %+v", stop, r.Best(), whole.Best())
		}
	}
	// A run that is done is done.
	o.Resume = ResumeLatest
	if r, epochs := finetuneTo(t, o, total); r.Finetuner.Steps() != total || len(epochs) != 0 {
		t.Errorf("%d steps and %d epochs more", r.Finetuner.Steps()-total, len(epochs))
	}
}

func TestFinetuneLearns(t *testing.T) {
	for _, scratch := range []bool{false, true} {
		o := finetuneOptions(t, 24)
		o.Config.Epochs, o.Config.FromScratch, o.Config.ValFreq, o.Config.LR, o.Config.CropsScale = 20, scratch, 5, 0.05, [2]float64{0.5, 1}
		r, epochs := finetuneTo(t, o, 20*8)
		if first, last := epochs[0], epochs[19]; !(last.Loss < first.Loss) || r.Best().Top1 < 85 || first.Score != nil || last.Score == nil {
			t.Errorf("scratch %v: %+v, then %+v; best %+v", scratch, first, last, r.Best())
		}
		// The file of the best is a network with its classifier, and scores as it did.
		path := filepath.Join(o.OutputDir, BestName)
		k, err := LoadClassifier(o.Device, path)
		if err != nil {
			t.Fatal(err)
		}
		f, err := weights.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		state, err := f.StateDict("teacher")
		if err != nil {
			t.Fatal(err)
		}
		vit, _ := o.Config.ViT()
		m := nn.NewVisionTransformer(o.Device, vit, 0)
		if err := match(m.Params(), state); err != nil {
			t.Fatal(err)
		}
		fill(m.Params(), state)
		if err := k.Fits(m); err != nil {
			t.Error(err)
		}
		x, err := Features(context.Background(), o.Device, m, o.Val, augment.Whole(16), k.Features())
		if err != nil {
			t.Fatal(err)
		}
		if s, err := k.Head.Score(x.Features); err != nil || s.Top1 != r.Best().Top1 {
			t.Errorf("%+v, %v; want %+v", s, err, r.Best())
		}
	}
}

// TestFinetuneInBF16: as in float32, to the same bytes whatever the threads; the classifier scores in float32.
func TestFinetuneInBF16(t *testing.T) {
	o := finetuneOptions(t, 8)
	o.Config.Precision = tensor.BF16.String()
	var first []byte
	for _, threads := range []int{1, 2} {
		o.OutputDir, o.Device = filepath.Join(t.TempDir(), "run"), tensor.NewCPU(kernels.WithBF16(kernels.Best()), threads)
		r, epochs := finetuneTo(t, o, 9)
		if !(epochs[2].Loss < 1) || r.Finetuner.Backbone.ClassToken.Value.Device().Precision() != tensor.BF16 {
			t.Errorf("%+v", epochs)
		}
		text, err := os.ReadFile(filepath.Join(o.OutputDir, BestName))
		if err != nil {
			t.Fatal(err)
		}
		if first == nil {
			first = text
		} else if !bytes.Equal(first, text) {
			t.Error("other bytes with other threads")
		}
	}
}

func TestFinetuneRefuses(t *testing.T) {
	o := finetuneOptions(t, 8)
	finetuneTo(t, o, 9)
	latest := filepath.Join(o.OutputDir, CheckpointName)
	var (
		exists *RunExistsError
		resume *ResumeError
		ckpt   *CheckpointError
		labels *LabelError
		inUse  *DirInUseError
	)
	if _, err := OpenFinetune(o); !errors.As(err, &exists) {
		t.Errorf("a second run into the directory: %v", err)
	}
	other := o
	other.Resume, other.Config.LR, other.Config.LabelFraction = ResumeLatest, 0.5, 0.5
	if _, err := OpenFinetune(other); !errors.As(err, &resume) || !strings.Contains(err.Error(), "lr: 0.02, now 0.5") || !strings.Contains(err.Error(), "images: 16") {
		t.Errorf("other settings: %v", err)
	}
	other = o
	other.Resume, other.Config.ValFreq = ResumeLatest, 2 // changes nothing about the weights
	if r, err := OpenFinetune(other); err != nil {
		t.Error(err)
	} else {
		if _, err := OpenFinetune(other); !errors.Is(err, ErrLocked) {
			t.Errorf("a run beside another one: %v", err)
		}
		r.Close()
	}
	text, err := os.ReadFile(latest)
	if err != nil {
		t.Fatal(err)
	}
	for _, at := range []int{0, 9, len(text) / 2, len(text) - 1} {
		bad := slices.Clone(text)
		bad[at] ^= 1
		if err := os.WriteFile(latest, bad, 0o644); err != nil {
			t.Fatal(err)
		}
		other := o
		other.Resume = ResumeLatest
		if _, err := OpenFinetune(other); !errors.As(err, &ckpt) || ckpt.Previous == "" {
			t.Errorf("byte %d is damaged: %v", at, err)
		}
	}
	other = finetuneOptions(t, 4)
	other.From = nil
	if _, err := OpenFinetune(other); err == nil || !strings.Contains(err.Error(), "FromScratch") {
		t.Errorf("from nothing: %v", err)
	}
	other = finetuneOptions(t, 4)
	other.Config.Arch = "vit:dim=64,depth=2,heads=2"
	if _, err := OpenFinetune(other); err == nil || !strings.Contains(err.Error(), "cls_token [1 1 32] is given") {
		t.Errorf("another shape: %v", err)
	}
	other = finetuneOptions(t, 4)
	other.Train = dataset.FromFunc("plain", 3, nil, nil, func(i int) (*dataset.RGB, error) { return dataset.NewRGB(4, 4), nil })
	if _, err := OpenFinetune(other); !errors.As(err, &labels) {
		t.Errorf("no classes: %v", err)
	}
	linear := linearOptions(t, 2)
	linear.Config.Epochs = 1
	if _, err := TrainLinear(context.Background(), linear); err != nil {
		t.Fatal(err)
	}
	other = finetuneOptions(t, 4)
	other.OutputDir = linear.OutputDir
	if _, err := OpenFinetune(other); !errors.As(err, &inUse) {
		t.Errorf("into the directory of a linear evaluation: %v", err)
	}
	for i, spoil := range []func(c *FinetuneConfig){
		func(c *FinetuneConfig) { c.LayerDecay = 0 }, func(c *FinetuneConfig) { c.LabelSmoothing = 1 }, func(c *FinetuneConfig) { c.LR = math.NaN() },
		func(c *FinetuneConfig) { c.Arch = "cnn" }, func(c *FinetuneConfig) { c.ImageSize = 3 }, func(c *FinetuneConfig) { c.LabelFraction = 0 },
		func(c *FinetuneConfig) { c.CropsScale = [2]float64{0, 1} }, func(c *FinetuneConfig) { c.WarmupEpochs = 4 }, func(c *FinetuneConfig) { c.Precision = "half" },
		func(c *FinetuneConfig) { c.BatchSize = 0 }, func(c *FinetuneConfig) { c.ValFreq = 0 },
	} {
		c := tinyFinetune()
		spoil(&c)
		if c.Validate() == nil {
			t.Errorf("spoiled settings %d pass", i)
		}
	}
	if d := DefaultFinetune(); d.Validate() != nil {
		t.Error(d.Validate())
	}
	if d := DefaultLinear(); d.Validate() != nil {
		t.Error(d.Validate())
	}
}

func TestFinetuneDiverges(t *testing.T) {
	o := finetuneOptions(t, 12)
	for i := range o.From.Norm.Weight.Value.Data() {
		o.From.Norm.Weight.Value.Data()[i] = float32(math.Inf(1))
	}
	r, err := OpenFinetune(o)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if err := r.Run(context.Background(), FinetuneEvents{}); !errors.Is(err, ErrDiverged) || !strings.Contains(err.Error(), "Lower lr") {
		t.Errorf("%v", err)
	}
	if exists(filepath.Join(o.OutputDir, CheckpointName)) {
		t.Error("something was saved")
	}
}
