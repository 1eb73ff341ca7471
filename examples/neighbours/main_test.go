package main

import (
	"bytes"
	"encoding/json"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"github.com/godino-ml/godino/dino/augment"
	"github.com/godino-ml/godino/dino/dataset"
	"github.com/godino-ml/godino/nn"
	"github.com/godino-ml/godino/tensor"
)

func encode(t *testing.T, c color.RGBA) []byte {
	t.Helper()
	m := image.NewRGBA(image.Rect(0, 0, 16, 16))
	draw.Draw(m, m.Bounds(), image.NewUniform(c), image.Point{}, draw.Src)
	var b bytes.Buffer
	if err := png.Encode(&b, m); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestNeighbours: a picture of the folder is its own nearest neighbour, and what is no picture is refused.
func TestNeighbours(t *testing.T) {
	dir := t.TempDir()
	pictures := map[string][]byte{
		"red.png": encode(t, color.RGBA{R: 255, A: 255}), "green.png": encode(t, color.RGBA{G: 255, A: 255}), "blue.png": encode(t, color.RGBA{B: 255, A: 255}),
	}
	for name, data := range pictures {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	ds, err := dataset.Open(dir, dataset.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer ds.Close()
	config, err := nn.ParseArch("vit:dim=32,depth=1,heads=2", 8, 16)
	if err != nil {
		t.Fatal(err)
	}
	h, err := newHandler(t.Context(), nn.NewVisionTransformer(tensor.CPU(), config, 1), augment.Whole(16), ds)
	if err != nil {
		t.Fatal(err)
	}
	post := func(body []byte) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/?k=2", bytes.NewReader(body)))
		return w
	}
	for name, data := range pictures {
		w := post(data)
		var got []neighbour
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
			t.Fatalf("status %d: %s: %v", w.Code, w.Body, err)
		}
		if len(got) != 2 || got[0].Path != name || !(got[0].Similarity > 0.9999) || !(got[1].Similarity < got[0].Similarity) {
			t.Errorf("neighbours of %s: %+v", name, got)
		}
	}
	if w := post([]byte("no picture")); w.Code != http.StatusUnsupportedMediaType {
		t.Errorf("status %d for what is no picture", w.Code)
	}
}
