package dino

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/godino-ml/godino/autograd"
	"github.com/godino-ml/godino/dino/augment"
	"github.com/godino-ml/godino/dino/dataset"
	"github.com/godino-ml/godino/kernels"
	"github.com/godino-ml/godino/nn"
	"github.com/godino-ml/godino/tensor"
)

// TestFeaturesOfBlocks: class tokens of the last blocks, the earliest first, then the mean of the last one's patch tokens.
func TestFeaturesOfBlocks(t *testing.T) {
	ds := pictures(t, t.TempDir(), 2)
	dev := tensor.NewCPU(kernels.Best(), 2)
	m := nn.NewVisionTransformer(dev, nn.ViTConfig{ImageSize: 16, PatchSize: 4, Dim: 32, Depth: 3, Heads: 2}, 1)
	f, err := Features(context.Background(), dev, m, ds, augment.Whole(16), FeatureOptions{Tokens: ClassAndMean, Blocks: 2})
	if err != nil || f.Dim != 96 || f.Len() != 4 {
		t.Fatalf("%+v, %v", f, err)
	}
	last, err := Features(context.Background(), dev, m, ds, augment.Whole(16), FeatureOptions{Tokens: MeanToken})
	if err != nil {
		t.Fatal(err)
	}
	x := tensor.New(dev, 1, 3, 16, 16)
	img, err := ds.Load(3)
	if err != nil {
		t.Fatal(err)
	}
	whole := augment.Whole(16)
	whole.Apply(new(augment.Scratch), x.Data(), img)
	layers := m.IntermediateLayers(autograd.NewEvalTape(tensor.NewArena(dev)), autograd.NewConst(x), 2)
	row := f.Data[3*96:]
	closeTo(t, "block 1", row[:32], layers[0].Value.Data()[:32], 1e-5)
	closeTo(t, "block 2", row[32:64], layers[1].Value.Data()[:32], 1e-5)
	closeTo(t, "mean", row[64:], last.Data[3*32:], 1e-5)
	for _, o := range []FeatureOptions{{Blocks: 4}, {Blocks: -1}, {Tokens: MeanToken, Blocks: 2}} {
		if _, err := Features(context.Background(), dev, m, ds, augment.Whole(16), o); err == nil {
			t.Errorf("%+v is no error", o)
		}
	}
}

