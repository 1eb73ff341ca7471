package main

import (
	"encoding/json"
	"fmt"
	"image"
	"image/gif"
	"image/jpeg"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/godino-ml/godino/dino"
	"github.com/godino-ml/godino/dino/dataset"
	"github.com/godino-ml/godino/dino/viz"
	"github.com/godino-ml/godino/internal/shapes"
)

// tinyWeights trains a network for a moment.
func tinyWeights(t *testing.T, dir string) string {
	t.Helper()
	data := filepath.Join(dir, "train")
	imageFolder(t, data, 0, 16)
	want(t, exitDone, nil, append([]string{"train", "--data_path", data, "--output_dir", filepath.Join(dir, "run"), "--epochs", "1", "--knn_freq", "0", "--val_share", "0"}, tiny...)...)
	return filepath.Join(dir, "run", dino.CheckpointName)
}

func writeFile(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o666); err != nil {
		t.Fatal(err)
	}
}

func writeShape(t *testing.T, path string, i, size int) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := jpeg.Encode(f, shapes.Picture(1, i, size), nil); err != nil {
		t.Fatal(err)
	}
}

func TestRetrievalCommand(t *testing.T) {
	dir := t.TempDir()
	weights := tinyWeights(t, dir)
	data := filepath.Join(dir, "set")
	for i := range 6 {
		writeShape(t, filepath.Join(data, "jpg", fmt.Sprintf("im%d.jpg", i)), i, 40)
	}
	writeShape(t, filepath.Join(data, "jpg", "q.jpg"), 2, 40)
	truth := filepath.Join(dir, "truth.json")
	args := []string{"retrieval", "--pretrained-weights", weights, "--data_path", data, "--imsize", "32", "--gnd", truth}
	text := `{"images": ["im0", "im1.jpg", "jpg/im2.jpg", "im3", "im4", "im5"], "queries": [{"image": "q", "box": [4, 4, 36, 36], "easy": ["jpg/im2.jpg"], "hard": [], "junk": ["im0"]}]}`
	writeFile(t, truth, []byte(text))
	// The query is image 2 once more: nothing is nearer, whatever the network.
	out := want(t, exitDone, []string{"6 images searched for 1 query of truth.json", "Medium  100.00  100.00", "Hard       -"}, append(args, "--multiscale", "true")...)
	if !strings.Contains(out, "3 scales") {
		t.Errorf("not at three scales:\n%s", out)
	}
	var r retrievalResult
	if err := json.Unmarshal([]byte(want(t, exitDone, nil, append(args, "--json", "--crop_queries")...)), &r); err != nil || r.Medium.MAP == nil || r.Hard.MAP != nil || len(r.PerQ) != 1 {
		t.Errorf("%+v, %v", r, err)
	}
	writeFile(t, filepath.Join(data, "jpg", "im3.jpg"), []byte("\xff\xd8 no more"))
	want(t, exitDone, []string{"im3.jpg", "1 image that cannot be read"}, args...)
	writeFile(t, truth, []byte(strings.Replace(text, `"q"`, `"im9"`, 1)))
	want(t, exitData, []string{"im9"}, args...)
	writeFile(t, truth, []byte("\x80\x02cposix\nsystem\n(X\x02\x00\x00\x00lstR."))
	want(t, exitData, []string{"truth.json", "posix.system"}, args...)
	want(t, exitData, []string{"gnd_roxford5k.pkl", "--gnd"}, args[:len(args)-2]...)
	want(t, exitUsage, []string{"rparis6k"}, append(args[:len(args)-2], "--dataset", "holidays")...)
	want(t, exitUsage, []string{"--imsize"}, append(args, "--imsize", "0")...)
	gnd, err := os.ReadFile("../../dino/eval/testdata/gnd_lists_4.pkl")
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(data, "rparis6k", "gnd_rparis6k.pkl"), gnd)
	want(t, exitData, []string{"301 images of 301 that the ground truth names are not there: oxford_000000"}, append(args[:len(args)-2], "--dataset", "rparis6k")...)
}

