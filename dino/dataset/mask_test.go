package dataset

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"reflect"
	"slices"
	"strings"
	"testing"
)

func encodePNG(t testing.TB, img image.Image) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestDecodeLabels(t *testing.T) {
	want := []uint8{0, 1, 2, 255, 21, 9}
	rect := image.Rect(0, 0, 3, 2)
	paletted := &image.Paletted{Pix: want, Stride: 3, Rect: rect, Palette: MaskPalette}
	grey := &image.Gray{Pix: want, Stride: 3, Rect: rect}
	colour := image.NewRGBA(rect)
	draw.Draw(colour, rect, paletted, image.Point{}, draw.Src)
	for name, img := range map[string]image.Image{"palette": paletted, "grey": grey, "colour": colour} {
		m, err := DecodeLabels(encodePNG(t, img), name, 0)
		if err != nil || m.W != 3 || m.H != 2 || !slices.Equal(m.Labels, want) {
			t.Errorf("%s: %+v, %v", name, m, err)
			continue
		}
		if m.Objects() != 21 || m.WhiteIsObject() {
			t.Errorf("%s: %d objects, white is one: %v", name, m.Objects(), m.WhiteIsObject())
		}
	}
	// DAVIS 2016: one object, in white.
	m, err := DecodeLabels(encodePNG(t, &image.Gray{Pix: []uint8{0, 255, 0, 255, 0, 0}, Stride: 3, Rect: rect}), "white", 0)
	if err != nil || !m.WhiteIsObject() {
		t.Fatalf("%+v, %v", m, err)
	}
	if m.WhiteToObject(); !slices.Equal(m.Labels, []uint8{0, 1, 0, 1, 0, 0}) || m.Objects() != 1 {
		t.Errorf("white as object: %v", m.Labels)
	}
	const header = "IHDR\x00\x01\x00\x00\x00\x01\x00\x00\x08\x00\x00\x00\x00"
	colour.SetRGBA(1, 1, color.RGBA{1, 2, 3, 255})
	for name, c := range map[string]struct {
		data []byte
		word string
	}{
		"odd colour": {encodePNG(t, colour), "1 2 3 at 1, 1"},
		"no png":     {[]byte("GIF89a"), "no PNG"},
		"cut short":  {encodePNG(t, grey)[:60], "damaged"},
		"huge":       {append([]byte("\x89PNG\r\n\x1a\n\x00\x00\x00\r"), binary.BigEndian.AppendUint32([]byte(header), crc32.ChecksumIEEE([]byte(header)))...), "65536×65536"},
	} {
		if m, err := DecodeLabels(c.data, name, 0); err == nil || !strings.Contains(err.Error(), c.word) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v, %v", name, m, err)
		}
	}
}

// TestMaskPalette: some of DAVIS's colours.
func TestMaskPalette(t *testing.T) {
	for i, want := range map[int]color.RGBA{0: {0, 0, 0, 255}, 1: {128, 0, 0, 255}, 2: {0, 128, 0, 255}, 3: {128, 128, 0, 255}, 4: {0, 0, 128, 255}, 8: {64, 0, 0, 255},
		9: {191, 0, 0, 255}, 18: {0, 191, 0, 255}, 20: {0, 64, 128, 255}, 21: {128, 64, 128, 255}, 22: {22, 22, 22, 255}, 255: {255, 255, 255, 255}} {
		if MaskPalette[i] != color.Color(want) {
			t.Errorf("colour %d: %v, want %v", i, MaskPalette[i], want)
		}
	}
}

func FuzzDecodeLabels(f *testing.F) {
	rect := image.Rect(0, 0, 5, 3)
	pix := []uint8{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 255}
	f.Add(encodePNG(f, &image.Gray{Pix: pix, Stride: 5, Rect: rect}))
	f.Add(encodePNG(f, &image.Paletted{Pix: pix, Stride: 5, Rect: rect, Palette: MaskPalette}))
	f.Add(encodePNG(f, &image.Paletted{Pix: make([]uint8, 15), Stride: 5, Rect: rect, Palette: MaskPalette[:2]}))
	f.Add(encodePNG(f, image.NewNRGBA(rect)))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := DecodeLabels(data, "fuzz", 1<<18)
		if err == nil && (len(m.Labels) != m.W*m.H || m.W*m.H > 1<<18) {
			t.Fatalf("%d labels for %d×%d pixels", len(m.Labels), m.W, m.H)
		}
	})
}

