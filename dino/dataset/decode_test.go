package dataset

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"image"
	"image/color"
	"image/gif"
	"image/jpeg"
	"image/png"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Pictures as Pillow decodes them. Lossy formats may differ by the rounding of an inverse transform: some bytes by up to 3.
func TestDecodeAsPillow(t *testing.T) {
	files, err := filepath.Glob("testdata/pillow/*.want.png")
	if err != nil || len(files) < 15 {
		t.Fatalf("%d pictures to compare with (%v)", len(files), err)
	}
	for _, f := range files {
		name := strings.TrimSuffix(f, ".want.png")
		t.Run(filepath.Base(name), func(t *testing.T) {
			want, err := ReadFile(f, Options{})
			if err != nil {
				t.Fatal(err)
			}
			got, err := ReadFile(name, Options{})
			if err != nil {
				t.Fatal(err)
			}
			if got.W != want.W || got.H != want.H {
				t.Fatalf("%d×%d pixels, want %d×%d", got.W, got.H, want.W, want.H)
			}
			worst, differ := 0, 0
			for i := range want.Pix {
				d := int(got.Pix[i]) - int(want.Pix[i])
				worst = max(worst, d, -d)
				if d != 0 {
					differ++
				}
			}
			lossy := strings.HasSuffix(name, ".jpg") || strings.HasSuffix(name, "y.webp") || strings.HasSuffix(name, "alpha.webp")
			if worst > 3 || differ > len(want.Pix)/20 || (!lossy && worst > 0) {
				t.Errorf("%d of %d bytes differ, by up to %d", differ, len(want.Pix), worst)
			}
		})
	}
}

// Every kind of image that a decoder may return, against the standard library's colour conversion.
func TestToRGB(t *testing.T) {
	r := image.Rect(3, 5, 20, 18) // not from the origin
	for _, m := range []interface {
		image.Image
		Set(x, y int, c color.Color)
	}{
		image.NewGray(r), image.NewGray16(r), image.NewRGBA(r), image.NewRGBA64(r), image.NewNRGBA(r), image.NewNRGBA64(r),
		image.NewPaletted(r, color.Palette{color.Black, color.White, color.NRGBA{R: 200, A: 255}}),
	} {
		for y := r.Min.Y; y < r.Max.Y; y++ {
			for x := r.Min.X; x < r.Max.X; x++ {
				m.Set(x, y, color.NRGBA{R: byte(x * 12), G: byte(y * 13), B: byte(x * y), A: 255})
			}
		}
		got := FromImage(m)
		for y := range got.H {
			for x := range got.W {
				c := color.NRGBAModel.Convert(m.At(r.Min.X+x, r.Min.Y+y)).(color.NRGBA)
				if p := got.Pix[3*(y*got.W+x):]; p[0] != c.R || p[1] != c.G || p[2] != c.B {
					t.Fatalf("%T at %d,%d: %v, want %v", m, x, y, p[:3], c)
				}
			}
		}
	}
}

func TestAlphaIsDropped(t *testing.T) {
	want := []byte{200, 100, 50}
	n := image.NewNRGBA(image.Rect(0, 0, 1, 1))
	n.SetNRGBA(0, 0, color.NRGBA{200, 100, 50, 128})
	p := image.NewPaletted(image.Rect(0, 0, 1, 1), color.Palette{color.NRGBA{200, 100, 50, 0}})
	for _, m := range []image.Image{n, p} {
		if got := FromImage(m).Pix; !slices.Equal(got, want) {
			t.Errorf("%T: %v, want %v", m, got, want)
		}
	}
}

func TestGIFFrameOnItsScreen(t *testing.T) {
	frame := image.NewPaletted(image.Rect(2, 1, 5, 3), color.Palette{color.RGBA{10, 20, 30, 255}})
	var b bytes.Buffer
	g := &gif.GIF{Image: []*image.Paletted{frame}, Delay: []int{0}, Config: image.Config{Width: 7, Height: 6, ColorModel: frame.Palette}}
	if err := gif.EncodeAll(&b, g); err != nil {
		t.Fatal(err)
	}
	img, err := Decode(b.Bytes(), "x.gif", 0)
	if err != nil || img.W != 7 || img.H != 6 {
		t.Fatal(img, err)
	}
	for y := range 6 {
		for x := range 7 {
			in := x >= 2 && x < 5 && y >= 1 && y < 3
			if got := img.Pix[3*(7*y+x)] == 10; got != in {
				t.Errorf("pixel %d,%d inside the frame: %v, want %v", x, y, got, in)
			}
		}
	}
}