func TestCopyDetectCommand(t *testing.T) {
	dir := t.TempDir()
	weights := tinyWeights(t, dir)
	source, set := filepath.Join(dir, "train"), filepath.Join(dir, "copies")
	making := []string{"copydetect", "--data_path", source, "--make-attacks", set, "--originals", "5", "--distractors", "6"}
	want(t, exitDone, []string{"5 originals", "6 distractors", "names.csv"}, making...)
	want(t, exitUsage, []string{"not empty"}, making...)
	want(t, exitUsage, []string{"within the source"}, "copydetect", "--data_path", source, "--make_attacks", filepath.Join(source, "star", "new"))
	args := []string{"copydetect", "--pretrained_weights", weights, "--data_path", set, "--imsize", "32"}
	out := want(t, exitDone, []string{"copies of 5 originals among 6 distractors", "jpegqual/75", "mean"}, args...)
	if strings.Index(out, "strong") > strings.Index(out, "blur/2") {
		t.Errorf("strong does not come first:\n%s", out)
	}
	var s copyScores
	if err := json.Unmarshal([]byte(want(t, exitDone, []string{"guesswork"}, append(args, "--json", "--whitening_path", source)...)), &s); err != nil || s.Whitening != 16 || len(s.Blocks) < 20 {
		t.Errorf("%+v, %v", s, err)
	}
	want(t, exitData, []string{"original/", "--make_attacks"}, "copydetect", "--pretrained_weights", weights, "--data_path", source)
	want(t, exitUsage, []string{"--pretrained_weights"}, "copydetect", "--data_path", set)
	if err := os.RemoveAll(filepath.Join(set, "strong")); err != nil {
		t.Fatal(err)
	}
	writeShape(t, filepath.Join(set, "strong", "9999.jpg"), 1, 20)
	want(t, exitData, []string{"strong", "first four letters"}, args...)
}

