package main

import (
	"encoding/json"
	"image"
	"image/png"
	"os"
	"path/filepath"
	"testing"
)

func TestPCACommand(t *testing.T) {
	dir := t.TempDir()
	weights := tinyWeights(t, dir)
	data, out := filepath.Join(dir, "train"), filepath.Join(dir, "pca")
	one := filepath.Join(dir, "one.jpg")
	writeShape(t, one, 3, 50)
	writeFile(t, filepath.Join(data, "star", "broken.jpg"), []byte("\xff\xd8 no more"))
	args := []string{"pca", one, data, "--pretrained-weights", weights, "--image-size", "40", "--output_dir", out}
	var r pcaResult
	text := want(t, exitDone, []string{"broken.jpg"}, append(args, "--images", "0", "--json")...)
	if err := json.Unmarshal([]byte(text), &r); err != nil || r.Images != 17 || r.Patches != 17*25 || len(r.Explained) != 3 || r.Threshold != nil || len(r.Files) != 18 {
		t.Fatalf("%v\n%s", err, text)
	}
	f, err := os.Open(filepath.Join(out, "pca-000-one.png"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	// The picture of 40 px beside its colours, with 4 px around each.
	if img, err := png.Decode(f); err != nil || img.Bounds().Size() != (image.Point{X: 92, Y: 48}) {
		t.Errorf("%v, %v", img.Bounds(), err)
	}
	want(t, exitDone, []string{"foreground: ", "of 3 images"}, append(args, "--images", "2", "--foreground", "--threshold", "0.5", "--invert")...)
	want(t, exitUsage, []string{"--foreground"}, append(args, "--threshold", "0.5")...)
	want(t, exitUsage, []string{"--threshold 2"}, append(args, "--foreground", "--threshold", "2")...)
	want(t, exitUsage, []string{"one.jpg of 50×50 px would have 0×0 patches of 8 px"}, append(args, "--image_size", "7")...)
	want(t, exitData, []string{"none.jpg", "no such file"}, "pca", filepath.Join(dir, "none.jpg"), "--pretrained_weights", weights)
	want(t, exitData, []string{"none", "check the path"}, "pca", filepath.Join(dir, "none"), "--pretrained_weights", weights)
}