func TestLoaderOfSingleCrops(t *testing.T) {
	dir := t.TempDir()
	pictures(t, dir, 6)
	if err := os.WriteFile(filepath.Join(dir, "lines", "000.png"), []byte("no picture"), 0o644); err != nil {
		t.Fatal(err)
	}
	ds, err := dataset.Open(dir, dataset.Options{})
	if err != nil {
		t.Fatal(err)
	}
	crop := augment.ResizedCropAt(16)
	var first []string
	for _, workers := range []int{1, 4} {
		l, err := NewLoader(ds, LoaderOptions{Batch: 5, Crop: &crop, Seed: 3, Workers: workers, KeepLast: true, MaxBad: 0.2})
		if err != nil {
			t.Fatal(err)
		}
		if err := l.Start(context.Background(), 0, 0); err != nil {
			t.Fatal(err)
		}
		var sums []string
		for range 6 {
			b, err := l.Next(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			n := len(b.Indices)
			if len(b.Global) != n*3*16*16 || len(b.Local) != 0 || len(b.Labels) != n || (b.Step == 2) != (n == 2) {
				t.Fatalf("step %d: %d samples, %d labels, %d and %d floats", b.Step, n, len(b.Labels), len(b.Global), len(b.Local))
			}
			for i, s := range b.Indices {
				if s != 0 && b.Labels[i] != ds.Label(s) {
					t.Errorf("sample %d has label %d, want %d", s, b.Labels[i], ds.Label(s))
				}
				if s == 0 { // the broken one: its substitute's label goes with the substitute's crop
					w := sampler{}
					img, from, err := l.image(&w, b.Epoch, 0)
					if err != nil || b.Labels[i] != ds.Label(from) {
						t.Errorf("label %d of a substitute of class %d, %v", b.Labels[i], ds.Label(from), err)
					}
					want := make([]float32, 3*16*16)
					crop.Apply(new(augment.Scratch), want, img, augment.CropStream(3, b.Epoch, 0, 0))
					if !slices.Equal(want, b.Global[i*3*16*16:(i+1)*3*16*16]) {
						t.Error("another crop than the substitute's")
					}
				}
			}
			sums = append(sums, b.sum())
			l.Recycle(b)
		}
		l.Close()
		if first == nil {
			first = sums
		} else if !slices.Equal(first, sums) {
			t.Error("other batches with other workers")
		}
	}
}

func linearOptions(t *testing.T, n int) LinearOptions {
	t.Helper()
	dev := tensor.NewCPU(kernels.Best(), 2)
	m := nn.NewVisionTransformer(dev, nn.ViTConfig{ImageSize: 16, PatchSize: 4, Dim: 32, Depth: 2, Heads: 2}, 1)
	c := DefaultLinear()
	c.Blocks, c.LRs, c.Epochs, c.BatchSize, c.ValFreq, c.ImageSize = 2, []float64{1, 0.0001}, 8, 6, 3, 16
	return LinearOptions{Config: c, OutputDir: filepath.Join(t.TempDir(), "linear"), Device: dev, Backbone: m, Workers: 2,
		Train: pictures(t, t.TempDir(), n), Val: pictures(t, t.TempDir(), n)}
}

func TestTrainLinear(t *testing.T) {
	ctx := context.Background()
	for _, cached := range []bool{false, true} {
		o := linearOptions(t, 10)
		o.Config.CacheFeatures = cached
		var epochs []LinearEpoch
		o.Epoch = func(e LinearEpoch) { epochs = append(epochs, e) }
		run, err := TrainLinear(ctx, o)
		if err != nil {
			t.Fatal(err)
		}
		if len(epochs) != 8 || len(epochs[2].Scores) != 2 || epochs[3].Scores != nil || len(epochs[7].Scores) != 2 || epochs[0].LR[0] != 6.0/256 {
			t.Fatalf("epochs %+v", epochs)
		}
		if !(epochs[7].Loss[0] < epochs[0].Loss[0]) || run.Train != 20 || run.Test != 20 || len(run.Last) != 2 || run.Best.LR != 1 || !(run.Best.Top1 > 60) {
			t.Errorf("cached %v: losses %v and %v, run %+v", cached, epochs[0].Loss, epochs[7].Loss, run)
		}
		// What is on disk is the best, and scores as it did.
		k, err := LoadClassifier(o.Device, filepath.Join(o.OutputDir, HeadName))
		if err != nil {
			t.Fatal(err)
		}
		if err := k.Fits(o.Backbone); err != nil {
			t.Error(err)
		}
		f, err := Features(ctx, o.Device, o.Backbone, o.Val, augment.Whole(16), k.Features())
		if err != nil {
			t.Fatal(err)
		}
		s, err := k.Head.Score(f.Features)
		if err != nil || s.Top1 != run.Best.Top1 || s.Loss != run.Best.Loss || k.Epoch != run.Best.Epoch+1 || !slices.Equal(k.Classes, []string{"lines", "spots"}) {
			t.Errorf("loaded: %+v, %v; want %+v", s, err, run.Best)
		}
		// Threads and workers change nothing.
		again := o
		again.Device, again.Workers, again.OutputDir = tensor.NewCPU(kernels.Best(), 1), 1, ""
		again.Backbone = nn.NewVisionTransformer(again.Device, o.Backbone.Config(), 1)
		other, err := TrainLinear(ctx, again)
		if err != nil || !slices.Equal(other.Classifier.Head.Weight.Value.Data(), run.Classifier.Head.Weight.Value.Data()) {
			t.Errorf("cached %v: other bits with one thread, %v", cached, err)
		}
		var inUse *DirInUseError
		if _, err := TrainLinear(ctx, o); !errors.As(err, &inUse) {
			t.Errorf("a second run into the directory: %v", err)
		}
	}
}

func TestTrainLinearRefuses(t *testing.T) {
	ctx := context.Background()
	o := linearOptions(t, 2)
	o.Config.LRs = []float64{1e30}
	if _, err := TrainLinear(ctx, o); err == nil {
		t.Error("lr 1e30 passes")
	}
	o.Config.LRs = []float64{1e6}
	o.Config.Epochs = 200
	for i := range o.Backbone.Norm.Weight.Value.Data() {
		o.Backbone.Norm.Weight.Value.Data()[i] = 1e30
	}
	if _, err := TrainLinear(ctx, o); !errors.Is(err, ErrDiverged) {
		t.Errorf("a loss that is not finite: %v", err)
	}
	o = linearOptions(t, 2)
	o.Config.Blocks = 3
	if _, err := TrainLinear(ctx, o); err == nil || !strings.Contains(err.Error(), "backbone has 2") {
		t.Errorf("3 blocks of 2: %v", err)
	}
	o = linearOptions(t, 2)
	o.Train = dataset.FromFunc("plain", 3, nil, nil, func(i int) (*dataset.RGB, error) { return dataset.NewRGB(4, 4), nil })
	var labels *LabelError
	if _, err := TrainLinear(ctx, o); !errors.As(err, &labels) {
		t.Errorf("no classes: %v", err)
	}
	o = linearOptions(t, 2)
	ended, cancel := context.WithCancel(ctx)
	o.Epoch = func(e LinearEpoch) {
		if e.Epoch == 3 {
			cancel()
		}
	}
	if _, err := TrainLinear(ended, o); !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: %v", err)
	}
	if _, err := LoadClassifier(o.Device, filepath.Join(o.OutputDir, HeadName)); err != nil {
		t.Errorf("the best until the interruption: %v", err)
	}
}

func TestClassifierFits(t *testing.T) {
	o := linearOptions(t, 2)
	o.Config.Epochs, o.Config.ValFreq = 1, 1
	run, err := TrainLinear(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	k := run.Classifier
	other := nn.NewVisionTransformer(o.Device, o.Backbone.Config(), 2)
	if err := k.Fits(other); err == nil || !strings.Contains(err.Error(), "other weights") {
		t.Errorf("other weights: %v", err)
	}
	config := o.Backbone.Config()
	config.Dim = 64
	if err := k.Fits(nn.NewVisionTransformer(o.Device, config, 1)); err == nil || !strings.Contains(err.Error(), "64 numbers of a picture, this backbone gives 128") {
		t.Errorf("another shape: %v", err)
	}
	k.Head.Weight.Value.Data()[0] = float32(log0())
	if err := k.Save(filepath.Join(t.TempDir(), "x")); err == nil {
		t.Error("saved a weight that is not finite")
	}
	// A hostile file.
	path := filepath.Join(o.OutputDir, HeadName)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := range text {
		bad := slices.Clone(text)
		bad[i] ^= 0x10
		if err := os.WriteFile(path, bad, 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := LoadClassifier(o.Device, path); err == nil {
			t.Fatalf("byte %d is damaged and nobody noticed", i)
		}
	}
}

// log0 is −∞.
func log0() float64 {
	zero := 0.0
	return -1 / zero
}
