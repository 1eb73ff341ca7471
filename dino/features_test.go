package dino

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/godino-ml/godino/autograd"
	"github.com/godino-ml/godino/dino/augment"
	"github.com/godino-ml/godino/dino/dataset"
	"github.com/godino-ml/godino/tensor"
)

func TestFeatures(t *testing.T) {
	dir := t.TempDir()
	pictures(t, dir, 5)
	if err := os.WriteFile(filepath.Join(dir, "lines", "001b.png"), []byte("no picture"), 0o644); err != nil {
		t.Fatal(err)
	}
	ds, err := dataset.Open(dir, dataset.Options{})
	if err != nil {
		t.Fatal(err)
	}
	tr := newTrainer(t, tinyConfig(), 16)
	backbone, transform := tr.Teacher.Backbone, augment.Whole(16)
	ctx := context.Background()
	const bad = 2 // of the sorted order
	for _, tokens := range []Tokens{ClassToken, MeanToken, PatchTokens} {
		var done, told int
		f, err := Features(ctx, tr.dev, backbone, ds, transform, FeatureOptions{Tokens: tokens, Progress: func(n, of int) { done = n },
			EvalOptions: EvalOptions{Batch: 4, Workers: 3, MaxBad: 0.5, OnBad: func(BadSample) { told++ }}})
		if err != nil {
			t.Fatal(err)
		}
		if want := []int{0, 1, 3, 4, 5, 6, 7, 8, 9, 10}; !slices.Equal(f.Index, want) || f.Len() != 10 || done != 11 || told != 1 {
			t.Errorf("%s: images %v in %d rows, %d done, %d bad", tokens, f.Index, f.Len(), done, told)
		}
		if want := []int{0, 0, 0, 0, 0, 1, 1, 1, 1, 1}; !slices.Equal(f.Labels, want) {
			t.Errorf("%s: labels %v", tokens, f.Labels)
		}
		// The last image on its own.
		img, err := ds.Load(10)
		if err != nil {
			t.Fatal(err)
		}
		x := tensor.New(tr.dev, 1, 3, 16, 16)
		transform.Apply(new(augment.Scratch), x.Data(), img)
		tape := autograd.NewEvalTape(tensor.NewArena(tr.dev))
		all := backbone.Tokens(tape, autograd.NewConst(x), nil).Value.Data() // (1, 17, 32)
		want := all[:32]
		switch tokens {
		case PatchTokens:
			want = all[32:]
		case MeanToken:
			want = make([]float32, 32)
			for i, v := range all[32:] {
				want[i%32] += v / 16
			}
		}
		if f.Dim != len(want) {
			t.Fatalf("%s: %d numbers an image, want %d", tokens, f.Dim, len(want))
		}
		closeTo(t, string(tokens), f.Data[9*f.Dim:], want, 1e-5)
	}
	if _, err := Features(ctx, tr.dev, backbone, ds, transform, FeatureOptions{Tokens: "words"}); err == nil {
		t.Error("tokens that do not exist are no error")
	}
	if _, err := Features(ctx, tr.dev, backbone, ds, augment.Whole(3), FeatureOptions{}); err == nil {
		t.Error("pictures smaller than a patch are no error")
	}
	var tooMany *BadDataError
	if _, err := Features(ctx, tr.dev, backbone, ds, transform, FeatureOptions{}); !errors.As(err, &tooMany) {
		t.Errorf("a bad image where none is allowed: %v", err)
	}
	ended, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := Features(ended, tr.dev, backbone, ds, transform, FeatureOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("after the context's end: %v", err)
	}
	pixels, err := PixelFeatures(ctx, ds, 8, EvalOptions{MaxBad: 0.5})
	if err != nil || pixels.Dim != 3*8*8 || pixels.Len() != 10 || slices.Contains(pixels.Index, bad) {
		t.Errorf("pixels: %d rows of %d, images %v, error %v", pixels.Len(), pixels.Dim, pixels.Index, err)
	}
}