// davis writes a video of n frames with a square that moves, and its masks, and returns the folder.
func davis(t *testing.T, dir string, n int, white bool) string {
	t.Helper()
	for i := range n {
		img := shapes.Picture(1, 3, 64)
		labels := make([]uint8, 64*64)
		for at := range labels {
			if x, y := at%64-4*i, at/64; x >= 8 && x < 32 && y >= 16 && y < 40 {
				labels[at] = 1
				if white {
					labels[at] = 255
				}
				copy(img.Pix[4*at:], []byte{250, byte(8 * x), 20})
			}
		}
		frame := filepath.Join(dir, "JPEGImages", "480p", "square", fmt.Sprintf("%05d.jpg", i))
		if err := os.MkdirAll(filepath.Dir(frame), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := writeJPEG(frame, img); err != nil {
			t.Fatal(err)
		}
		palette := dataset.MaskPalette
		if white {
			palette = nil
		}
		mask, err := viz.Indexed(64, 64, labels, palette)
		if err != nil {
			t.Fatal(err)
		}
		writeFile(t, filepath.Join(dir, "Annotations", "480p", "square", fmt.Sprintf("%05d.png", i)), mask)
	}
	return dir
}

func TestVideoSegCommand(t *testing.T) {
	dir := t.TempDir()
	weights, out := tinyWeights(t, dir), filepath.Join(dir, "out")
	for _, white := range []bool{false, true} {
		data := davis(t, filepath.Join(dir, fmt.Sprint("davis", white)), 5, white)
		args := []string{"videoseg", "--pretrained_weights", weights, "--data_path", data, "--imsize", "128", "--output_dir", filepath.Join(out, fmt.Sprint(white))}
		var r videoSegResult
		if err := json.Unmarshal([]byte(want(t, exitDone, nil, append(args, "--json", "--overlay")...)), &r); err != nil || r.Frames != 5 || r.JF == nil || !(*r.JF > 0.3) || len(r.Objects) != 1 {
			t.Errorf("%+v, %v", r, err)
		}
		for i := range 5 {
			f, err := os.Open(filepath.Join(out, fmt.Sprint(white), "square", fmt.Sprintf("%05d.png", i)))
			if err != nil {
				t.Fatal(err)
			}
			img, err := png.Decode(f)
			f.Close()
			if err != nil || img.Bounds().Size() != image.Pt(64, 64) {
				t.Fatalf("frame %d: %v", i, err)
			}
			grey, isGrey := img.(*image.Gray)
			if isGrey != white || white && grey.GrayAt(20, 25).Y != 255 && i == 0 {
				t.Errorf("white %v: frame %d is %T", white, i, img)
			}
		}
		if _, err := os.Stat(filepath.Join(out, fmt.Sprint(white), "square-overlay", "00004.jpg")); err != nil {
			t.Error(err)
		}
	}
	data := filepath.Join(dir, "davisfalse")
	pair := []string{"videoseg", "--pretrained_weights", weights, "--imsize", "64", "--output_dir", out, "--frames", filepath.Join(data, "JPEGImages", "480p", "square"), "--masks"}
	masks := filepath.Join(data, "Annotations", "480p", "square")
	want(t, exitDone, []string{"5 frames of 1 video", "square 1"}, append(pair, masks)...)
	if err := os.Remove(filepath.Join(masks, "00002.png")); err != nil {
		t.Fatal(err)
	}
	want(t, exitDone, []string{"square is not scored"}, append(pair, masks)...)
	want(t, exitData, []string{"no PNG named as the first frame"}, append(pair, filepath.Join(dir, "davistrue", "JPEGImages"))...)
	writeFile(t, filepath.Join(masks, "00000.png"), []byte("no picture"))
	want(t, exitData, []string{"00000.png", "no PNG"}, append(pair, masks)...)
	want(t, exitUsage, []string{"--frames and --masks"}, "videoseg", "--pretrained_weights", weights)
	want(t, exitUsage, []string{"--topk"}, "videoseg", "--pretrained_weights", weights, "--data_path", data, "--topk", "0")
	want(t, exitData, []string{"no frames of the sequence"}, "videoseg", "--pretrained_weights", weights, "--data_path", data, "--sequences", "cow")
}

func TestVideoCommand(t *testing.T) {
	dir := t.TempDir()
	weights := tinyWeights(t, dir)
	frames := filepath.Join(davis(t, filepath.Join(dir, "davis"), 3, false), "JPEGImages", "480p", "square")
	out := filepath.Join(dir, "out")
	args := []string{"video", "--pretrained_weights", weights, "--input_path", frames, "--output_path", out}
	want(t, exitDone, []string{"3 frames of 64×64", "video.gif"}, append(args, "--fps", "10")...)
	f, err := os.Open(filepath.Join(out, "video.gif"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if g, err := gif.DecodeAll(f); err != nil || len(g.Image) != 3 || g.Delay[0] != 10 || g.Config.Width != 64 {
		t.Errorf("%v", err)
	}
	if _, err := os.Stat(filepath.Join(out, "attention", "attn-00002.jpg")); err != nil {
		t.Error(err)
	}
	want(t, exitDone, []string{"3 frames of 64×32", "video.png"}, append(args, "--resize", "64,32", "--video_format", "png", "--threshold", "0.6", "--frame_format", "png",
		"--output_path", filepath.Join(dir, "png"))...)
	want(t, exitDone, []string{"128×64"}, append(args, "--show", "both", "--video_format", "png")...)
	want(t, exitDone, []string{"3 frames of 64×64"}, "video", "--video_only", "--input_path", filepath.Join(out, "attention"), "--output_path", filepath.Join(dir, "again"), "--max_frames", "3")
	want(t, exitUsage, []string{"ffmpeg"}, append(args, "--video_format", "mp4")...)
	want(t, exitUsage, []string{"--video_only"}, "video", "--input_path", frames)
	want(t, exitUsage, []string{"--resize"}, append(args, "--resize", "3,4,5")...)
	want(t, exitUsage, []string{"patches"}, append(args, "--resize", "5")...)
	writeFile(t, filepath.Join(frames, "00001.jpg"), []byte("\xff\xd8 no more"))
	want(t, exitData, []string{"00001.jpg"}, args...)
}

func TestEvaluationHelpHasAnExample(t *testing.T) {
	for _, name := range []string{"retrieval", "copydetect", "videoseg", "video"} {
		want(t, exitDone, []string{"Example", "dino " + name}, name, "--help")
	}
}
