package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"image/png"
	"io"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/godino-ml/godino/dino"
	"github.com/godino-ml/godino/internal/shapes"
	"github.com/godino-ml/godino/nn/weights"
)

// command runs the program in this process.
func command(t *testing.T, args ...string) (status int, out, errOut string) {
	t.Helper()
	var o, e bytes.Buffer
	status = run(context.Background(), args, &o, &e)
	return status, o.String(), e.String()
}

// want runs the program and fails unless it ends with that status and prints all those words, in whatever stream.
func want(t *testing.T, status int, words []string, args ...string) string {
	t.Helper()
	got, out, errOut := command(t, args...)
	if got != status {
		t.Fatalf("dino %s\nended with status %d, want %d; it printed\n%s%s", strings.Join(args, " "), got, status, out, errOut)
	}
	for _, w := range words {
		if !strings.Contains(out+errOut, w) {
			t.Errorf("dino %s\ndoes not say %q, but\n%s%s", strings.Join(args, " "), w, out, errOut)
		}
	}
	return out
}

// imageFolder writes n pictures into class folders below dir.
func imageFolder(t *testing.T, dir string, first, n int) {
	t.Helper()
	for i := first; i < first+n; i++ {
		folder := filepath.Join(dir, shapes.Classes[shapes.Class(i)])
		if err := os.MkdirAll(folder, 0o777); err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		if err := png.Encode(&b, shapes.Picture(1, i, 20)); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(folder, fmt.Sprintf("%03d.png", i)), b.Bytes(), 0o666); err != nil {
			t.Fatal(err)
		}
	}
}

// tiny are flags of a network that trains in no time.
var tiny = []string{"--arch", "vit:dim=16,depth=2,heads=2", "--patch_size", "8", "--out_dim", "32", "--head_hidden_dim", "32", "--head_bottleneck_dim", "16",
	"--global_crops_size", "16", "--local-crops-size", "8", "--local_crops_number=2", "--batch_size_per_gpu", "8", "--warmup_epochs", "1",
	"--norm_last_layer", "false", "--use_fp16", "--global_crops_scale", "0.4", "1.", "--num_workers", "2"}

