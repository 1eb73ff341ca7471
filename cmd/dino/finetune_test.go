package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/godino-ml/godino/dino"
)

func TestFinetuneCommand(t *testing.T) {
	dir := t.TempDir()
	weights := tinyWeights(t, dir)
	data, out := filepath.Join(dir, "labelled"), filepath.Join(dir, "finetuned")
	imageFolder(t, filepath.Join(data, "train"), 0, 40)
	imageFolder(t, filepath.Join(data, "test"), 40, 20)
	base := []string{"finetune", "--data_path", data, "--output_dir", out, "--epochs", "2", "--batch_size", "8"}
	args := append(base, "--pretrained_weights", weights, "--label_fraction", "0.5")

	want(t, exitUsage, []string{"--from_scratch, and not both"}, base...)
	want(t, exitUsage, []string{"--from_scratch, and not both"}, append(args, "--from_scratch")...)
	want(t, exitUsage, []string{"layer_decay is 2"}, append(args, "--layer_decay", "2")...)
	want(t, exitUsage, []string{"a setting is no finite number"}, append(args, "--lr", "NaN")...)
	want(t, exitData, []string{"check the path"}, "finetune", "--from_scratch", "--data_path", filepath.Join(dir, "nowhere"))
	want(t, exitDone, []string{"50 % of each class", "epoch 2/2 done", "top-1", "done      6 steps"}, args...)
	want(t, exitUsage, []string{"already holds a run"}, args...)
	want(t, exitDone, []string{"settings of the checkpoint", "resumed   at step 6"}, "finetune", "--data_path", data, "--output_dir", out, "--resume")
	want(t, exitCheckpoint, []string{"lr: 0.001, now 0.5"}, "finetune", "--data_path", data, "--output_dir", out, "--resume", "--lr", "0.5")
	want(t, exitCheckpoint, []string{"no state of dino finetune"}, "finetune", "--data_path", data, "--output_dir", out, "--resume", weights)

	// The best network serves the other commands.
	best := filepath.Join(out, dino.BestName)
	k, err := dino.ReadFinetuneCheckpoint(filepath.Join(out, dino.CheckpointName))
	if err != nil {
		t.Fatal(err)
	}
	var s linearScores
	text := want(t, exitDone, nil, "linear", "--evaluate", "--head", best, "--pretrained_weights", best, "--data_path", data, "--json")
	if err := json.Unmarshal([]byte(text), &s); err != nil || s.Top1 == nil || *s.Top1 != k.Progress.Best.Top1 {
		t.Errorf("%s, %v: want %v", text, err, k.Progress.Best)
	}
	want(t, exitDone, []string{"star/044.png\t"}, "classify", "--pretrained_weights", best, "--data_path", filepath.Join(data, "test"))
	want(t, exitDone, []string{"top-1 %"}, "knn", "--pretrained_weights", best, "--data_path", data)
	want(t, exitDone, []string{"top-1 %"}, "knn", "--pretrained_weights", filepath.Join(out, dino.CheckpointName), "--checkpoint_key", "model", "--data_path", data)

	scratch := []string{"finetune", "--from_scratch", "--data_path", data, "--arch", "vit:dim=16,depth=2,heads=2", "--patch_size", "8", "--image_size", "16", "--epochs", "2",
		"--json", "--output_dir", filepath.Join(dir, "scratch")}
	lines := want(t, exitDone, []string{`"result"`, `"epoch"`, `"step"`}, scratch...)
	for line := range strings.Lines(lines) {
		if !json.Valid([]byte(line)) {
			t.Errorf("no JSON: %s", line)
		}
	}

	// Ctrl-C.
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	var o, e bytes.Buffer
	stopped := filepath.Join(dir, "stopped")
	if status := run(ctx, append(args, "--output_dir", stopped), &o, &e); status != exitDone || !strings.Contains(o.String(), "stopped   before the first step") {
		t.Errorf("status %d, %s%s", status, o.String(), e.String())
	}
	if _, err := os.Stat(filepath.Join(stopped, dino.CheckpointName)); err == nil {
		t.Error("a run without a step saved")
	}
}
