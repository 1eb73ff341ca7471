package dino

import (
	"context"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/godino-ml/godino/autograd"
	"github.com/godino-ml/godino/dino/augment"
	"github.com/godino-ml/godino/dino/dataset"
	"github.com/godino-ml/godino/kernels"
	"github.com/godino-ml/godino/kernels/cuda"
	"github.com/godino-ml/godino/kernels/cuda/cudatest"
	"github.com/godino-ml/godino/nn"
	"github.com/godino-ml/godino/tensor"
)

// Whole steps on a GPU, which is an interpreter of its kernels here: see cudatest.

// gpuConfig has all that a step can have, small enough to be interpreted in a second.
func gpuConfig() Config {
	c := tinyConfig()
	c.Arch, c.DropPathRate = "vit:dim=16,depth=2,heads=2,mlp_ratio=2", 0.4
	c.GlobalCropsSize, c.LocalCropsSize = 12, 8
	c.OutDim, c.HeadHiddenDim, c.HeadBottleneckDim = 40, 24, 12
	c.BatchSize, c.FreezeLastLayer, c.WarmupEpochs, c.Epochs, c.ClipGrad = 2, 1, 0, 20, 0.1
	return c
}

// gpuImages make two steps an epoch.
const gpuImages = 4

func gpu(t *testing.T) *tensor.Device { return tensor.NewGPU(cudatest.New(t)) }

