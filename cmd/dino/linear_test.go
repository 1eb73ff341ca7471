package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/godino-ml/godino/dino"
	"github.com/godino-ml/godino/tensor"
)

func TestLinearCommand(t *testing.T) {
	dir := t.TempDir()
	weights := tinyWeights(t, dir)
	data, out := filepath.Join(dir, "labelled"), filepath.Join(dir, "linear")
	imageFolder(t, filepath.Join(data, "train"), 0, 40)
	imageFolder(t, filepath.Join(data, "test"), 40, 20)
	base := []string{"linear", "--pretrained_weights", weights, "--data_path", data, "--output_dir", out}
	args := append(base, "--epochs", "3", "--lr", "0.1,1", "--n_last_blocks", "2", "--avgpool_patchtokens", "true", "--num_labels", "1000", "--use_cuda", "false")

	want(t, exitUsage, []string{"--label_fraction 0", "above 0"}, append(args, "--label_fraction", "0")...)
	want(t, exitUsage, []string{"--n_last_blocks 9", "has 2"}, append(base, "--n_last_blocks", "9")...)
	want(t, exitUsage, []string{"lr is -1"}, append(base, "--lr=-1")...)
	want(t, exitUsage, []string{"--val_path"}, "linear", "--pretrained_weights", weights, "--data_path", filepath.Join(data, "train"))
	want(t, exitCheckpoint, []string{"head.safetensors"}, append(base, "--evaluate")...)
	want(t, exitDone, []string{"25 % of each class", "epoch 3/3", "lr 0.1", "lr 1 ", "10 images, 10 classes, 3 epochs"}, append(args, "--label_fraction", "0.25")...)
	want(t, exitUsage, []string{"already holds head.safetensors"}, args...)

	var s linearScores
	again := want(t, exitDone, nil, append(base, "--evaluate", "--json")...)
	if err := json.Unmarshal([]byte(again), &s); err != nil || s.Top1 == nil || s.Test != 20 || s.Classes != 10 {
		t.Errorf("%s: %v", again, err)
	}
	k, err := dino.LoadClassifier(tensor.CPU(), filepath.Join(out, dino.HeadName))
	if err != nil || k.Top1 != *s.Top1 || k.Tokens != dino.ClassAndMean {
		t.Errorf("the head says %+v, %v; its evaluation %v", k, err, *s.Top1)
	}

	other := filepath.Join(dir, "other")
	lines := want(t, exitDone, []string{`"epoch"`, `"result"`}, append(args, "--json", "--cache_features", "--output_dir", other)...)
	for line := range strings.Lines(lines) {
		if !json.Valid([]byte(line)) {
			t.Errorf("no JSON: %s", line)
		}
	}

	classify := []string{"classify", "--pretrained_weights", weights, "--data_path", filepath.Join(data, "test")}
	want(t, exitCheckpoint, []string{"holds no classifier"}, classify...)
	if err := os.WriteFile(filepath.Join(data, "test", "star", "999.png"), []byte("no picture"), 0o666); err != nil {
		t.Fatal(err)
	}
	text := want(t, exitDone, []string{"star/044.png\t", "left out", "999.png"}, append(classify, "--head", filepath.Join(out, dino.HeadName), "--top", "3")...)
	right, n := 0, 0
	for line := range strings.Lines(text) {
		fields := strings.Split(strings.TrimSpace(line), "\t")
		if len(fields) != 7 || fields[2] < fields[4] || fields[4] < fields[6] {
			t.Errorf("not three classes, the most probable first: %q", line)
			continue
		}
		n++
		if strings.HasPrefix(fields[0], fields[1]+"/") {
			right++
		}
	}
	if n != 20 || float64(100*right)/20 != *s.Top1 {
		t.Errorf("%d of %d lines are right; the evaluation says %v %%", right, n, *s.Top1)
	}
	want(t, exitDone, []string{`"classes":[{"class":`}, append(classify, "--head", filepath.Join(out, dino.HeadName), "--json")...)

	// A classifier of another network.
	want(t, exitDone, nil, append([]string{"train", "--data_path", filepath.Join(data, "train"), "--output_dir", filepath.Join(dir, "run2"), "--epochs", "1", "--knn_freq", "0", "--val_share", "0", "--seed", "5"}, tiny...)...)
	want(t, exitCheckpoint, []string{"other weights"}, "classify", "--pretrained_weights", filepath.Join(dir, "run2", dino.CheckpointName), "--data_path", data, "--head", filepath.Join(out, dino.HeadName))
}

func TestKNNOfAShareOfTheLabels(t *testing.T) {
	dir := t.TempDir()
	weights := tinyWeights(t, dir)
	imageFolder(t, filepath.Join(dir, "labelled", "train"), 0, 40)
	imageFolder(t, filepath.Join(dir, "labelled", "test"), 40, 20)
	args := []string{"knn", "--pretrained_weights", weights, "--data_path", filepath.Join(dir, "labelled"), "--nb_knn", "5", "--json"}
	want(t, exitDone, []string{`"train":20`, `"test":20`}, append(args, "--label_fraction", "0.5")...)
	want(t, exitDone, []string{`"train":40`}, args...)
	want(t, exitUsage, []string{"--label_fraction 2"}, append(args, "--label_fraction", "2")...)
	want(t, exitUsage, []string{"--load_features"}, "knn", "--load_features", "x", "--label_fraction", "0.5")
}