func TestCommands(t *testing.T) {
	dir := t.TempDir()
	data, run1 := filepath.Join(dir, "data"), filepath.Join(dir, "run")
	imageFolder(t, filepath.Join(data, "train"), 0, 50)
	imageFolder(t, filepath.Join(data, "val"), 50, 20)
	train := append([]string{"train", "--data_path", data, "--output_dir", run1, "--epochs", "2"}, tiny...)

	want(t, exitDone, []string{"50 images", "20 images", "dry run", "norm_last_layer false", "float32", "2 epochs of 6 steps"}, append(train, "--dry_run")...)
	if _, err := os.Stat(run1); !os.IsNotExist(err) {
		t.Error("a dry run wrote", run1)
	}
	want(t, exitDone, []string{"untrained  k-NN", "raw pixels", "epoch 2/2 done", "saved step 12"}, train...)
	weights := filepath.Join(run1, dino.CheckpointName)

	t.Run("again", func(t *testing.T) {
		want(t, exitUsage, []string{"already holds a run", "--resume"}, train...)
		want(t, exitDone, []string{"those of the checkpoint", "resumed"}, "train", "--data_path", data, "--output_dir", run1, "--resume")
		want(t, exitCheckpoint, []string{"lr: 0.0005, now 0.5"}, "train", "--data_path", data, "--output_dir", run1, "--resume", "--lr", "0.5")
	})
	t.Run("knn", func(t *testing.T) {
		features := filepath.Join(dir, "features.safetensors")
		args := []string{"knn", "--nb_knn", "5,20", "--json"}
		first := want(t, exitDone, []string{`"train":50`, `"test":20`, `"classes":10`}, append(args, "--pretrained-weights", weights, "--data_path", data, "--dump_features", features)...)
		again := want(t, exitDone, nil, append(args, "--load_features", features)...)
		if first != again {
			t.Errorf("scores of loaded features differ:\n%s%s", first, again)
		}
		want(t, exitDone, []string{"top-1 %", "k = 50 of 200 asked for"}, "knn", "--load_features", features)
		want(t, exitUsage, []string{"--val_path"}, "knn", "--pretrained_weights", weights, "--data_path", filepath.Join(data, "train"))
	})
	t.Run("embed", func(t *testing.T) {
		val := filepath.Join(data, "val")
		for _, c := range []struct{ tokens, shape string }{{"cls", "(20, 16)"}, {"mean", "(20, 16)"}, {"patch", "(20, 4, 16)"}} {
			out := filepath.Join(dir, c.tokens+".npy")
			want(t, exitDone, []string{"20 images"}, "embed", "--pretrained_weights", weights, "--data_path", val, "--out", out, "--tokens", c.tokens)
			text, err := os.ReadFile(out)
			if err != nil || !bytes.Contains(text[:128], []byte(c.shape)) {
				t.Errorf("%s: %v, header %q, want shape %s", out, err, text[:min(128, len(text))], c.shape)
			}
		}
		want(t, exitDone, nil, "embed", "--pretrained_weights", weights, "--data_path", val, "--out", filepath.Join(dir, "cls.csv"))
		compareCSV(t, filepath.Join(dir, "cls.csv"), filepath.Join(dir, "cls.npy"), filepath.Join(dir, "cls.paths.txt"), 20, 16)
		want(t, exitUsage, []string{".npy or .csv"}, "embed", "--pretrained_weights", weights, "--data_path", val, "--out", "x.txt")
	})
	t.Run("attention", func(t *testing.T) {
		out := filepath.Join(dir, "attention")
		want(t, exitDone, []string{"6×6 patches"}, "attention", "--pretrained_weights", weights, "--image_path", filepath.Join(data, "val", "star", "054.png"),
			"--image_size", "48", "--output_dir", out, "--threshold", "0.6")
		for _, name := range []string{"img", "attn-head0", "attn-head1", "attn-mean", "overlay-mean", "mask-mean"} {
			f, err := os.Open(filepath.Join(out, name+".png"))
			if err != nil {
				t.Fatal(err)
			}
			if c, err := png.DecodeConfig(f); err != nil || c.Width != 48 || c.Height != 48 {
				t.Errorf("%s: %d×%d, %v; want 48×48", name, c.Width, c.Height, err)
			}
			f.Close()
		}
		want(t, exitData, []string{"no such file"}, "attention", "--pretrained_weights", weights, "--image_path", "missing.png")
		want(t, exitUsage, []string{"--image_size"}, "attention", "--pretrained_weights", weights, "--image_path",
			filepath.Join(data, "val", "star", "054.png"), "--image_size", "5", "--output_dir", out)
	})
	t.Run("weights that do not fit", func(t *testing.T) {
		args := []string{"embed", "--data_path", filepath.Join(data, "val"), "--out", filepath.Join(dir, "x.npy"), "--pretrained_weights"}
		want(t, exitCheckpoint, []string{"tensors match vit_tiny", "vit:dim=16,depth=2", "missing"}, append(args, weights, "--arch", "vit_tiny")...)
		want(t, exitCheckpoint, []string{"nowhere.pth"}, append(args, "nowhere.pth")...)
		text, err := os.ReadFile(weights)
		if err != nil {
			t.Fatal(err)
		}
		text[len(text)/2] ^= 1
		damaged := filepath.Join(dir, "damaged.safetensors")
		if err := os.WriteFile(damaged, text, 0o666); err != nil {
			t.Fatal(err)
		}
		want(t, exitCheckpoint, []string{"damaged.safetensors"}, "train", "--data_path", data, "--output_dir", filepath.Join(dir, "other"), "--resume", damaged)
	})
	t.Run("start from weights", func(t *testing.T) {
		want(t, exitDone, []string{"backbone and head of " + weights},
			append([]string{"train", "--data_path", data, "--output_dir", filepath.Join(dir, "init"), "--epochs", "1", "--init", weights}, tiny...)...)
	})
}

