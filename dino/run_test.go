package dino

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/godino-ml/godino/dino/dataset"
	"github.com/godino-ml/godino/kernels"
	"github.com/godino-ml/godino/nn/weights"
	"github.com/godino-ml/godino/tensor"
)

// pictures writes n PNG files of each of two classes and opens them.
func pictures(t *testing.T, dir string, n int) *dataset.Dataset {
	t.Helper()
	for class, name := range []string{"lines", "spots"} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
		for i := range n {
			writePicture(t, filepath.Join(dir, name, fmt.Sprintf("%03d.png", i)), class, uint64(i))
		}
	}
	ds, err := dataset.Open(dir, dataset.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ds.Close() })
	return ds
}

func writePicture(t *testing.T, path string, class int, seed uint64) {
	t.Helper()
	r := rand.New(rand.NewPCG(seed, uint64(class)))
	img := image.NewRGBA(image.Rect(0, 0, 20, 20))
	period, shade := 3+r.IntN(5), uint8(r.IntN(200))
	for y := range 20 {
		for x := range 20 {
			on := y%period == 0
			if class == 1 {
				on = x%period == 0 && y%period == 0
			}
			c := color.RGBA{shade, 255 - shade, uint8(r.IntN(60)), 255}
			if on {
				c.R, c.B = 255-shade, 200
			}
			img.SetRGBA(x, y, c)
		}
	}
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}

// tinyOptions is a run of 2 epochs of 4 steps, without k-NN.
func tinyOptions(t *testing.T, ds *dataset.Dataset) Options {
	c := tinyConfig()
	c.KNNFreq = 0
	return Options{Config: c, OutputDir: filepath.Join(t.TempDir(), "run"), Train: ds, Workers: 2, Device: tensor.NewCPU(kernels.Best(), 2)}
}

// train runs to the end, or to the step at which events or ctx stop it, and returns how it ended.
func train(t *testing.T, ctx context.Context, o Options, events Events) error {
	t.Helper()
	r, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}()
	return r.Run(ctx, events)
}

// trainUntil interrupts the run after that many steps.
func trainUntil(t *testing.T, o Options, steps int) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	err := train(t, ctx, o, Events{Step: func(s StepStats) {
		if s.Step+1 == steps {
			cancel()
		}
	}})
	if !errors.Is(err, ErrInterrupted) {
		t.Fatalf("an interrupted run ends with %v", err)
	}
}

func checkpointBytes(t *testing.T, o Options) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(o.OutputDir, CheckpointName))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The same run gives the same file, byte for byte: with any number of threads and loader workers, interrupted and resumed in the middle of
// an epoch, with accumulated gradients.
func TestSameBits(t *testing.T) {
	ds := pictures(t, t.TempDir(), 17) // 34 images: the last two of an epoch are dropped
	base := tinyOptions(t, ds)
	base.Config.KNNFreq, base.Val = 1, ds
	for _, c := range []struct {
		accum     int
		precision tensor.Precision
	}{{1, tensor.Float32}, {3, tensor.Float32}, {1, tensor.BF16}} {
		t.Run(fmt.Sprintf("accum%d/%s", c.accum, c.precision), func(t *testing.T) {
			variant := func(threads, workers int) Options {
				o := base
				o.OutputDir, o.Device, o.Workers = filepath.Join(t.TempDir(), "run"), tensor.NewCPU(kernels.WithBF16(kernels.Best()), threads), workers
				o.Config.Accum, o.Config.BatchSize, o.Config.Precision = c.accum, 8/c.accum, c.precision.String()
				return o
			}
			o := variant(1, 1)
			if err := train(t, context.Background(), o, Events{}); err != nil {
				t.Fatal(err)
			}
			want := checkpointBytes(t, o)

			o = variant(2, 8)
			if err := train(t, context.Background(), o, Events{}); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(want, checkpointBytes(t, o)) {
				t.Error("2 threads and 8 workers give other bytes than 1 and 1")
			}

			o = variant(2, 3)
			trainUntil(t, o, 2)
			o.Resume, o.Workers, o.Device = ResumeLatest, 1, tensor.NewCPU(kernels.WithBF16(kernels.Best()), 1)
			trainUntil(t, o, 4) // the end of the first epoch
			trainUntil(t, o, 5)
			var first Start
			if err := train(t, context.Background(), o, Events{Start: func(s Start) { first = s }}); err != nil {
				t.Fatal(err)
			}
			if first.Step != 5 {
				t.Errorf("resumed at step %d, want 5", first.Step)
			}
			if !bytes.Equal(want, checkpointBytes(t, o)) {
				t.Error("a run that was interrupted and resumed gives other bytes")
			}
			checkLog(t, o, 2*(34/o.Config.ImagesPerStep()), 3)
			o.Config.Seed++
			o.OutputDir, o.Resume = filepath.Join(t.TempDir(), "run"), ""
			if err := train(t, context.Background(), o, Events{}); err != nil {
				t.Fatal(err)
			}
			if bytes.Equal(want, checkpointBytes(t, o)) {
				t.Error("another seed gives the same bytes")
			}
		})
	}
}

