package augment

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/godino-ml/godino/dino/dataset"
	"github.com/godino-ml/godino/internal/golden"
	"github.com/godino-ml/godino/kernels"
)

type goldenCase struct {
	Op                                    string
	Image                                 any // a number, or a tensor's name
	Out                                   string
	Top, Left, Height, Width, Size        int
	Brightness, Contrast, Saturation, Hue float64
	Order                                 [4]int
	Radius                                float64
}

// TestGoldenAugment compares every operation with torchvision on Pillow: one grey level, 0.02 after normalisation.
func TestGoldenAugment(t *testing.T) {
	f := golden.Open(t, "augment.safetensors")
	var cases []goldenCase
	f.Meta("cases", &cases)
	if len(cases) == 0 {
		t.Fatal("no cases")
	}
	for _, table := range kernels.Tables() {
		t.Run(table.Name, func(t *testing.T) { testGolden(t, f, cases, table) })
	}
}

func testGolden(t *testing.T, f *golden.File, cases []goldenCase, table *kernels.Table) {
	s := Scratch{table: table}
	for _, c := range cases {
		t.Run(strings.ReplaceAll(c.Out, " ", "_"), func(t *testing.T) {
			name, ok := c.Image.(string)
			if n, isNumber := c.Image.(float64); !ok && isNumber {
				name = fmt.Sprintf("image%d", int(n))
			}
			img := goldenPicture(f, name)
			switch op, _, _ := strings.Cut(c.Op, " "); strings.TrimRight(op, ",:") {
			case "resized_crop_bicubic":
				s.resize(&s.crop, c.Size, c.Size, img, Box{X: c.Left, Y: c.Top, W: c.Width, H: c.Height}, false)
				comparePictures(t, s.picture(&s.crop), goldenPicture(f, c.Out))
			case "eval":
				testEval(t, &s, f, img, name, c)
			case "color_jitter":
				p := planesOf(img)
				s.jitter(p, jitter{c.Brightness, c.Contrast, c.Saturation, c.Hue, c.Order})
				comparePictures(t, s.picture(p), goldenPicture(f, c.Out))
			case "grayscale":
				p := planesOf(img)
				s.grayscale(p)
				comparePictures(t, s.picture(p), goldenPicture(f, c.Out))
			case "hflip":
				s.resize(&s.crop, img.W, img.H, img, Box{W: img.W, H: img.H}, true)
				comparePictures(t, s.picture(&s.crop), goldenPicture(f, c.Out))
			case "solarize":
				p := planesOf(img)
				s.solarize(p, byte(number(t, c.Op, `threshold (\d+)`)))
				comparePictures(t, s.picture(p), goldenPicture(f, c.Out))
			case "gaussian_blur":
				p := planesOf(img)
				s.gaussianBlur(p, c.Radius)
				comparePictures(t, s.picture(p), goldenPicture(f, c.Out))
			default:
				t.Fatalf("no test for operation %q", c.Op)
			}
		})
	}
}

// testEval takes the sizes from the operation's text: "eval: resize shorter side to 256 bicubic, centre crop 224, …".
func testEval(t *testing.T, s *Scratch, f *golden.File, img *dataset.RGB, name string, c goldenCase) {
	e := Eval{Mean: ImageNetMean, Std: ImageNetStd}
	e.Resize, e.Crop = number(t, c.Op, `resize shorter side to (\d+)`), number(t, c.Op, `centre crop (\d+)`)
	if e.Crop == 224 && e != EvalAt(224) {
		t.Errorf("EvalAt(224) is %+v, the reference %+v", EvalAt(224), e)
	}
	w, h := ShorterSide(img.W, img.H, e.Resize)
	if resized := fmt.Sprintf("%s.resize%d", name, e.Resize); f.Has(resized) {
		comparePictures(t, Resize(img, w, h), goldenPicture(f, resized))
	}
	if cut := fmt.Sprintf("%s.eval%d", name, e.Crop); f.Has(cut) {
		comparePictures(t, e.Picture(s, img), goldenPicture(f, cut))
	}
	want := f.Get(c.Out)
	got := make([]float32, 3*e.Crop*e.Crop)
	e.Apply(s, got, img)
	if len(want.Float) != len(got) {
		t.Fatalf("%d floats, want %d", len(got), len(want.Float))
	}
	worst := 0.0
	for i := range got {
		if d := math.Abs(float64(got[i] - want.Float[i])); !(d <= worst) {
			worst = d
		}
	}
	if !(worst <= 0.02) {
		t.Errorf("normalised pixels differ by %v", worst)
	}
}

// number finds a number in an operation's text.
func number(t *testing.T, text, pattern string) int {
	t.Helper()
	m := regexp.MustCompile(pattern).FindStringSubmatch(text)
	if m == nil {
		t.Fatalf("operation %q: no %q", text, pattern)
	}
	n, err := strconv.Atoi(m[1])
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func goldenPicture(f *golden.File, name string) *dataset.RGB {
	a := f.Get(name)
	img := dataset.NewRGB(a.Shape[1], a.Shape[0])
	copy(img.Pix, a.Byte)
	return img
}

func comparePictures(t *testing.T, got, want *dataset.RGB) {
	t.Helper()
	if got.W != want.W || got.H != want.H {
		t.Fatalf("%d×%d pixels, want %d×%d", got.W, got.H, want.W, want.H)
	}
	worst, count := 0, 0
	for i := range want.Pix {
		d := int(got.Pix[i]) - int(want.Pix[i])
		if d != 0 {
			count++
		}
		worst = max(worst, d, -d)
	}
	if worst > 1 {
		t.Errorf("differs by up to %d grey levels", worst)
	}
	if count > 0 {
		t.Logf("%d of %d bytes differ, by %d at most", count, len(want.Pix), worst)
	}
}