func TestCompareNatural(t *testing.T) {
	// frame01 and frame1 have the same number: by bytes.
	want := []string{"frame01.jpg", "frame1.jpg", "frame2.jpg", "frame9.jpg", "frame10.jpg", "frame10b.jpg", "frame100.jpg", "other"}
	got := slices.Clone(want)
	slices.Reverse(got)
	slices.SortFunc(got, CompareNatural)
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestFramesOfOneFolder(t *testing.T) {
	masks := filesOf(map[string]string{"m/9.png": "", "m/10.png": "", "m/11.txt": ""})
	s, err := Frames(filesOf(map[string]string{"v/10.jpg": "", "v/9.jpg": "", "v/notes.txt": ""}), masks)
	if err != nil || !reflect.DeepEqual(s.Frames, []string{"v/9.jpg", "v/10.jpg"}) || !reflect.DeepEqual(s.Masks, []string{"m/9.png", "m/10.png"}) {
		t.Errorf("%+v, %v", s, err)
	}
	if _, err := Frames(filesOf(map[string]string{"v/10.jpg": "", "masks/9.png": ""}), nil); err == nil || !strings.Contains(err.Error(), "masks and in v") {
		t.Errorf("two folders: %v", err)
	}
	if _, err := Frames(masks.Below("n"), nil); err == nil || !strings.Contains(err.Error(), "no frames") {
		t.Errorf("no frames: %v", err)
	}
}

func filesOf(texts map[string]string) *Files {
	f := &Files{root: "set", items: map[string]item{}}
	for name := range texts {
		f.items[name] = item{path: name}
	}
	return f
}

func TestDAVISFindsSequences(t *testing.T) {
	names := map[string]string{}
	for _, s := range []string{"bear", "swan", "nomask"} {
		for _, frame := range []string{"00000", "00001", "00002"} {
			names["DAVIS/JPEGImages/480p/"+s+"/"+frame+".jpg"] = ""
			names["DAVIS/JPEGImages/Full-Resolution/"+s+"/"+frame+".jpg"] = ""
			if s != "nomask" && frame != "00002" {
				names["DAVIS/Annotations/480p/"+s+"/"+frame+".png"] = ""
			}
		}
	}
	found, err := DAVIS(filesOf(names), "val", nil)
	if err != nil || len(found) != 2 || found[0].Name != "bear" || len(found[0].Frames) != 3 || found[0].Masks[1] != "DAVIS/Annotations/480p/bear/00001.png" || found[0].Masks[2] != "" {
		t.Errorf("%+v, %v", found, err)
	}
	if found, err = DAVIS(filesOf(names), "val", []string{"swan"}); err != nil || len(found) != 1 || found[0].Name != "swan" {
		t.Errorf("%+v, %v", found, err)
	}
	for names, word := range map[string]string{"nomask": "no mask", "cow": "there are bear, nomask, swan"} {
		if _, err := DAVIS(filesOf(map[string]string{"JPEGImages/480p/bear/0.jpg": "", "JPEGImages/480p/nomask/0.jpg": "", "JPEGImages/480p/swan/0.jpg": ""}), "val", []string{names}); err == nil || !strings.Contains(err.Error(), word) {
			t.Errorf("%s: %v", names, err)
		}
	}
	if _, err := DAVIS(filesOf(map[string]string{"a/b.jpg": ""}), "val", nil); err == nil || !strings.Contains(err.Error(), "JPEGImages/480p") {
		t.Errorf("no set: %v", err)
	}
	list := "bear\n\nswan\nbear\n"
	if got := sequencesIn(list); !reflect.DeepEqual(got, []string{"bear", "swan"}) {
		t.Errorf("2017: %q", got)
	}
	list = "/JPEGImages/480p/bear/00000.jpg /Annotations/480p/bear/00000.png\n/JPEGImages/480p/bear/00001.jpg x\n/JPEGImages/480p/cow/00000.jpg x"
	if got := sequencesIn(list); !reflect.DeepEqual(got, []string{"bear", "cow"}) {
		t.Errorf("2016: %q", got)
	}
}