// checkLog wants the lines of that many steps in order, and of that many evaluations.
func checkLog(t *testing.T, o Options, steps, epochs int) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(o.OutputDir, LogName))
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(bytes.NewReader(b))
	step := 0
	for lines.Scan() {
		var l struct {
			Event string
			Step  int
			Loss  float64
			KNN   *KNNStats
		}
		if err := json.Unmarshal(lines.Bytes(), &l); err != nil {
			t.Fatalf("log line %s: %v", lines.Text(), err)
		}
		switch l.Event {
		case "step":
			if l.Loss <= 0 || l.Step != step {
				t.Errorf("log line %s, want step %d", lines.Text(), step)
			}
			step++
		case "epoch":
			epochs--
			if l.KNN == nil || l.KNN.Untrained == nil || l.KNN.Pixels == nil {
				t.Errorf("log line %s lacks k-NN or its baselines", lines.Text())
			}
		}
	}
	if step != steps || epochs != 0 {
		t.Errorf("the log has %d steps, want %d, and lacks %d epochs:\n%s", step, steps, epochs, b)
	}
}

// A killed run leaves lines beyond its last checkpoint, and perhaps half a line.
func TestResumeCutsLog(t *testing.T) {
	ds := pictures(t, t.TempDir(), 17)
	o := tinyOptions(t, ds)
	trainUntil(t, o, 3)
	path := filepath.Join(o.OutputDir, LogName)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(f, "{\"event\":\"step\",\"step\":3}\n{\"event\":\"step\",\"st")
	f.Close()
	l, _, err := openLog(path, 3)
	if err != nil {
		t.Fatal(err)
	}
	l.close()
	if got, _ := os.ReadFile(path); !bytes.Equal(got, whole) {
		t.Errorf("the log is\n%s\nwant\n%s", got, whole)
	}
}

// A run killed before its first checkpoint begins anew, and so does its log: the score of the untrained network is taken again, for without it
// the checkpoints would lack it.
func TestStartAgainWithoutCheckpoint(t *testing.T) {
	o := tinyOptions(t, pictures(t, t.TempDir(), 17))
	o.Config.KNNFreq, o.HoldOut = 1, 0.25
	for range 2 {
		untrained := 0
		ctx, cancel := context.WithCancel(context.Background())
		err := train(t, ctx, o, Events{Epoch: func(e EpochStats) {
			if e.Step == 0 {
				untrained++
			}
			cancel() // before the first step, of which nothing is saved
		}})
		cancel()
		if !errors.Is(err, ErrInterrupted) || untrained != 1 {
			t.Fatalf("%d scores of the untrained network, want 1 (%v)", untrained, err)
		}
	}
	if b, _ := os.ReadFile(filepath.Join(o.OutputDir, LogName)); bytes.Count(b, []byte{'\n'}) != 1 {
		t.Errorf("the log is\n%s\nwant one line", b)
	}
}

func TestResumeRefusesAnotherRun(t *testing.T) {
	dir := t.TempDir()
	ds := pictures(t, dir, 17)
	o := tinyOptions(t, ds)
	trainUntil(t, o, 2)

	var exists *RunExistsError
	if _, err := Open(o); !errors.As(err, &exists) {
		t.Errorf("a new run over an old one: %v", err)
	}
	o.Resume = ResumeLatest
	other := o
	other.Config.LR, other.Config.LocalCropsNumber, other.Config.Precision = 0.5, 1, "bf16" // whose precision may change
	var refused *ResumeError
	if _, err := Open(other); !errors.As(err, &refused) || len(refused.Differences) != 2 ||
		!strings.Contains(err.Error(), "lr: 0.02, now 0.5") || !strings.Contains(err.Error(), "local_crops_number: 2, now 1") {
		t.Errorf("other settings: %v", err)
	}
	writePicture(t, filepath.Join(dir, "lines", "new.png"), 0, 99)
	more, err := dataset.Open(dir, dataset.Options{})
	if err != nil {
		t.Fatal(err)
	}
	other = o
	other.Train = more
	if _, err := Open(other); !errors.As(err, &refused) || !strings.Contains(err.Error(), "images: 34 of") {
		t.Errorf("other data: %v", err)
	}
	o.Config.SaveCkpFreq, o.Config.MaxBad = 7, 0.5 // what does not touch the weights may change
	if err := train(t, context.Background(), o, Events{}); err != nil {
		t.Error(err)
	}
}

