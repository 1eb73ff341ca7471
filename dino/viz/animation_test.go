package viz

import (
	"bytes"
	"encoding/binary"
	"image"
	"image/color"
	"image/gif"
	"image/png"
	"slices"
	"testing"
)

// frame is a picture of few colours whose pixels tell it from others.
func frame(i int) *image.RGBA {
	img := image.NewRGBA(image.Rect(0, 0, 12, 7))
	for p := range 12 * 7 {
		img.SetRGBA(p%12, p/12, color.RGBA{uint8(40 * i), uint8(p * 3), uint8(i * p), 255})
	}
	return img
}

func samePixels(a, b image.Image) bool {
	for p := range 12 * 7 {
		r0, g0, b0, _ := a.At(p%12, p/12).RGBA()
		r1, g1, b1, _ := b.At(p%12, p/12).RGBA()
		if r0 != r1 || g0 != g1 || b0 != b1 {
			return false
		}
	}
	return true
}

func TestGIF(t *testing.T) {
	g := NewGIF(30)
	for i := range 6 {
		if err := g.Add(frame(i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := g.Add(image.NewRGBA(image.Rect(0, 0, 3, 3))); err == nil {
		t.Error("a frame of another size was taken")
	}
	var b bytes.Buffer
	if err := g.Encode(&b); err != nil {
		t.Fatal(err)
	}
	d, err := gif.DecodeAll(&b)
	if err != nil {
		t.Fatal(err)
	}
	// 100/30 ticks a frame, rounded so that they add up: 3 4 3 3 4 3.
	if want := []int{3, 4, 3, 3, 4, 3}; !slices.Equal(d.Delay, want) || d.LoopCount != 0 {
		t.Errorf("delays %v, want %v; loops %d", d.Delay, want, d.LoopCount)
	}
	for i, img := range d.Image {
		if !samePixels(img, frame(i)) {
			t.Errorf("frame %d differs", i)
		}
	}
}

// TestAPNG reads the frames back: each fdAT, without its number, is the IDAT of a PNG of its own.
func TestAPNG(t *testing.T) {
	var b bytes.Buffer
	a := NewAPNG(&b, 3, 24)
	for i := range 3 {
		if err := a.Add(frame(i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := a.Add(frame(3)); err == nil {
		t.Error("a fourth frame of three was taken")
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	if err := NewAPNG(&bytes.Buffer{}, 3, 24).Close(); err == nil {
		t.Error("an animation without its frames was closed")
	}
	whole := b.Bytes()
	first, err := png.Decode(bytes.NewReader(whole))
	if err != nil || !samePixels(first, frame(0)) {
		t.Errorf("the first frame: %v", err)
	}
	var kinds []string
	var header []byte
	var sequence uint32
	frames := 0
	rest := whole[8:]
	for len(rest) > 0 {
		n := binary.BigEndian.Uint32(rest)
		kind, body, all := string(rest[4:8]), rest[8:8+n], rest[:12+n]
		rest = rest[12+n:]
		kinds = append(kinds, kind)
		switch kind {
		case "IHDR":
			header = all
		case "acTL":
			if got := binary.BigEndian.Uint32(body); got != 3 {
				t.Errorf("acTL says %d frames", got)
			}
		case "fcTL":
			if got := binary.BigEndian.Uint32(body); got != sequence {
				t.Errorf("fcTL number %d, want %d", got, sequence)
			}
			if num, den := binary.BigEndian.Uint16(body[20:]), binary.BigEndian.Uint16(body[22:]); float64(den)/float64(num) != 24 {
				t.Errorf("a delay of %d/%d", num, den)
			}
			sequence++
		case "fdAT":
			if got := binary.BigEndian.Uint32(body); got != sequence {
				t.Errorf("fdAT number %d, want %d", got, sequence)
			}
			sequence++
			frames++
			var one bytes.Buffer
			c := &APNG{w: &one}
			one.WriteString("\x89PNG\r\n\x1a\n")
			one.Write(header)
			c.chunk("IDAT", body[4:])
			c.chunk("IEND", nil)
			img, err := png.Decode(&one)
			if err != nil || !samePixels(img, frame(frames)) {
				t.Errorf("frame %d: %v", frames, err)
			}
		}
	}
	if want := []string{"IHDR", "acTL", "fcTL", "IDAT", "fcTL", "fdAT", "fcTL", "fdAT", "IEND"}; !slices.Equal(kinds, want) {
		t.Errorf("chunks %v, want %v", kinds, want)
	}
}

func TestIndexedAndOverlay(t *testing.T) {
	labels := make([]uint8, 12*7)
	for i := range labels {
		if x, y := i%12, i/12; x >= 3 && x < 9 && y >= 1 && y < 7 {
			labels[i] = 2
		}
	}
	colours := color.Palette{color.Black, color.White, color.RGBA{200, 0, 0, 255}}
	for _, p := range []color.Palette{colours, nil} {
		b, err := Indexed(12, 7, labels, p)
		if err != nil {
			t.Fatal(err)
		}
		img, err := png.Decode(bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		var got []uint8
		switch img := img.(type) {
		case *image.Paletted:
			got = img.Pix
		case *image.Gray:
			got = img.Pix
		}
		if !slices.Equal(got, labels) {
			t.Errorf("%T: labels differ", img)
		}
	}
	base := image.NewRGBA(image.Rect(0, 0, 12, 7))
	for i := range base.Pix {
		base.Pix[i] = 100
	}
	out := OverlayLabels(base, labels, colours)
	for _, c := range []struct {
		x, y int
		want color.RGBA
	}{{0, 0, color.RGBA{100, 100, 100, 255}}, {3, 3, color.RGBA{200, 0, 0, 255}}, {5, 4, color.RGBA{150, 50, 50, 255}}, {5, 6, color.RGBA{150, 50, 50, 255}}} {
		if got := out.RGBAAt(c.x, c.y); got != c.want {
			t.Errorf("pixel %d, %d: %v, want %v", c.x, c.y, got, c.want)
		}
	}
}