// compareCSV checks that a .csv and a .npy of n rows and dim columns hold the same numbers, and that paths come in order.
func compareCSV(t *testing.T, csv, npy, paths string, n, dim int) {
	t.Helper()
	text, err := os.ReadFile(csv)
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(npy)
	if err != nil {
		t.Fatal(err)
	}
	data = data[len(data)-4*n*dim:]
	names, err := os.ReadFile(paths)
	if err != nil {
		t.Fatal(err)
	}
	lines, list := strings.Split(strings.TrimSpace(string(text)), "\n"), strings.Split(strings.TrimSpace(string(names)), "\n")
	if len(lines) != n+1 || len(list) != n {
		t.Fatalf("%d lines and %d paths, want %d and %d", len(lines), len(list), n+1, n)
	}
	for i, line := range lines[1:] {
		cells := strings.Split(line, ",")
		if cells[0] != list[i] || i > 0 && list[i] <= list[i-1] {
			t.Errorf("row %d is of %s, the list says %s after %s", i, cells[0], list[i], list[max(i-1, 0)])
		}
		for j, cell := range cells[1:] {
			var v float32
			fmt.Sscan(cell, &v)
			if w := math.Float32frombits(binary.LittleEndian.Uint32(data[4*(i*dim+j):])); v != w {
				t.Errorf("row %d, column %d: %v in the .csv, %v in the .npy", i, j, v, w)
			}
		}
	}
}

// stopAfter cancels a context when a line with that word has been printed.
type stopAfter struct {
	io.Writer
	word string
	stop context.CancelFunc
}

func (s stopAfter) Write(p []byte) (int, error) {
	if bytes.Contains(p, []byte(s.word)) {
		s.stop()
	}
	return s.Writer.Write(p)
}

// TestInterruptAndResume: a run that is interrupted in mid-epoch ends with 0, and goes on to the same bytes as one that is not.
func TestInterruptAndResume(t *testing.T) {
	dir := t.TempDir()
	data := filepath.Join(dir, "data")
	imageFolder(t, data, 0, 40)
	args := func(out string, more ...string) []string {
		return append(append([]string{"train", "--data_path", data, "--output_dir", filepath.Join(dir, out), "--epochs", "2", "--json", "--val_share", "0.2"}, tiny...), more...)
	}
	want(t, exitDone, nil, args("whole")...)
	ctx, cancel := context.WithCancel(context.Background())
	var out, errOut bytes.Buffer
	if status := run(ctx, args("parts"), stopAfter{&out, `"step":5`, cancel}, &errOut); status != exitDone {
		t.Fatalf("status %d after an interrupt, want 0\n%s", status, errOut.String())
	}
	if !strings.Contains(out.String(), `"interrupted"`) {
		t.Fatalf("was not interrupted:\n%s", out.String())
	}
	want(t, exitDone, nil, args("parts", "--resume", "--num_workers", "5")...)
	for _, file := range []string{dino.CheckpointName, knnCurveName, lossCurveName} {
		whole, err := os.ReadFile(filepath.Join(dir, "whole", file))
		if err != nil {
			t.Fatal(err)
		}
		parts, err := os.ReadFile(filepath.Join(dir, "parts", file))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(whole, parts) {
			t.Errorf("the resumed run's %s differs from the whole run's", file)
		}
	}
}

func TestDataErrors(t *testing.T) {
	dir := t.TempDir()
	args := append([]string{"train", "--output_dir", filepath.Join(dir, "run"), "--epochs", "1", "--data_path"}, "")
	at := func(path string, more ...string) []string {
		return append(append(append(args[:len(args)-1:len(args)-1], path), tiny...), more...)
	}
	want(t, exitData, []string{"no images in", ".webp"}, at(dir)...)
	want(t, exitData, []string{"missing"}, at(filepath.Join(dir, "missing"))...)

	data := filepath.Join(dir, "data")
	imageFolder(t, data, 0, 40)
	bad := filepath.Join(data, "heart", "bad.png")
	if err := os.WriteFile(bad, []byte("\x89PNG\r\n\x1a\n and nothing more"), 0o666); err != nil {
		t.Fatal(err)
	}
	want(t, exitData, []string{"bad.png", "--max_bad"}, at(data, "--val_share", "0")...)
	want(t, exitDone, []string{"bad.png", "1 unreadable"}, at(data, "--max_bad", "0.1", "--val_share", "0", "--resume")...)
}