// A checkpoint from before a setting existed goes on with what was done then.
func TestSavedConfigOfOlderVersion(t *testing.T) {
	c := Reference()
	text, err := json.Marshal(&c)
	if err != nil {
		t.Fatal(err)
	}
	old := bytes.Replace(text, []byte(`"precision":"float32",`), nil, 1)
	if len(old) == len(text) {
		t.Fatalf("no precision in %s", text)
	}
	if got, err := savedConfig(string(old)); err != nil || got != c {
		t.Errorf("%+v, %v", got, err)
	}
}

// A damaged checkpoint is refused, the tensor named, and the one before offered; what a killed save leaves behind disturbs nobody.
func TestDamagedCheckpoint(t *testing.T) {
	ds := pictures(t, t.TempDir(), 17)
	o := tinyOptions(t, ds)
	trainUntil(t, o, 2)
	o.Resume = ResumeLatest
	trainUntil(t, o, 3)
	path := filepath.Join(o.OutputDir, CheckpointName)
	whole := checkpointBytes(t, o)
	if err := os.WriteFile(path+".tmp", whole[:len(whole)/2], 0o644); err != nil {
		t.Fatal(err)
	}
	if r, err := Open(o); err != nil || r.Trainer.Steps() != 3 {
		t.Fatalf("beside half of a new checkpoint: %v", err)
	} else {
		r.Close()
	}
	for _, test := range []struct {
		name   string
		damage func([]byte) []byte
		want   string
	}{
		{"flipped bit in the last tensor", func(b []byte) []byte { b[len(b)-5] ^= 4; return b }, "optimizer.head.last_layer.weight_v.exp_avg_sq"},
		{"flipped bit in the first", func(b []byte) []byte { b[headerEnd(b)] ^= 1; return b }, "student.backbone.cls_token"},
		{"cut off", func(b []byte) []byte { return b[:len(b)-1000] }, path},
		{"empty", func(b []byte) []byte { return nil }, path},
	} {
		if err := os.WriteFile(path, test.damage(bytes.Clone(whole)), 0o644); err != nil {
			t.Fatal(err)
		}
		var damaged *CheckpointError
		_, err := Open(o)
		if !errors.As(err, &damaged) || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: error %v, want one that names %s", test.name, err, test.want)
			continue
		}
		if want := filepath.Join(o.OutputDir, PreviousCheckpointName); damaged.Previous != want {
			t.Errorf("%s: offers %q, want %q", test.name, damaged.Previous, want)
		}
	}
	o.Resume = filepath.Join(o.OutputDir, PreviousCheckpointName)
	if err := train(t, context.Background(), o, Events{Start: func(s Start) {
		if s.Step != 2 {
			t.Errorf("the previous checkpoint is of step %d, want 2", s.Step)
		}
	}}); err != nil {
		t.Fatal(err)
	}

	// Weights alone are no run.
	bare := filepath.Join(t.TempDir(), "bare.safetensors")
	if err := weights.Save(bare, &weights.Contents{Arrays: []weights.Array{{Name: "cls_token", Shape: []int{1}, Data: []float32{1}}}}); err != nil {
		t.Fatal(err)
	}
	o.Resume = bare
	if _, err := Open(o); err == nil || !strings.Contains(err.Error(), "--init") {
		t.Errorf("resuming from bare weights: %v", err)
	}
}

// headerEnd is where the data of a safetensors file start.
func headerEnd(b []byte) int {
	n := 8
	for i, v := range b[:8] {
		n += int(v) << (8 * i)
	}
	return n
}

