package measure

import (
	"bytes"
	"context"
	"image/jpeg"
	"math"
	"testing"
	"time"

	"github.com/godino-ml/godino/dino"
	"github.com/godino-ml/godino/kernels"
	"github.com/godino-ml/godino/tensor"
)

// TestModelFLOPs: the figures that programs are compared by, in GFLOP an image, of a count made by hand.
func TestModelFLOPs(t *testing.T) {
	for name, want := range map[string]float64{"vit_small_patch16_2x224+8x96_K65536": 113.8, "vit_tiny_patch4_2x32+8x16_K4096": 10.6} {
		found := false
		for _, s := range Steps {
			if s.Name != name {
				continue
			}
			found = true
			got := s.ModelFLOPs() / float64(s.Config.BatchSize) / 1e9
			if !(math.Abs(got-want) < 0.06) {
				t.Errorf("%s: %.2f GFLOP an image, want %.1f", name, got, want)
			}
		}
		if !found {
			t.Errorf("no step %s", name)
		}
	}
}

// TestStepWork: what is done is a little less than what the model as written asks for, and a step runs.
func TestStepWork(t *testing.T) {
	dev := tensor.NewCPU(kernels.Best(), 1)
	w, err := Step(dev, SmallStep)
	if err != nil {
		t.Fatal(err)
	}
	if model := SmallStep.ModelFLOPs(); !(w.FLOPs < model && w.FLOPs > 0.5*model) {
		t.Errorf("%.3g operations are done, the model has %.3g", w.FLOPs, model)
	}
	if times := w.Times(context.Background(), 0, 3); len(times) != 3 || times[0] > times[2] {
		t.Errorf("three steps took %v", times)
	}
	e, err := Embed(dev, SmallEmbed)
	if err != nil {
		t.Fatal(err)
	}
	if model := SmallEmbed.ModelFLOPs(); !(e.FLOPs < model && e.FLOPs > 0.5*model) {
		t.Errorf("embed: %.3g operations are done, the model has %.3g", e.FLOPs, model)
	}
	e.Do()
	if _, err := Step(dev, StepShape{Config: dino.Config{Arch: "convnet"}}); err == nil {
		t.Error("a step of no network was made")
	}
}

// TestProducts: a product that is measured is the product.
func TestProducts(t *testing.T) {
	for _, s := range append([][3]int{{3, 4, 5}}, Products...) {
		for _, f := range Forms {
			lda, ldb := f.leading(s[0], s[1], s[2])
			m, n, k := s[0], s[1], s[2]
			want := [][2]int{{k, n}, {k, k}, {m, n}}
			i := map[string]int{"NN": 0, "NT": 1, "TN": 2}[f.Name]
			if lda != want[i][0] || ldb != want[i][1] {
				t.Errorf("%s %v: leading dimensions %d, %d", f.Name, s, lda, ldb)
			}
		}
	}
	for _, threads := range []int{1, 2} {
		dev := tensor.NewCPU(kernels.Best(), threads)
		for _, f := range Forms {
			single, batched := Product(dev, f, [3]int{7, 6, 5}), BatchedProduct(dev, f, [4]int{3, 7, 6, 5})
			single.Do()
			batched.Do()
			if batched.FLOPs != 3*single.FLOPs || single.FLOPs != 420 {
				t.Errorf("%s: %g and %g operations", f.Name, single.FLOPs, batched.FLOPs)
			}
		}
	}
}

func TestTimesEndWithTheContext(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	runs := 0
	w := Work{Do: func() {
		if runs++; runs == 4 {
			cancel()
		}
	}}
	if times := w.Times(ctx, time.Hour, 100); len(times) != 3 { // the first is the warm-up
		t.Errorf("%d times", len(times))
	}
	if Median(nil) != 0 || Median([]time.Duration{1, 2, 7}) != 2 {
		t.Error("median")
	}
}

// TestJPEG: a picture of the size and weight of a photo, always the same.
func TestJPEG(t *testing.T) {
	c, err := jpeg.DecodeConfig(bytes.NewReader(JPEG()))
	if err != nil || c.Width != PictureWidth || c.Height != PictureHeight {
		t.Errorf("%d×%d, %v", c.Width, c.Height, err)
	}
	if n := len(JPEG()); n < 80_000 || n > 130_000 {
		t.Errorf("%d bytes", n)
	}
	for _, w := range PictureParts(2) {
		if w.Images != 16 {
			t.Errorf("%s: %d images", w.Name, w.Images)
		}
		w.Do()
	}
}

// TestRowOperations: every operation runs on one row and on several threads, has work, and a bound that its parts explain.
func TestRowOperations(t *testing.T) {
	dev := tensor.NewCPU(kernels.Best(), 2)
	level := Level{"tiny", 8 << 10}
	b := NewBounds(dev)
	b.bandwidth[level] = Bandwidth{Read: 100, Update: 60, Copy: 40}
	b.exp = 1
	want := map[string]float64{
		"SumSquares":       100,
		"EMA":              60,
		"LayerNormForward": 40, // three bytes of traffic for two that count, at 1.5 × 40 of traffic
		"SoftmaxForward":   8,  // two float32 in a nanosecond
	}
	for _, o := range RowOperations {
		w := o.Work(dev, level)
		w.Do()
		if !(w.Bytes > 0) {
			t.Errorf("%s: %g bytes", o.Name, w.Bytes)
		}
		rate, known := want[o.Name]
		if got := o.Bound(b, level); known && !(math.Abs(got/rate-1) < 1e-9) || !(got > 0) {
			t.Errorf("%s: bound %g GB/s, want %g", o.Name, got, rate)
		}
		delete(want, o.Name)
	}
	if len(want) > 0 {
		t.Errorf("no operations %v", want)
	}
}

func TestBounds(t *testing.T) {
	dev := tensor.NewCPU(kernels.Best(), 2)
	b := NewBounds(dev)
	w := b.Bandwidth(Level{"tiny", 1 << 16})
	for name, rate := range map[string]float64{"ceiling": Ceiling(dev), "exp": b.Exp(), "read": w.Read, "update": w.Update, "copy": w.Copy} {
		if !(rate > 0 && rate < 1e6) {
			t.Errorf("%s: %g", name, rate)
		}
	}
}

func TestPeakMemory(t *testing.T) {
	if PeakMemory() == 0 {
		t.Skip("this system does not tell")
	}
	if !ResetPeakMemory() {
		t.Skip("this system does not reset the peak")
	}
	before := PeakMemory()
	const size = 64 << 20
	x := make([]byte, size)
	for i := 0; i < size; i += 1 << 10 {
		x[i] = 1
	}
	if grown := PeakMemory() - before; grown < size*9/10 || grown > 2*size {
		t.Errorf("%d bytes more are held after %d were written", grown, len(x))
	}
}
