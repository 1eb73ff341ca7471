package viz

import (
	"bytes"
	"encoding/xml"
	"image"
	"image/color"
	"image/png"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func read(t *testing.T, path string) image.Image {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	img, err := png.Decode(bytes.NewReader(b))
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return img
}

func same(a, b color.Color) bool {
	r, g, bl, al := a.RGBA()
	r2, g2, b2, a2 := b.RGBA()
	return r == r2 && g == g2 && bl == b2 && al == a2
}

func grey(w, h int) *image.RGBA {
	img := image.NewRGBA(image.Rect(0, 0, w, h))
	for i := range img.Pix {
		img.Pix[i] = 100
		if i%4 == 3 {
			img.Pix[i] = 255
		}
	}
	return img
}

func TestMask(t *testing.T) {
	for _, c := range []struct {
		attention []float32
		threshold float64
		want      []bool
	}{
		// ascending 1 2 3 4 of 10: cumulative .1 .3 .6 1; above .4
		{[]float32{4, 1, 3, 2}, 0.6, []bool{true, false, true, false}},
		{[]float32{4, 1, 3, 2}, 0.35, []bool{true, false, false, false}},
		{[]float32{4, 1, 3, 2}, 1, []bool{true, true, true, true}},
		{[]float32{4, 1, 3, 2}, 0, []bool{false, false, false, false}},
		{[]float32{1, 1, 1, 1}, 0.5, []bool{false, false, true, true}}, // equal ones: the later ones
	} {
		if got := Mask(c.attention, c.threshold); !slices.Equal(got, c.want) {
			t.Errorf("Mask(%v, %v) = %v, want %v", c.attention, c.threshold, got, c.want)
		}
	}
}

func TestWriteAttention(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new")
	heads := [][]float32{{4, 1, 3, 2, 0, 0}, {0, 0, 0, 0, 1, 9}}
	const gridH, gridW, patch = 2, 3, 4
	paths, err := WriteAttention(dir, grey(14, 9), heads, gridH, gridW, patch, 0.6)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, p := range paths {
		names = append(names, filepath.Base(p))
		if got := read(t, p).Bounds(); got != image.Rect(0, 0, 12, 8) {
			t.Errorf("%s: %v", p, got)
		}
	}
	want := "img.png attn-head0.png mask-head0.png overlay-head0.png attn-head1.png mask-head1.png overlay-head1.png " +
		"attn-mean.png mask-mean.png overlay-mean.png"
	if got := strings.Join(names, " "); got != want {
		t.Errorf("files %s, want %s", got, want)
	}
	attention, mask, overlay := read(t, paths[1]), read(t, paths[2]), read(t, paths[3])
	for y := range 8 {
		for x := range 12 {
			i := y/patch*gridW + x/patch
			if want := Viridis.At(float64(heads[0][i]) / 4); !same(attention.At(x, y), want) {
				t.Fatalf("attention at %d,%d: %v, want %v", x, y, attention.At(x, y), want)
			}
			kept := i == 0 || i == 2 // 4 and 3 of 10
			if r, _, _, _ := mask.At(x, y).RGBA(); (r != 0) != kept {
				t.Fatalf("mask at %d,%d: %v", x, y, mask.At(x, y))
			}
			if outside := same(overlay.At(x, y), color.RGBA{100, 100, 100, 255}); outside == kept {
				t.Fatalf("overlay at %d,%d: %v", x, y, overlay.At(x, y))
			}
		}
	}
	red := headColour(0)
	if !same(overlay.At(0, 0), half(color.RGBA{100, 100, 100, 255}, red)) { // a corner of the picture is no contour
		t.Errorf("overlay inside: %v", overlay.At(0, 0))
	}
	if !same(overlay.At(3, 0), red) || !same(overlay.At(0, 3), red) {
		t.Errorf("contour: %v, %v", overlay.At(3, 0), overlay.At(0, 3))
	}

	again, err := WriteAttention(t.TempDir(), grey(14, 9), heads, gridH, gridW, patch, 0.6)
	if err != nil {
		t.Fatal(err)
	}
	for i := range paths {
		a, _ := os.ReadFile(paths[i])
		b, _ := os.ReadFile(again[i])
		if !bytes.Equal(a, b) {
			t.Errorf("%s: other bytes the second time", paths[i])
		}
	}
	plain, err := WriteAttention(t.TempDir(), grey(12, 8), heads[:1], gridH, gridW, patch, 0)
	if err != nil || len(plain) != 5 {
		t.Fatalf("without threshold: %v, %v", plain, err)
	}
	if got, want := read(t, plain[2]).At(0, 0), half(color.RGBA{100, 100, 100, 255}, Viridis.At(1)); !same(got, want) {
		t.Errorf("overlay without threshold: %v, want %v", got, want)
	}
}

func TestWriteAttentionRefuses(t *testing.T) {
	one := [][]float32{{1, 2}}
	for what, f := range map[string]func() ([]string, error){
		"small image": func() ([]string, error) { return WriteAttention(t.TempDir(), grey(7, 4), one, 1, 2, 4, 0) },
		"count":       func() ([]string, error) { return WriteAttention(t.TempDir(), grey(12, 4), one, 1, 3, 4, 0) },
		"threshold":   func() ([]string, error) { return WriteAttention(t.TempDir(), grey(8, 4), one, 1, 2, 4, 1.5) },
		"no heads":    func() ([]string, error) { return WriteAttention(t.TempDir(), grey(8, 4), nil, 1, 2, 4, 0) },
		"NaN": func() ([]string, error) {
			return WriteAttention(t.TempDir(), grey(8, 4), [][]float32{{1, float32(math.NaN())}}, 1, 2, 4, 0)
		},
	} {
		if paths, err := f(); err == nil {
			t.Errorf("%s: wrote %v", what, paths)
		}
	}
}

// Both maps rise in lightness all the way: what a perceptual map is for, and a misspelt stop would break it.
func TestColormaps(t *testing.T) {
	for name, m := range map[string]Colormap{"viridis": Viridis, "inferno": Inferno} {
		last := -1.0
		for i := range m { // between stops, rounding to 8 bits may lose a step
			c := m.At(float64(i) / float64(len(m)-1))
			linear := func(v uint8) float64 { return math.Pow(float64(v)/255, 2.2) }
			y := 0.2126*linear(c.R) + 0.7152*linear(c.G) + 0.0722*linear(c.B)
			if !(y > last) {
				t.Fatalf("%s: luminance does not rise at stop %d", name, i)
			}
			last = y
		}
	}
	if got := Viridis.At(-1); got != (color.RGBA{0x44, 0x01, 0x54, 255}) {
		t.Errorf("below 0: %v", got)
	}
	if got := Viridis.At(2); got != (color.RGBA{0xfd, 0xe7, 0x25, 255}) {
		t.Errorf("above 1: %v", got)
	}
	if got := Viridis.At(math.NaN()); got != Viridis.At(0) {
		t.Errorf("NaN: %v", got)
	}
}

func TestSheet(t *testing.T) {
	images := []image.Image{grey(4, 2), grey(2, 2), grey(4, 4)}
	s := Sheet(images, 2, 1)
	if s.Bounds() != image.Rect(0, 0, 11, 11) {
		t.Fatalf("size %v", s.Bounds())
	}
	for y := range 11 {
		for x := range 11 {
			p := image.Pt(x, y)
			inside := p.In(image.Rect(1, 2, 5, 4)) || p.In(image.Rect(7, 2, 9, 4)) || p.In(image.Rect(1, 6, 5, 10))
			want := color.RGBA{255, 255, 255, 255}
			if inside {
				want = color.RGBA{100, 100, 100, 255}
			}
			if got := s.RGBAAt(x, y); got != want {
				t.Fatalf("at %d,%d: %v, want %v", x, y, got, want)
			}
		}
	}
	if got := Sheet(nil, 3, 2).Bounds(); got.Empty() {
		t.Error("no images: an empty picture")
	}
}

func TestCurves(t *testing.T) {
	dir := t.TempDir()
	x := []float64{0, 1, 2, 3, 4}
	draw := func(name string, level float64) []byte {
		path := filepath.Join(dir, name)
		err := Curves(path, "Loss", "epoch", "loss", Series{Name: "loss", X: x, Y: []float64{8.3, 8.1, math.NaN(), 7.5, 7.4}}, Level("ln K", level))
		if err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	a := draw("a.png", 8.318)
	if !bytes.Equal(a, draw("b.png", 8.318)) {
		t.Error("other bytes the second time")
	}
	if bytes.Equal(a, draw("c.png", 8.0)) {
		t.Error("another level, the same picture")
	}
	img := read(t, filepath.Join(dir, "a.png"))
	if img.Bounds().Dx() != 1200 || img.Bounds().Dy() != 750 {
		t.Errorf("size %v", img.Bounds())
	}
	found := map[color.RGBA]bool{}
	for y := range 750 {
		for x := range 1200 {
			found[color.RGBAModel.Convert(img.At(x, y)).(color.RGBA)] = true
		}
	}
	if !found[seriesColours[0]] || !found[seriesColours[1]] {
		t.Error("a curve or its level is not in the picture")
	}
	for _, s := range []Series{{X: []float64{3}, Y: []float64{2}}, {X: []float64{1e17, 1e17 + 16}, Y: []float64{1e-300, 2e-300}}} {
		if err := Curves(filepath.Join(dir, "d.png"), "", "", "", s); err != nil {
			t.Errorf("%v: %v", s, err)
		}
	}
	if err := Curves(filepath.Join(dir, "d.png"), "", "", "", Series{Name: "s", X: x, Y: x[1:]}); err == nil {
		t.Error("lengths differ: drawn")
	}
	if err := Curves(filepath.Join(dir, "d.png"), "", "", "", Level("l", 1)); err == nil {
		t.Error("a level alone: drawn")
	}
}

func TestCurvesSVG(t *testing.T) {
	draw := func(level float64) []byte {
		b, err := CurvesSVG("Loss", "epoch", "loss", Series{Name: "a<b", X: []float64{0, 1, 2}, Y: []float64{8.3, 8.1, 7.5}}, Level("ln K", level))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	a := draw(8.318)
	if !bytes.Equal(a, draw(8.318)) || bytes.Equal(a, draw(8)) {
		t.Error("the bytes do not follow the series alone")
	}
	var words strings.Builder
	for d := xml.NewDecoder(bytes.NewReader(a)); ; {
		token, err := d.Token()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal("not XML:", err)
		}
		if text, ok := token.(xml.CharData); ok {
			words.Write(text)
		}
	}
	for _, w := range []string{"Loss", "epoch", "a<b", "ln K (8.318)"} {
		if !strings.Contains(words.String(), w) {
			t.Errorf("%q is not written on the chart", w)
		}
	}
	if _, err := CurvesSVG("", "", "", Level("l", 1)); err == nil {
		t.Error("a level alone: drawn")
	}
}
