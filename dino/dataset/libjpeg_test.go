//go:build libjpeg

package dataset

import (
	"bytes"
	"image"
	"image/color"
	"image/jpeg"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/godino-ml/godino/dino/dataset/libjpeg"
)

// byStandardLibrary decodes a JPEG as a program without the tag does.
func byStandardLibrary(file []byte) (*RGB, error) {
	m, err := jpeg.Decode(bytes.NewReader(file))
	if err != nil {
		return nil, err
	}
	return FromImage(m), nil
}

func TestLibjpegIsUsed(t *testing.T) {
	if !strings.HasPrefix(JPEGDecoder(), "libjpeg") {
		t.Fatalf("JPEG is decoded by %s in spite of the tag", JPEGDecoder())
	}
	file := encoded(t)["x.jpg"]
	var img RGB
	if n := testing.AllocsPerRun(20, func() { img.Decode(file, "x.jpg", 0) }); n > 20 { // those of image/jpeg's DecodeConfig
		t.Errorf("%v allocations for a picture into memory that is there", n)
	}
}

// Pillow decodes by the same library, so that but for the version's SIMD nothing may differ.
func TestLibjpegIsPillows(t *testing.T) {
	files, _ := filepath.Glob("testdata/pillow/*.jpg")
	if len(files) < 7 {
		t.Fatalf("%d files", len(files))
	}
	for _, f := range files {
		want, err := ReadFile(f+".want.png", Options{})
		if err != nil {
			t.Fatal(err)
		}
		got, err := ReadFile(f, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(f, "cmyk") { // left to the standard library, and compared in TestDecodeAsPillow
			continue
		}
		if !bytes.Equal(got.Pix, want.Pix) {
			t.Errorf("%s differs from Pillow's pixels", f)
		}
	}
}

// What the choice of the decoder changes: each coefficient's transform is rounded differently, by which a channel differs by a few grey levels at
// most, and hardly on average.
func TestLibjpegAgainstStandardLibrary(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, size := range [][2]int{{1, 1}, {3, 2}, {8, 8}, {17, 9}, {33, 64}, {150, 101}} {
		for _, quality := range []int{30, 75, 90, 100} {
			for _, gray := range []bool{false, true} {
				w, h := size[0], size[1]
				m := image.NewRGBA(image.Rect(0, 0, w, h))
				for y := range h {
					for x := range w {
						v := func(c float64) byte {
							return byte(128 + 60*math.Sin(float64(x)/7+c) + 40*math.Cos(float64(y)/5*c) + 20*rng.Float64())
						}
						m.SetRGBA(x, y, color.RGBA{v(1), v(2), v(3), 255})
					}
				}
				var picture image.Image = m
				if gray {
					g := image.NewGray(m.Rect)
					for y := range h {
						for x := range w {
							g.Set(x, y, m.At(x, y))
						}
					}
					picture = g
				}
				var file bytes.Buffer
				if err := jpeg.Encode(&file, picture, &jpeg.Options{Quality: quality}); err != nil {
					t.Fatal(err)
				}
				want, err := byStandardLibrary(file.Bytes())
				if err != nil {
					t.Fatal(err)
				}
				got := NewRGB(w, h)
				if err := libjpeg.Decode(got.Pix, file.Bytes(), w, h); err != nil {
					t.Fatal(err)
				}
				worst, sum := 0, 0
				for i := range want.Pix {
					d := int(got.Pix[i]) - int(want.Pix[i])
					worst, sum = max(worst, d, -d), sum+max(d, -d)
				}
				mean := float64(sum) / float64(len(want.Pix))
				if worst > 3 || len(want.Pix) > 500 && !(mean < 0.2) {
					t.Errorf("%d×%d, quality %d, grey %v: differs by up to %d, by %.3f on average", w, h, quality, gray, worst, mean)
				}
			}
		}
	}
}

// A file that the standard library takes is taken, and a damaged one gives what the standard library makes of it.
func TestLibjpegLeavesDamageToTheStandardLibrary(t *testing.T) {
	refused, judged := 0, 0
	for _, name := range []string{"x.jpg", "prog.jpg"} {
		data := encoded(t)[name]
		for n := range data {
			for _, file := range [][]byte{data[:n], append(append(bytes.Clone(data[:n]), data[n]^0x55), data[n+1:]...)} {
				c, err := jpeg.DecodeConfig(bytes.NewReader(file))
				if err != nil || c.Width*c.Height > 1<<16 {
					continue
				}
				want, wantErr := byStandardLibrary(file)
				got, gotErr := Decode(file, name, 1<<16)
				if libjpeg.Decode(make([]byte, 3*c.Width*c.Height), file, c.Width, c.Height) == nil {
					if gotErr != nil {
						t.Errorf("%s, byte %d: libjpeg took it, Decode did not: %v", name, n, gotErr)
					}
					continue
				}
				refused++
				if (wantErr == nil) != (gotErr == nil) {
					t.Errorf("%s, byte %d: %v, the standard library %v", name, n, gotErr, wantErr)
				}
				if wantErr == nil && gotErr == nil {
					judged++
					if !bytes.Equal(got.Pix, want.Pix) {
						t.Errorf("%s, byte %d: other pixels than the standard library's", name, n)
					}
				}
			}
		}
	}
	if refused < 200 || judged == 0 {
		t.Errorf("libjpeg refused %d damaged files, of which the standard library took %d: too few to say anything", refused, judged)
	}
}

func TestLibjpegRefuses(t *testing.T) {
	file := encoded(t)["x.jpg"] // 40×24
	cmyk, err := os.ReadFile("testdata/pillow/cmyk.jpg")
	if err != nil {
		t.Fatal(err)
	}
	c, err := jpeg.DecodeConfig(bytes.NewReader(cmyk))
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range []struct {
		file   []byte
		w, h   int
		reason string
	}{
		{file, 41, 24, "another size"},
		{file, 40, 23, "another size"},
		{cmyk, c.Width, c.Height, "three components"},
		{nil, 1, 1, "empty"},
		{[]byte("GIF89a"), 1, 1, "Not a JPEG file"},
		{file[:len(file)-2], 40, 24, "Premature end"},
	} {
		err := libjpeg.Decode(make([]byte, 3*bad.w*bad.h), bad.file, bad.w, bad.h)
		if err == nil || !strings.Contains(err.Error(), bad.reason) {
			t.Errorf("error %v, want one with %q", err, bad.reason)
		}
	}
}

func BenchmarkDecodeJPEG(b *testing.B) {
	m := image.NewRGBA(image.Rect(0, 0, 500, 375))
	rng := rand.New(rand.NewPCG(1, 2))
	for y := range 375 {
		for x := range 500 {
			m.SetRGBA(x, y, color.RGBA{byte(128 + 60*math.Sin(float64(x)/17) + 20*rng.NormFloat64()), byte(y / 2), byte(128 + 40*math.Cos(float64(x+y)/9)), 255})
		}
	}
	var file bytes.Buffer
	if err := jpeg.Encode(&file, m, &jpeg.Options{Quality: 90}); err != nil {
		b.Fatal(err)
	}
	var img RGB
	b.Run("libjpeg", func(b *testing.B) {
		for b.Loop() {
			if err := img.Decode(file.Bytes(), "", 0); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("image-jpeg", func(b *testing.B) {
		for b.Loop() {
			if _, err := byStandardLibrary(file.Bytes()); err != nil {
				b.Fatal(err)
			}
		}
	})
}
