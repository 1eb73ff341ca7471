package main

import (
	"bytes"
	"encoding/json"
	"image"
	"image/png"
	"os"
	"path/filepath"
	"testing"

	"github.com/godino-ml/godino/dino"
)

// TestVerifyWeights: a run's checkpoints are whole; a flipped bit, a cut and a state that does not read are found, each by its name.
func TestVerifyWeights(t *testing.T) {
	dir := t.TempDir()
	data, run1 := filepath.Join(dir, "data"), filepath.Join(dir, "run")
	imageFolder(t, data, 0, 24)
	want(t, exitDone, nil, append([]string{"train", "--data_path", data, "--output_dir", run1, "--epochs", "1", "--knn_freq", "0"}, tiny...)...)
	path := filepath.Join(run1, dino.CheckpointName)
	left := filepath.Join(run1, "checkpoint.safetensors.tmp")
	if err := os.WriteFile(left, []byte("half"), 0o666); err != nil {
		t.Fatal(err)
	}
	want(t, exitDone, []string{"whole    " + path, "step 2, epoch 1", "checksums: each tensor", "left     " + left}, "verify", run1)
	want(t, exitDone, []string{"whole"}, "verify", path)

	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for what, c := range map[string]struct {
		change func(b []byte) []byte
		say    string
	}{
		"a bit":   {func(b []byte) []byte { b[len(b)-5] ^= 4; return b }, "is damaged: the checksum"},
		"header":  {func(b []byte) []byte { b[20] ^= 1; return b }, "header"},
		"cut":     {func(b []byte) []byte { return b[:len(b)-9] }, "cut short"},
		"garbage": {func(b []byte) []byte { return []byte("nothing of the kind") }, "neither"},
	} {
		if err := os.Remove(path); err != nil { // the epoch's checkpoint is a link to it
			t.Fatal(err)
		}
		if err := os.WriteFile(path, c.change(bytes.Clone(good)), 0o666); err != nil {
			t.Fatal(err)
		}
		want(t, exitCheckpoint, []string{"damaged  " + path, c.say, "1 of"}, "verify", run1)
		var r weightsReport
		_, out, _ := command(t, "verify", run1, "--json")
		if err := json.Unmarshal([]byte(out), &r); err != nil || r.Damaged != 1 || len(r.Leftovers) != 1 {
			t.Errorf("%s: %+v, %v", what, r, err)
		}
	}
}

// TestVerifyImages: damaged and too large pictures are named, copies too; only the first two fail.
func TestVerifyImages(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	imageFolder(t, data, 0, 12)
	want(t, exitDone, []string{"12 images", "12 whole, 0 damaged, 0 too large, 0 sets of copies"}, "verify", data)

	var b bytes.Buffer
	if err := png.Encode(&b, image.NewGray(image.Rect(0, 0, 300, 200))); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{"b/one.png": b.Bytes(), "a/two.png": b.Bytes(), "a/three.png": b.Bytes()} {
		path := filepath.Join(data, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, content, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	want(t, exitDone, []string{"15 whole", "1 set of copies", "copies     a/three.png, a/two.png, b/one.png"}, "verify", data)
	want(t, exitData, []string{"12 whole, 0 damaged, 3 too large", "too large  a/two.png: 300×200 pixels", "3 of 15 images cannot be used"}, "verify", data, "--max_pixels", "50000")
	if err := os.WriteFile(filepath.Join(data, "cut.png"), b.Bytes()[:b.Len()-20], 0o666); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(data, "empty.jpg"), nil, 0o666); err != nil {
		t.Fatal(err)
	}
	want(t, exitData, []string{"damaged    cut.png", "damaged    empty.jpg: the file is empty"}, "verify", data)
	var r imagesReport
	_, out, _ := command(t, "verify", data, "--json")
	if err := json.Unmarshal([]byte(out), &r); err != nil || r.Images != 17 || r.Whole != 15 || len(r.Damaged) != 2 || len(r.TooLarge) != 0 || len(r.Copies) != 1 {
		t.Errorf("%+v, %v", r, err)
	}
	want(t, exitData, []string{"check the path"}, "verify", filepath.Join(data, "nothing"))
	want(t, exitUsage, []string{"--num_workers"}, "verify", data, "--num_workers", "-1")
}