func TestKeptCheckpoints(t *testing.T) {
	ds := pictures(t, t.TempDir(), 8)
	o := tinyOptions(t, ds)
	o.Config.Epochs, o.Config.SaveCkpFreq = 4, 2
	saves := 0
	if err := train(t, context.Background(), o, Events{Save: func(s SaveStats) {
		saves++
		if s.Bytes < 1000 || s.Step != 2*saves {
			t.Errorf("save %d: %+v", saves, s)
		}
	}}); err != nil {
		t.Fatal(err)
	}
	if saves != 4 {
		t.Errorf("%d saves in 4 epochs", saves)
	}
	for name, step := range map[string]int{"checkpoint0000.safetensors": 2, "checkpoint0002.safetensors": 6, CheckpointName: 8, PreviousCheckpointName: 6} {
		c, err := ReadCheckpoint(filepath.Join(o.OutputDir, name))
		if err != nil || c.Step != step {
			t.Errorf("%s: %+v, error %v, want step %d", name, c, err, step)
		}
	}
	files, _ := os.ReadDir(o.OutputDir)
	if len(files) != 7 { // those four, log, config, lock
		t.Errorf("the directory holds %v", files)
	}
	text, err := os.ReadFile(filepath.Join(o.OutputDir, "config.json"))
	if err != nil {
		t.Fatal(err)
	}
	var c Config
	if err := json.Unmarshal(text, &c); err != nil || c != o.Config {
		t.Errorf("config.json reads as %+v, error %v", c, err)
	}
	// A finished run has nothing left to do.
	o.Resume = ResumeLatest
	if err := train(t, context.Background(), o, Events{Step: func(s StepStats) { t.Error("a step after the last") }}); err != nil {
		t.Error(err)
	}
}

func TestSaveEvery(t *testing.T) {
	o := tinyOptions(t, pictures(t, t.TempDir(), 17))
	o.SaveEvery = time.Nanosecond
	saves := 0
	if err := train(t, context.Background(), o, Events{Save: func(SaveStats) { saves++ }}); err != nil || saves != 8 {
		t.Errorf("%d saves in 8 steps, error %v", saves, err)
	}
}