func encoded(t testing.TB) map[string][]byte {
	t.Helper()
	m := image.NewNRGBA(image.Rect(0, 0, 40, 24))
	for i := range m.Pix {
		m.Pix[i] = byte(i * 7)
	}
	var p, j, g bytes.Buffer
	for _, err := range []error{png.Encode(&p, m), jpeg.Encode(&j, m, nil), gif.Encode(&g, m, nil)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	files := map[string][]byte{"x.png": p.Bytes(), "x.jpg": j.Bytes(), "x.gif": g.Bytes()}
	for _, f := range []string{"rgb.bmp", "lzw.tif", "lossy.webp", "lossless.webp", "cmyk.jpg", "prog.jpg"} {
		b, err := os.ReadFile(filepath.Join("testdata", "pillow", f))
		if err != nil {
			t.Fatal(err)
		}
		files[f] = b
	}
	return files
}

func isBad(err error) bool {
	var bad *BadImageError
	return errors.As(err, &bad) && bad.Path != "" && bad.Reason != ""
}

// Files cut off anywhere, or with a byte changed anywhere, are decoded or refused by name; nothing panics.
func TestDamagedFiles(t *testing.T) {
	for name, data := range encoded(t) {
		step := max(len(data)/150, 1)
		for n := 0; n < len(data); n += step {
			if _, err := Decode(data[:n], name, 1<<20); err != nil && !isBad(err) {
				t.Errorf("%s cut to %d bytes: %v", name, n, err)
			}
			flipped := bytes.Clone(data)
			flipped[n] ^= 0x55
			if _, err := Decode(flipped, name, 1<<20); err != nil && !isBad(err) {
				t.Errorf("%s with byte %d changed: %v", name, n, err)
			}
		}
		if _, err := Decode(data[:len(data)/2], name, 0); !isBad(err) {
			t.Errorf("half of %s is accepted (%v)", name, err)
		}
	}
}

// A header that claims an enormous picture is refused before the decoder sees it.
func TestEnormousHeaders(t *testing.T) {
	pngOf := func(w, h uint32) []byte {
		b := []byte("\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR")
		b = binary.BigEndian.AppendUint32(b, w)
		b = binary.BigEndian.AppendUint32(b, h)
		b = append(b, 8, 2, 0, 0, 0)
		b = binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b[12:29]))
		return append(b, "\x00\x00\x00\x00IDAT\x35\xaf\x06\x1e"...)
	}
	jpegOf := func(w, h uint16) []byte {
		b := bytes.Clone(encoded(t)["x.jpg"])
		sof := bytes.Index(b, []byte{0xff, 0xc0})
		binary.BigEndian.PutUint16(b[sof+5:], h)
		binary.BigEndian.PutUint16(b[sof+7:], w)
		return b
	}
	for _, c := range []struct {
		data   []byte
		reason string
	}{
		{pngOf(60000, 60000), "limit"},
		{pngOf(70000, 2), "side"},
		{pngOf(9000, 9000), "cannot hold"},
		{pngOf(0, 9000), "header"},
		{jpegOf(65000, 65000), "limit"},
		{jpegOf(8000, 8000), "cannot hold"},
	} {
		_, err := Decode(c.data, "huge", 0)
		if !isBad(err) || !strings.Contains(err.Error(), c.reason) {
			t.Errorf("error %v, want one with %q", err, c.reason)
		}
	}
	if _, err := Decode(encoded(t)["x.png"], "x", 40*24); err != nil {
		t.Errorf("a picture of exactly the limit is refused: %v", err)
	}
	if _, err := Decode(encoded(t)["x.png"], "x", 40*24-1); !isBad(err) {
		t.Error("a picture above the limit is accepted")
	}
}

func FuzzDecode(f *testing.F) {
	for _, data := range encoded(f) {
		f.Add(data)
		f.Add(data[:len(data)/2])
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		img, err := Decode(data, "fuzz", 1<<18)
		switch {
		case err != nil && !isBad(err):
			t.Errorf("%T: %v", err, err)
		case err == nil && (img.W < 1 || img.H < 1 || len(img.Pix) != 3*img.W*img.H):
			t.Errorf("%d×%d pixels in %d bytes", img.W, img.H, len(img.Pix))
		}
	})
}
