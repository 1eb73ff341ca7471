package dino

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/godino-ml/godino/autograd"
	"github.com/godino-ml/godino/dino/augment"
	"github.com/godino-ml/godino/dino/dataset"
	"github.com/godino-ml/godino/dino/eval"
	"github.com/godino-ml/godino/internal/shapes"
	"github.com/godino-ml/godino/nn"
	"github.com/godino-ml/godino/tensor"
)

func tinyBackbone(t *testing.T) (*tensor.Device, *nn.VisionTransformer) {
	t.Helper()
	c, err := nn.ParseArch("vit:dim=16,depth=2,heads=2", 8, 32)
	if err != nil {
		t.Fatal(err)
	}
	return tensor.CPU(), nn.NewVisionTransformer(tensor.CPU(), c, 3)
}

func shape(i, size int) *dataset.RGB { return dataset.FromImage(shapes.Picture(1, i, size)) }

func TestPicturesInOrder(t *testing.T) {
	var got []int
	err := Pictures(context.Background(), 40, 5, func(i int) (*dataset.RGB, error) {
		switch i {
		case 7:
			return nil, errors.New("seven")
		case 9:
			panic("nine")
		}
		return dataset.NewRGB(i+1, 1), nil
	}, func(i int, img *dataset.RGB, err error) error {
		got = append(got, i)
		switch {
		case i == 7 && err != nil && err.Error() == "seven", i == 9 && err != nil && strings.Contains(err.Error(), "nine"):
		case err != nil || img.W != i+1:
			t.Errorf("picture %d: %v, %v", i, img, err)
		}
		return nil
	})
	if err != nil || len(got) != 40 || !slices.IsSorted(got) {
		t.Errorf("%v, %v", got, err)
	}
	stop := errors.New("stop")
	if err := Pictures(context.Background(), 40, 2, func(int) (*dataset.RGB, error) { return nil, nil }, func(i int, _ *dataset.RGB, _ error) error {
		if i == 3 {
			return stop
		}
		return nil
	}); err != stop {
		t.Errorf("f's error became %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := Pictures(ctx, 40, 2, func(int) (*dataset.RGB, error) { return nil, nil }, func(int, *dataset.RGB, error) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// TestPyramid: at one scale the feature is the class token; at several it is the direction of their mean, each resized on its own.
func TestPyramid(t *testing.T) {
	dev, m := tinyBackbone(t)
	e := NewEncoder(dev, m)
	img := augment.Resize(shape(4, 48), 48, 40)
	forward := func(planes []float32, h, w int) []float32 {
		x := autograd.NewConst(tensor.FromSlice(dev, planes, 1, 3, h, w))
		return slices.Clone(m.Forward(autograd.NewEvalTape(tensor.NewArena(dev)), x, nil).Value.Data())
	}
	planes := make([]float32, 3*48*40)
	augment.Normalize(planes, img, augment.ImageNetMean, augment.ImageNetStd)
	want := forward(planes, 40, 48)
	if got := e.Pyramid(img, []float64{1}); !slices.Equal(got, want) {
		t.Error("one scale is not the class token")
	}
	sum := slices.Clone(want)
	for _, s := range []struct {
		h, w  int
		scale float64
	}{{28, 33, 1 / math.Sqrt2}, {20, 24, 0.5}} {
		small := make([]float32, 3*s.h*s.w)
		augment.Bilinear(small, planes, 3, 40, 48, s.h, s.w, s.scale)
		for j, v := range forward(small, s.h, s.w) {
			sum[j] += v
		}
	}
	var norm float64
	for _, v := range sum {
		norm += float64(v) * float64(v)
	}
	for j, v := range e.Pyramid(img, PyramidScales) {
		if !(math.Abs(float64(v)-float64(sum[j])/math.Sqrt(norm)) <= 1e-6) {
			t.Errorf("dimension %d: %v, want %v", j, v, float64(sum[j])/math.Sqrt(norm))
		}
	}
	if e.Pyramid(dataset.NewRGB(7, 100), PyramidScales) != nil {
		t.Error("a picture narrower than a patch has a feature")
	}
	if got := e.Pyramid(dataset.NewRGB(9, 9), PyramidScales); got == nil {
		t.Error("a picture that is large enough at one scale has no feature")
	}
}

func TestCopyFeatures(t *testing.T) {
	dev, m := tinyBackbone(t)
	ds := dataset.FromFunc("shapes", 3, nil, nil, func(i int) (*dataset.RGB, error) { return shape(i, 32), nil })
	of := func(tokens Tokens) *FeatureSet {
		f, err := Features(context.Background(), dev, m, ds, augment.Square(32), FeatureOptions{Tokens: tokens})
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	class, patch, both := of(ClassToken), of(PatchTokens), of(ClassAndGeM)
	for i := range 3 {
		row := both.Data[i*32 : (i+1)*32]
		pooled := eval.GeM(patch.Data[i*patch.Dim:(i+1)*patch.Dim], 16)
		for j := range 16 {
			if c := class.Data[i*16+j]; !(math.Abs(float64(row[j]-c)) <= 1e-6) || row[16+j] != pooled[j] {
				t.Fatalf("image %d, dimension %d: %v and %v, want %v and %v", i, j, row[j], row[16+j], c, pooled[j])
			}
		}
	}
}

// TestSegmentVideo carries the two objects of a picture that stands still, and of one that moves by whole patches.
func TestSegmentVideo(t *testing.T) {
	dev, m := tinyBackbone(t)
	const w, h = 128, 64
	scene := func(i int) (*dataset.RGB, eval.Mask) {
		img, mask := augment.Resize(shape(0, 64), w, h), eval.Mask{W: w, H: h, Labels: make([]uint8, w*h)}
		for at := range mask.Labels {
			x, y := at%w-8*i, at/w
			switch {
			case x >= 16 && x < 48 && y >= 16 && y < 48:
				mask.Labels[at] = 1
				copy(img.Pix[3*at:], []byte{250, byte(x * 5), 10})
			case x >= 64 && x < 96 && y >= 8 && y < 40:
				mask.Labels[at] = 2
				copy(img.Pix[3*at:], []byte{10, byte(y * 5), 250})
			}
		}
		return img, mask
	}
	for _, step := range []int{0, 1} {
		_, first := scene(0)
		o := DefaultVideo()
		o.Size, o.Workers = 64, 2
		frames := 0
		err := SegmentVideo(context.Background(), dev, m, 4, func(i int) (*dataset.RGB, error) { img, _ := scene(i * step); return img, nil }, first, o, func(i int, got eval.Mask) error {
			frames++
			_, want := scene(i * step)
			for object := uint8(1); object <= 2; object++ {
				if j := eval.RegionSimilarity(want, got, object); !(j > 0.75) {
					t.Errorf("step %d, frame %d, object %d: J %.2f", step, i, object, j)
				}
			}
			return nil
		})
		if err != nil || frames != 4 {
			t.Errorf("%d frames, %v", frames, err)
		}
	}
	// The objects are away for three frames, longer than labels are remembered, and come back: the first frame still tells them.
	_, first := scene(0)
	o := DefaultVideo()
	o.Size, o.Last = 64, 1
	away := func(i int) (*dataset.RGB, error) {
		if i > 0 && i < 4 {
			return dataset.NewRGB(w, h), nil
		}
		img, _ := scene(0)
		return img, nil
	}
	err := SegmentVideo(context.Background(), dev, m, 5, away, first, o, func(i int, got eval.Mask) error {
		if j := eval.RegionSimilarity(first, got, 1); i == 4 && !(j > 0.75) {
			t.Errorf("after the objects have come back: J %.2f", j)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	err = SegmentVideo(context.Background(), dev, m, 2, func(i int) (*dataset.RGB, error) { return dataset.NewRGB(10, 10), nil }, first, DefaultVideo(), func(int, eval.Mask) error { return nil })
	if err == nil || !strings.Contains(err.Error(), "10×10") {
		t.Errorf("a frame of another size: %v", err)
	}
	for _, c := range [][4]int{{854, 480, 832, 480}, {480, 854, 480, 832}, {1920, 1080, 832, 480}, {500, 500, 448, 480}} {
		if w, h := frameSize(c[0], c[1], 480); w != c[2] || h != c[3] {
			t.Errorf("%d×%d: %d×%d, want %d×%d", c[0], c[1], w, h, c[2], c[3])
		}
	}
}

func TestMakeCopySet(t *testing.T) {
	dir := t.TempDir()
	ds := dataset.FromFunc("shapes", 12, nil, nil, func(i int) (*dataset.RGB, error) {
		if i == 5 {
			return nil, fmt.Errorf("is broken")
		}
		return shape(i, 40), nil
	})
	bad := 0
	write := func(name string, workers int) *CopySet {
		set, err := MakeCopySet(context.Background(), ds, filepath.Join(dir, name), CopySetOptions{Originals: 6, Distractors: 100, Seed: 2, Workers: workers, OnBad: func(error) { bad++ }})
		if err != nil {
			t.Fatal(err)
		}
		return set
	}
	set := write("a", 1)
	if set.Originals+set.Distractors != 11 || bad != 1 || len(set.Blocks) < 20 {
		t.Errorf("%+v, %d bad", set, bad)
	}
	write("b", 4)
	a, err := dataset.OpenFiles(filepath.Join(dir, "a"))
	if err != nil {
		t.Fatal(err)
	}
	b, err := dataset.OpenFiles(filepath.Join(dir, "b"))
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(a.Names(), b.Names()) || len(a.Names()) != 1+set.Distractors+set.Originals*(1+len(set.Blocks)) {
		t.Errorf("%d and %d files", len(a.Names()), len(b.Names()))
	}
	for _, name := range a.Names() {
		x, err1 := a.Read(name, 0)
		y, err2 := b.Read(name, 0)
		if err1 != nil || err2 != nil || !slices.Equal(x, y) {
			t.Errorf("%s differs with the number of workers: %v, %v", name, err1, err2)
		}
	}
	var folder *FolderError
	if _, err := MakeCopySet(context.Background(), ds, filepath.Join(dir, "a"), CopySetOptions{Originals: 1}); !errors.As(err, &folder) {
		t.Errorf("into a folder that is not empty: %v", err)
	}
	source, err := dataset.Open(filepath.Join(dir, "a", "original"), dataset.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(dir, "a", "original"), filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	for _, inside := range []string{filepath.Join(dir, "a", "original", "new"), filepath.Join(dir, "link", "new", "deep")} {
		if _, err := MakeCopySet(context.Background(), source, inside, CopySetOptions{Originals: 1}); !errors.As(err, &folder) {
			t.Errorf("into the source, %s: %v", inside, err)
		}
		if _, err := os.Stat(inside); !os.IsNotExist(err) {
			t.Errorf("%s was made", inside)
		}
	}
	if got := CopiesOf([]string{"strong/000301.jpg", "x.png", "crops/000099.png"}, []string{"000000.jpg", "000300.png", "0003.gif"}); !slices.Equal(got[0], []int{1, 2}) || got[1] != nil || !slices.Equal(got[2], []int{0}) {
		t.Errorf("copies of %v", got)
	}
}