func trainerOn(t *testing.T, dev *tensor.Device, c Config) *Trainer {
	t.Helper()
	tr, err := NewTrainer(dev, c, gpuImages)
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

// steps makes steps from first to last on batches of their own.
func steps(t *testing.T, tr *Trainer, first, last int) (stats []StepStats) {
	t.Helper()
	for i := first; i < last; i++ {
		c := tr.Config()
		batches := make([]*Batch, c.Accum)
		for j := range batches {
			batches[j] = randomBatch(c, c.BatchSize, uint64(100*i+j))
		}
		s, err := tr.Step(batches...)
		if err != nil {
			t.Fatalf("step %d: %v", i, err)
		}
		stats = append(stats, s)
	}
	return stats
}

// state is all that a trainer is.
func state(tr *Trainer) map[string][]float32 {
	m := map[string][]float32{}
	for _, n := range tr.tensors() {
		m[n.Name] = slices.Clone(n.Value.Floats())
	}
	return m
}

func sameState(t *testing.T, what string, got, want map[string][]float32) {
	t.Helper()
	for name, x := range want {
		if !sameBits(got[name], x) {
			t.Errorf("%s: %s has other bits", what, name)
		}
	}
}

// TestGPUTrains: as the CPU, of every optimizer, with and without drop path, a learned length of prototypes, batch norm, registers, LayerScale and several
// passes a step.
func TestGPUTrains(t *testing.T) {
	for name, change := range map[string]func(c *Config){
		"adamw":      func(c *Config) {},
		"sgd":        func(c *Config) { c.Optimizer, c.LR = "sgd", 5 },
		"lars":       func(c *Config) { c.Optimizer, c.LR = "lars", 20 },
		"lengths":    func(c *Config) { c.NormLastLayer, c.FreezeLastLayer = false, 0 },
		"batch norm": func(c *Config) { c.Optimizer, c.LR, c.UseBNInHead = "sgd", 5, true },
		"accum":      func(c *Config) { c.BatchSize, c.Accum = 1, 2 },
		"model":      func(c *Config) { c.Arch = "vit:dim=16,depth=2,heads=2,registers=2,layer_scale=0.5" },
		"no clip":    func(c *Config) { c.ClipGrad = 0 },
	} {
		t.Run(name, func(t *testing.T) {
			c := gpuConfig()
			change(&c)
			cpu, gpu := trainerOn(t, tensor.NewCPU(kernels.Best(), 1), c), trainerOn(t, gpu(t), c)
			const n = 3
			before := state(cpu)
			want, got := steps(t, cpu, 0, n), steps(t, gpu, 0, n)
			for i := range want {
				compareStats(t, i, got[i], want[i], 1e-4)
			}
			after := state(cpu)
			for name, x := range state(gpu) {
				moved, floor := 0.0, 1e-6
				if c.UseBNInHead {
					floor = 1e-4 // of biases before a batch norm, whose gradients are rounding errors alone
				}
				for i, v := range after[name] {
					moved = max(moved, math.Abs(float64(v-before[name][i])))
				}
				closeTo(t, name, x, after[name], 0.02*moved+floor)
			}
		})
	}
}

// compareStats compares the figures of a step, which may differ by a share of themselves.
func compareStats(t *testing.T, step int, got, want StepStats, tol float64) {
	t.Helper()
	for _, f := range []struct {
		name      string
		got, want float64
	}{
		{"loss", got.Loss, want.Loss}, {"entropy", got.Entropy, want.Entropy}, {"KL", got.KL, want.KL},
		{"norm of gradients", got.GradNorm, want.GradNorm}, {"norm of the centre", got.CenterNorm, want.CenterNorm},
	} {
		if !(math.Abs(f.got-f.want) <= tol*max(math.Abs(f.want), 0.1)) {
			t.Errorf("step %d: %s is %v, want %v", step, f.name, f.got, f.want)
		}
	}
	got.Loss, got.Entropy, got.KL, got.GradNorm, got.CenterNorm = want.Loss, want.Entropy, want.KL, want.GradNorm, want.CenterNorm
	if tol > 1e-3 {
		got.Prototypes = want.Prototypes
	}
	if got != want {
		t.Errorf("step %d: %+v, want %+v", step, got, want)
	}
}

// TestGPUTrainsInBF16: losses are those of float32 within 2 per cent.
func TestGPUTrainsInBF16(t *testing.T) {
	c := gpuConfig()
	c.LR, c.OutDim = 0.002, 200
	want := steps(t, trainerOn(t, tensor.NewCPU(kernels.Best(), 1), c), 0, 5)
	c.Precision = "bf16"
	dev := gpu(t)
	tr := trainerOn(t, dev, c)
	for i, s := range steps(t, tr, 0, 5) {
		if !(math.Abs(s.Loss-want[i].Loss) <= 2e-2*want[i].Loss) {
			t.Errorf("step %d: loss %v, in float32 %v", i, s.Loss, want[i].Loss)
		}
	}
}

// TestGPURecording: steps that are run from a recording give the bits of those that are not, frozen and not, and so does a second run of the same.
func TestGPURecording(t *testing.T) {
	c := gpuConfig()
	c.Precision, c.FreezeLastLayer = "bf16", 4
	c.WarmupTeacherTemp, c.TeacherTemp, c.WarmupTeacherTempEpochs = 0.04, 0.07, 5 // which changes from epoch to epoch
	const n = 14
	eager, recorded, again := trainerOn(t, gpu(t), c), trainerOn(t, gpu(t), c), trainerOn(t, gpu(t), c)
	var want []StepStats
	for i := range n {
		eager.recorder.Forget()
		want = append(want, steps(t, eager, i, i+1)...)
		if i == 2 {
			steps(t, again, 0, 3)
			sameState(t, "again", state(again), state(eager))
		}
	}
	if got := steps(t, recorded, 0, n); !slices.Equal(got, want) {
		t.Errorf("figures %v of recorded steps, want %v", got, want)
	}
	for _, frozen := range []bool{true, false} {
		for slot := range 2 {
			if !recorded.recorder.Recorded(kindOfStep{recorded.feeds[kindOfBatch{images: c.BatchSize}], slot, frozen}) {
				t.Errorf("steps were not recorded: slot %d, frozen %v", slot, frozen)
			}
		}
	}
	sameState(t, "recorded", state(recorded), state(eager))
}

// TestGPUPrefetch: batches that come ahead give the same.
func TestGPUPrefetch(t *testing.T) {
	c := gpuConfig()
	plain, ahead := trainerOn(t, gpu(t), c), trainerOn(t, gpu(t), c)
	batch := func(i int) *Batch { return randomBatch(c, c.BatchSize, uint64(100*i)) }
	const n = 5
	want := steps(t, plain, 0, n)
	next := batch(0)
	for i := range n {
		b := next
		ahead.Start(b)
		if next = nil; i+1 < n {
			next = batch(i + 1)
			ahead.Prefetch(next)
			clear(b.Global) // whose crops are there
		}
		if s, err := ahead.Finish(); err != nil || s != want[i] {
			t.Errorf("step %d: %+v, %v, want %+v", i, s, err, want[i])
		}
	}
	sameState(t, "ahead", state(ahead), state(plain))
}

// TestGPUNonFinite: a step that is not finite changes nothing and names what the CPU names, recorded or not, and the next goes on as if it had not been.
func TestGPUNonFinite(t *testing.T) {
	nan := float32(math.NaN())
	set := func(p nn.Param, i int, v float32) {
		x := slices.Clone(p.Value.Floats())
		x[i] = v
		p.Value.SetFloats(x)
	}
	param := func(n *Network, name string) nn.Param {
		for _, p := range n.Params() {
			if p.Name == name {
				return p
			}
		}
		panic(name)
	}
	for _, warm := range []int{0, 8} {
		for want, inject := range map[string]func(tr *Trainer, b *Batch){
			"the batch's global crops":                 func(tr *Trainer, b *Batch) { b.Global[7] = nan },
			"the batch's local crops":                  func(tr *Trainer, b *Batch) { b.Local[3] = float32(math.Inf(1)) },
			"student.backbone.blocks.1.mlp.fc1.weight": func(tr *Trainer, b *Batch) { set(param(tr.Student, "backbone.blocks.1.mlp.fc1.weight"), 1, nan) },
			"teacher.head.mlp.2.bias":                  func(tr *Trainer, b *Batch) { set(param(tr.Teacher, "head.mlp.2.bias"), 1, nan) },
			"the output of student.backbone.blocks.0": func(tr *Trainer, b *Batch) {
				for i := range 16 {
					set(param(tr.Student, "backbone.blocks.0.mlp.fc2.bias"), i, 3e38)
					set(param(tr.Student, "backbone.blocks.0.attn.proj.bias"), i, 3e38)
				}
			},
		} {
			if warm > 0 && want != "the batch's local crops" {
				continue // one from a recording is enough
			}
			t.Run(fmt.Sprintf("%s after %d", want, warm), func(t *testing.T) {
				c := gpuConfig()
				c.FreezeLastLayer, c.DropPathRate = 0, 0
				tr := trainerOn(t, gpu(t), c)
				steps(t, tr, 0, warm)
				counted := counts(tr)
				b := randomBatch(c, c.BatchSize, 999)
				inject(tr, b)
				before := state(tr)
				_, err := tr.Step(b)
				var bad *NonFiniteError
				if !errors.As(err, &bad) || bad.Tensor != want {
					t.Fatalf("error %v, want one that blames %s", err, want)
				}
				sameState(t, "after", state(tr), before)
				if got := fmt.Sprint(counts(tr)); got != fmt.Sprint(counted) {
					t.Errorf("steps of parameters %v, want %v", got, counted)
				}
				if strings.Contains(want, "batch") {
					if _, err := tr.Step(randomBatch(c, c.BatchSize, 1)); err != nil {
						t.Errorf("the step after it: %v", err)
					}
				}
			})
		}
	}
}

// counts are the steps that each parameter has taken.
func counts(tr *Trainer) (list []int64) {
	for _, s := range tr.Optimizer.State() {
		list = append(list, s.Steps)
	}
	return list
}

// TestGPUResume: a checkpoint goes on on a GPU with the bits of the run that was not interrupted, and on the CPU, and from there, with its numbers.
func TestGPUResume(t *testing.T) {
	c := gpuConfig()
	c.Optimizer, c.LR = "sgd", 5 // see TestGPUTrains
	whole := trainerOn(t, gpu(t), c)
	steps(t, whole, 0, 3)
	path := filepath.Join(t.TempDir(), "x.safetensors")
	if _, err := whole.Save(path, DataID{Images: gpuImages}); err != nil {
		t.Fatal(err)
	}
	want := steps(t, whole, 3, 8)
	load := func(dev *tensor.Device) *Trainer {
		tr, _, err := LoadTrainer(dev, path)
		if err != nil {
			t.Fatal(err)
		}
		return tr
	}
	tr := load(gpu(t))
	if got := steps(t, tr, 3, 8); !slices.Equal(got, want) {
		t.Errorf("resumed: %v, want %v", got, want)
	}
	sameState(t, "resumed", state(tr), state(whole))

	tr = load(tensor.NewCPU(kernels.Best(), 1))
	for i, s := range steps(t, tr, 3, 5) {
		compareStats(t, i, s, want[i], 1e-4)
	}
	if _, err := tr.Save(path, DataID{Images: gpuImages}); err != nil {
		t.Fatal(err)
	}
	for i, s := range steps(t, load(gpu(t)), 5, 8) {
		compareStats(t, i, s, want[2+i], 1e-3)
	}
}

// TestGPUFinetune: fine-tuning with labels goes as on the CPU.
func TestGPUFinetune(t *testing.T) {
	c := tinyFinetune()
	c.Arch, c.ImageSize, c.PosSize, c.ClipGrad, c.DropPathRate, c.LR = "vit:dim=16,depth=2,heads=2,mlp_ratio=2", 12, 12, 0.1, 0.3, 0.002
	var want *Finetuner
	for name, dev := range map[string]*tensor.Device{"cpu": tensor.NewCPU(kernels.Best(), 1), "gpu": gpu(t)} {
		f, err := NewFinetuner(dev, c, 12, 3, nil)
		if err != nil {
			t.Fatal(err)
		}
		if want == nil {
			want = f
			continue
		}
		for i := range 3 {
			b := labelledBatch(c, 6, uint64(i))
			x, err := want.Step(b)
			if err != nil {
				t.Fatal(err)
			}
			y, err := f.Step(b)
			if err != nil {
				t.Fatal(name, err)
			}
			if !(math.Abs(x.Loss-y.Loss) <= 1e-4) || x.Correct != y.Correct || !(math.Abs(x.GradNorm-y.GradNorm) <= 1e-3*x.GradNorm) {
				t.Errorf("step %d: %+v and %+v", i, x, y)
			}
		}
	}
}

// TestGPUFeatures: features, attention and patches of pictures are those of the CPU; in bf16, nearly.
func TestGPUFeatures(t *testing.T) {
	vit, err := nn.ParseArch("vit:dim=16,depth=2,heads=2,mlp_ratio=2,registers=1", 4, 12)
	if err != nil {
		t.Fatal(err)
	}
	cpu := tensor.NewCPU(kernels.Best(), 1)
	want := nn.NewVisionTransformer(cpu, vit, 1)
	img := &dataset.RGB{W: 20, H: 16, Pix: make([]byte, 3*20*16)}
	for i := range img.Pix {
		img.Pix[i] = byte(i * 7)
	}
	x := randomBatch(Config{GlobalCropsSize: 12, LocalCropsSize: 12}, 1, 5).Global
	for _, precision := range []tensor.Precision{tensor.Float32, tensor.BF16} {
		dev, err := gpu(t).WithPrecision(precision)
		if err != nil {
			t.Fatal(err)
		}
		backbone, tolerance := nn.NewVisionTransformer(dev, vit, 1), 1e-5
		if precision == tensor.BF16 {
			tolerance = 5e-2
		}
		a, b := NewEncoder(dev, backbone), NewEncoder(cpu, want)
		for range 2 { // the second in memory of the first
			closeTo(t, "pyramid", a.Pyramid(img, PyramidScales), b.Pyramid(img, PyramidScales), tolerance)
			closeTo(t, "attention", slices.Concat(a.Attention(img)...), slices.Concat(b.Attention(img)...), tolerance)
			patches, _, _ := a.Patches(img, augment.ImageNetMean, augment.ImageNetStd)
			plain, _, _ := b.Patches(img, augment.ImageNetMean, augment.ImageNetStd)
			closeTo(t, "patches", patches, plain, tolerance)
		}
		on, off := autograd.NewEvalTape(tensor.NewArena(dev)), autograd.NewEvalTape(tensor.NewArena(cpu))
		for _, o := range []FeatureOptions{{}, {Tokens: ClassAndMean, Blocks: 2}, {Tokens: ClassAndGeM}} {
			got := o.appendFeatures(nil, on, backbone, on.Arena().Of(x, 2, 3, 12, 12))
			closeTo(t, fmt.Sprint(o.Tokens), got, o.appendFeatures(nil, off, want, off.Arena().Of(x, 2, 3, 12, 12)), 2*tolerance)
		}
		on.Arena().Release()
		if on.Arena().Bytes() != 0 || dev.Err() != nil {
			t.Error("memory was not given back: ", on.Arena().Bytes(), dev.Err())
		}
	}
}

// TestGPURun: a run of pictures from files, with its k-NN, interrupted and gone on with on a GPU, has the bits of one that was not.
func TestGPURun(t *testing.T) {
	ds := pictures(t, t.TempDir(), 4)
	options := func() Options {
		o := tinyOptions(t, ds)
		o.Config, o.Device, o.Val = gpuConfig(), gpu(t), ds
		o.Config.Epochs, o.Config.KNNFreq, o.Config.Precision = 2, 1, "bf16"
		return o
	}
	scored := 0
	run := func(o Options, until int) map[string][]float32 {
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		r, err := Open(o)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		err = r.Run(ctx, Events{
			Step: func(s StepStats) {
				if !(s.Loss > 0) || s.Skipped != "" {
					t.Errorf("%+v", s)
				}
				if s.Step+1 == until {
					cancel()
				}
			},
			Epoch: func(s EpochStats) {
				if s.KNN != nil {
					scored++
				}
			},
		})
		if err != nil && !errors.Is(err, ErrInterrupted) {
			t.Fatal(err)
		}
		return state(r.Trainer)
	}
	want := run(options(), 0)
	o := options()
	run(o, 3)
	o.Resume = ResumeLatest
	o.Device = gpu(t)
	sameState(t, "interrupted", run(o, 0), want)
	if scored == 0 {
		t.Error("nothing was scored")
	}
}

// TestGPUError: after a GPU's error nothing of it is believed: the step says what to do about memory, and the checkpoint on the disk stays the last good one.
func TestGPUError(t *testing.T) {
	c := gpuConfig()
	g := cudatest.New(t)
	tr := trainerOn(t, tensor.NewGPU(g), c)
	steps(t, tr, 0, 1)
	path := filepath.Join(t.TempDir(), "x.safetensors")
	data := DataID{Images: gpuImages}
	if _, err := tr.Save(path, data); err != nil {
		t.Fatal(err)
	}
	g.Alloc(1 << 60)
	_, err := tr.Step(randomBatch(c, c.BatchSize, 1))
	if !errors.Is(err, cuda.ErrMemory) || !strings.Contains(err.Error(), "lower batch_size_per_gpu, now 2") {
		t.Errorf("step: %v", err)
	}
	if _, err := tr.Save(path, data); !errors.Is(err, cuda.ErrMemory) || !strings.Contains(err.Error(), "not saving") {
		t.Errorf("saving: %v", err)
	}
	if _, head, err := LoadTrainer(tensor.NewCPU(kernels.Best(), 1), path); err != nil || head.Step != 1 {
		t.Errorf("the checkpoint is of step %v, %v", head, err)
	}
	if cudatest.ExpectError(g) == nil {
		t.Error("no error")
	}
}