func TestUsage(t *testing.T) {
	for _, c := range []struct {
		args  []string
		words []string
	}{
		{nil, []string{"--help"}},
		{[]string{"fly"}, []string{"fly"}},
		{[]string{"train"}, []string{"--data_path"}},
		{[]string{"train", "--data_path", ".", "--learning_rate", "1"}, []string{"--learning_rate", "dino train --help"}},
		{[]string{"train", "--data_path", ".", "--epochs", "many"}, []string{"--epochs"}},
		{[]string{"train", "--data_path", ".", "--norm_last_layer=perhaps"}, []string{"neither true nor false"}},
		{[]string{"train", "--data_path", ".", "--global_crops_scale", "0.4"}, []string{"two numbers"}},
		{[]string{"train", "--data_path", ".", "--device", "cuda"}, []string{"CUDA", "--device cpu"}},
		{[]string{"train", "--data_path", ".", "--on_collapse", "wait"}, []string{"warn, adapt or stop"}},
		{[]string{"knn", "--pretrained_weights", "w.pth", "--data_path", ".", "--precision", "fp8"}, []string{"--precision", "float32 or bf16"}},
		{[]string{"embed", "--pretrained_weights", "w.pth", "--data_path", ".", "--out", "o.npy", "--precision", "fp8"}, []string{"--precision", "float32 or bf16"}},
		{[]string{"doctor", "--seconds", "-1"}, []string{"--seconds"}},
		{[]string{"demo", "--images", "3"}, []string{"--images"}},
	} {
		want(t, exitUsage, c.words, c.args...)
	}
	data := t.TempDir()
	imageFolder(t, data, 0, 40)
	for _, c := range [][2]string{
		{"--arch", "resnet50"}, {"--out_dim", "1"}, {"--optimizer", "adam"}, {"--lr", "NaN"}, {"--patch_size", "0"}, {"--val_share", "2"},
		{"--batch_size_per_gpu", "1000"}, {"--precision", "fp32"},
	} {
		want(t, exitUsage, nil, append(append([]string{"train", "--data_path", data, "--output_dir", filepath.Join(data, "run")}, tiny...), c[0], c[1])...)
	}
	file := filepath.Join(data, "settings.json")
	for text, word := range map[string]string{`{"lr": 0.1, "speed": 3}`: "speed", `{"lr": "fast"}`: "lr", `{"lr": 0.1} {}`: "follows", `nothing`: "invalid"} {
		if err := os.WriteFile(file, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
		want(t, exitUsage, []string{file, word}, append([]string{"train", "--data_path", data, "--config", file}, tiny...)...)
	}
}

// TestExitStatuses: scripts rely on the numbers.
func TestExitStatuses(t *testing.T) {
	got := []int{exitDone, exitFailure, exitUsage, exitDiverged, exitData, exitCheckpoint}
	if want := []int{0, 1, 2, 3, 4, 5}; !reflect.DeepEqual(got, want) {
		t.Errorf("statuses %v, want %v", got, want)
	}
	for err, want := range map[error]int{
		fmt.Errorf("x: %w", dino.ErrDiverged):                     3,
		fmt.Errorf("x: %w", dino.ErrCollapsed):                    3,
		fmt.Errorf("x: %w", dino.ErrLocked):                       2,
		&dino.RunExistsError{}:                                    2,
		&dino.BadDataError{}:                                      4,
		&dino.ResumeError{}:                                       5,
		&dino.CheckpointError{Err: io.EOF}:                        5,
		fmt.Errorf("weights: %w", error(weights.Match(nil, nil))): 5,
		fmt.Errorf("disk full"):                                   1,
		fmt.Errorf("wrapped: %w", usageError("--lr")):             2,
	} {
		if got := exitStatus(runError(err)); got != want {
			t.Errorf("%T %v: status %d, want %d", err, err, got, want)
		}
	}
}

func TestHelpHasAnExample(t *testing.T) {
	want(t, exitDone, []string{"Exit status"}, "--help")
	want(t, exitDone, []string{"godino"}, "--version")
	for _, name := range []string{"train", "knn", "embed", "attention", "demo", "doctor", "bench"} {
		want(t, exitDone, []string{"Example", "dino " + name}, name, "--help")
	}
}

func TestDoctor(t *testing.T) {
	want(t, exitDone, []string{"kernels", "cores", "memory", "GPU", "GFLOP/s", "bf16"}, "doctor", "--seconds", "0.05")
	var f findings
	if err := json.Unmarshal([]byte(want(t, exitDone, nil, "doctor", "--seconds", "0", "--json")), &f); err != nil || f.Kernels == "" || f.Cores < 1 {
		t.Errorf("--json: %+v, %v", f, err)
	}
	t.Setenv("GODINO_KERNELS", "quantum")
	want(t, exitUsage, []string{"quantum", "reference"}, "doctor")
}

// TestSettingFlagsCoverConfig: every setting of dino.Config has its flag, under the same name, and no flag is without setting.
func TestSettingFlagsCoverConfig(t *testing.T) {
	names := func(v any) map[string]bool {
		set := map[string]bool{}
		for i := range reflect.TypeOf(v).NumField() {
			name, _, _ := strings.Cut(reflect.TypeOf(v).Field(i).Tag.Get("json"), ",")
			set[name] = true
		}
		return set
	}
	settings, flags := names(dino.Config{}), names(settingFlags{})
	for n := range settings {
		if !flags[n] {
			t.Errorf("no flag for the setting %s", n)
		}
	}
	for n := range flags {
		if !settings[n] {
			t.Errorf("no setting for the flag %s", n)
		}
	}
	_, help, _ := command(t, "train", "--help")
	for n := range flags {
		if !strings.Contains(help, "--"+n) {
			t.Errorf("dino train --help does not know --%s", n)
		}
	}
}

// TestReferenceCommandLine: command lines of the reference's README are understood.
func TestReferenceCommandLine(t *testing.T) {
	data := t.TempDir()
	imageFolder(t, data, 0, 70)
	out := want(t, exitDone, []string{"vit_small/16", "65,536", "2×224 + 8×96", "100 epochs"}, "train", "--preset", "reference", "--dry_run",
		"--data_path", data, "--output_dir", filepath.Join(data, "out"), "--teacher_temp", "0.07", "--warmup_teacher_temp_epochs", "30", "--norm_last_layer", "false",
		"--use_fp16", "true", "--local_crops_scale", "0.05", "0.4", "--freeze_last_layer", "1", "--dist_url", "env://", "--local_rank", "0", "--num_workers", "10",
		"--val_share", "0")
	for _, given := range []string{"teacher_temp 0.07", "norm_last_layer false", "local_crops_scale 0.05 0.4"} {
		if !strings.Contains(out, given) {
			t.Errorf("does not repeat %q:\n%s", given, out)
		}
	}
}

func TestUnderscored(t *testing.T) {
	got := underscored([]string{"train", "--data-path", "my-photos", "--lr=1e-3", "--local-crops-scale=0.1,0.4", "-v", "--", "--as-it-is"})
	w := []string{"train", "--data_path", "my-photos", "--lr=1e-3", "--local_crops_scale=0.1,0.4", "-v", "--", "--as-it-is"}
	if !reflect.DeepEqual(got, w) {
		t.Errorf("got %q, want %q", got, w)
	}
	for field, w := range map[string]string{"OutDim": "out_dim", "NbKNN": "nb_knn", "UseFP16": "use_fp16", "LR": "lr", "PretrainedWeights": "pretrained_weights"} {
		if got := snakeCase(field); got != w {
			t.Errorf("%s becomes %s, want %s", field, got, w)
		}
	}
}

func TestDemo(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "demo")
	args := []string{"demo", "--images", "256", "--epochs", "1", "--arch", "vit:dim=16,depth=1,heads=2", "--patch_size", "8", "--output_dir", dir}
	want(t, exitDone, []string{"untrained  k-NN", "epoch 1/1 done", "raw pixels", "report.html"}, args...)
	page, err := os.ReadFile(filepath.Join(dir, "report.html"))
	if err != nil {
		t.Fatal(err)
	}
	if n := bytes.Count(page, []byte(`<img src="data:image/png;base64,`)); n != 5 {
		t.Errorf("the report holds %d pictures, want 5", n)
	}
	for _, word := range []string{"untrained network", "vit:dim=16", "crescent"} {
		if !bytes.Contains(page, []byte(word)) {
			t.Errorf("the report lacks %q", word)
		}
	}
	want(t, exitUsage, []string{"already holds a run"}, args...)
}