func TestTwoRunsInOneDirectory(t *testing.T) {
	ds := pictures(t, t.TempDir(), 8)
	o := tinyOptions(t, ds)
	first, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	_, err = Open(o)
	host, _ := os.Hostname()
	if !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), fmt.Sprintf("process %d on %s", os.Getpid(), host)) {
		t.Errorf("the second run: %v", err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := Open(o) // the file is still there, but nobody holds it
	if err != nil {
		t.Fatal(err)
	}
	again.Close()
}

// One or two bad steps are skipped, three in a row end the run, and the disk keeps the last good state.
func TestNonFiniteRun(t *testing.T) {
	ds := pictures(t, t.TempDir(), 17)
	o := tinyOptions(t, ds)
	o.SaveEvery = -1
	r, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var skipped, warnings int
	err = r.Run(context.Background(), Events{
		Step: func(s StepStats) {
			if s.Skipped != "" {
				skipped++
			}
			if s.Step == 4 { // the first of the second epoch
				poison(r.Trainer.Student, "backbone.norm.weight", float32(math.NaN()))
			}
		},
		Warning: func(w Warning) {
			warnings++
			if w.Kind != "skipped" || !strings.Contains(w.Message, "student.backbone.norm.weight") {
				t.Errorf("warning %+v", w)
			}
		},
	})
	if !errors.Is(err, ErrDiverged) || !strings.Contains(err.Error(), "student.backbone.norm.weight") {
		t.Errorf("the run ends with %v", err)
	}
	if skipped != 3 || warnings != 2 {
		t.Errorf("%d steps skipped, %d warnings, want 3 and 2", skipped, warnings)
	}
	if r.Trainer.Steps() != 4 || !allFinite(r.Trainer.Student.Params()[0].Value) {
		t.Errorf("the trainer is at step %d, want back at 4", r.Trainer.Steps())
	}
	loaded, head, err := LoadTrainer(o.Device, filepath.Join(o.OutputDir, CheckpointName))
	if err != nil || head.Step != 4 || !sameBits(params(loaded.Student), params(r.Trainer.Student)) {
		t.Errorf("the checkpoint is of step %d, error %v", head.Step, err)
	}
}

// Bad steps that do not follow each other are skipped, however many.
func TestSkippedStepsApart(t *testing.T) {
	o := tinyOptions(t, pictures(t, t.TempDir(), 17)) // 8 steps
	r, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	good := at(r.Trainer.Student, "backbone.norm.weight")[1]
	var skipped []int
	err = r.Run(context.Background(), Events{Step: func(s StepStats) {
		if s.Skipped != "" {
			skipped = append(skipped, s.Step)
		}
		value := good
		if next := s.Step + 1; next == 1 || next == 2 || next == 5 || next == 7 {
			value = float32(math.Inf(1))
		}
		poison(r.Trainer.Student, "backbone.norm.weight", value)
	}})
	if err != nil || !slices.Equal(skipped, []int{1, 2, 5, 7}) {
		t.Errorf("steps %v were skipped, error %v", skipped, err)
	}
}

// A damaged image is replaced, told of once, and does not end the run.
func TestBadImage(t *testing.T) {
	dir := t.TempDir()
	pictures(t, dir, 17)
	if err := os.WriteFile(filepath.Join(dir, "lines", "broken.png"), []byte("\x89PNG\r\n\x1a\nnothing"), 0o644); err != nil {
		t.Fatal(err)
	}
	ds, err := dataset.Open(dir, dataset.Options{})
	if err != nil {
		t.Fatal(err)
	}
	o := tinyOptions(t, ds)
	o.Config.BatchSize, o.Config.Epochs, o.Config.WarmupEpochs = 35, 2, 0
	o.Config.KNNFreq, o.Val = 1, ds
	told := 0
	if err := train(t, context.Background(), o, Events{Warning: func(w Warning) {
		if w.Kind == "bad image" && strings.Contains(w.Message, "broken.png") {
			told++
		}
	}, Epoch: func(s EpochStats) {
		if s.KNN == nil || s.KNN.Test != 34 {
			t.Errorf("k-NN %+v, want the 34 good images judged", s.KNN)
		}
	}}); err != nil {
		t.Fatal(err)
	}
	if told != 1 {
		t.Errorf("told of the bad image %d times", told)
	}
	o.OutputDir, o.Config.MaxBad = filepath.Join(t.TempDir(), "run"), 0
	var bad *BadDataError
	if err := train(t, context.Background(), o, Events{}); !errors.As(err, &bad) {
		t.Errorf("with none allowed the run ends with %v", err)
	}
}

func TestKNNDuringTraining(t *testing.T) {
	ds := pictures(t, t.TempDir(), 20)
	o := tinyOptions(t, ds)
	o.Config.KNNFreq, o.HoldOut, o.KNNTrain = 2, 0.2, 20
	o.Config.Epochs = 3
	var epochs []EpochStats
	var judged []float64 // top-1 by hand from what each evaluation gives out
	knn := func(j *KNNJudgement) {
		right := 0
		for i, image := range j.TestFeatures.Index {
			if j.Result.Predicted[i] == j.Test.Label(image) {
				right++
			}
		}
		if j.Train.Len() != 20 || j.TrainFeatures.Len() != 20 || j.Step != 4*len(epochs) {
			t.Errorf("judged after step %d: %d voters, %d of them with features", j.Step, j.Train.Len(), j.TrainFeatures.Len())
		}
		judged = append(judged, 100*float64(right)/float64(j.TestFeatures.Len()))
	}
	if err := train(t, context.Background(), o, Events{KNN: knn, Epoch: func(s EpochStats) {
		if s.KNN != nil && (len(judged) == 0 || judged[len(judged)-1] != s.KNN.Top1) {
			t.Errorf("epoch %d: judged %v, want %g", s.Epoch, judged, s.KNN.Top1)
		}
		epochs = append(epochs, s)
	}, Start: func(s Start) {
		if s.Images != 32 {
			t.Errorf("%d images to train on, want 32 of 40", s.Images)
		}
	}}); err != nil {
		t.Fatal(err)
	}
	if len(judged) != 3 {
		t.Errorf("%d judgements, want 3", len(judged))
	}
	if len(epochs) != 4 {
		t.Fatalf("%d epoch events, want the untrained network and 3", len(epochs))
	}
	for i, s := range epochs {
		if s.Epoch != i-1 || s.Step != 4*i {
			t.Errorf("event %d is of epoch %d, step %d", i, s.Epoch, s.Step)
		}
		if evaluated := s.KNN != nil; evaluated != (i != 1) { // before training, after epochs 2 and 3 (the last)
			t.Errorf("epoch %d evaluated: %v", s.Epoch, evaluated)
			continue
		}
		if k := s.KNN; k != nil && (k.Train != 20 || k.Test != 8 || k.Untrained == nil || *k.Untrained != epochs[0].KNN.Top1 || k.Pixels == nil || !(k.EffectiveRank >= 1)) {
			t.Errorf("epoch %d: %+v", s.Epoch, k)
		}
		if s.Epoch >= 0 && (!(s.Loss > 0) || math.Abs(s.Loss-s.Entropy-s.KL) > 1e-9) {
			t.Errorf("epoch %d: loss %g, entropy %g, KL %g", s.Epoch, s.Loss, s.Entropy, s.KL)
		}
	}
}
