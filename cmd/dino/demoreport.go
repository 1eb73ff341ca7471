package main

import (
	"bytes"
	_ "embed"
	"encoding/base64"
	"html/template"
	"image"
	"image/color"
	"io"
	"math"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/image/draw"

	"github.com/godino-ml/godino/dino"
	"github.com/godino-ml/godino/dino/augment"
	"github.com/godino-ml/godino/dino/viz"
	"github.com/godino-ml/godino/internal/shapes"
	"github.com/godino-ml/godino/nn/weights"
	"github.com/godino-ml/godino/tensor"
)

// demoReport draws what a demo has to show.
type demoReport struct {
	dir    string
	config dino.Config
	images int
	run    *dino.Run
	epochs []dino.EpochStats
	took   time.Duration
}

//go:embed demoreport.html
var demoPage string

// write draws the pictures and the page around them, and returns the page's path.
func (r *demoReport) write() (string, error) {
	parts := []struct {
		file string
		draw func(path string) error
	}{
		{"attention.png", r.attention}, {"crops.png", r.crops}, {"pictures.png", r.pictures},
	}
	for _, p := range parts {
		if err := p.draw(filepath.Join(r.dir, p.file)); err != nil {
			return "", err
		}
	}
	if err := drawCurves(r.dir, r.epochs, r.config.OutDim); err != nil {
		return "", err
	}
	images := map[string]template.URL{}
	for _, name := range []string{knnCurveName, lossCurveName, "attention.png", "crops.png", "pictures.png"} {
		data, err := os.ReadFile(filepath.Join(r.dir, name))
		if err != nil {
			return "", err
		}
		images[name] = template.URL("data:image/png;base64," + base64.StdEncoding.EncodeToString(data))
	}
	page, err := template.New("report").Funcs(template.FuncMap{"add": func(a, b int) int { return a + b }}).Parse(demoPage)
	if err != nil {
		return "", err
	}
	pixels, untrained, trained := scores(r.epochs)
	var b bytes.Buffer
	err = page.Execute(&b, map[string]any{
		"Config": r.config, "Images": r.images, "Test": r.images / 4, "Classes": shapes.Classes, "Chance": 100 / len(shapes.Classes),
		"Pixels": pixels, "Untrained": untrained, "Trained": trained, "Epochs": r.epochs, "Picture": images,
		"Took": durationText(r.took), "Version": version(), "LnK": math.Log(float64(r.config.OutDim)),
	})
	if err != nil {
		return "", err
	}
	path := filepath.Join(r.dir, "report.html")
	return path, weights.AtomicWrite(path, func(w io.Writer) error { _, err := w.Write(b.Bytes()); return err })
}

// attention shows, for a picture of each kind that was not trained on: the picture, the mean of the heads, the mask of 60 % of it, each head.
// The network sees the picture at three times the size that it was trained on, which makes a finer map.
func (r *demoReport) attention(path string) error {
	const cell, larger = 12, 3 // pixels of the drawing a patch
	patch := r.config.PatchSize
	seen := larger * r.config.GlobalCropsSize / patch * patch
	grid := seen / patch
	encoder := dino.NewEncoder(tensor.CPU(), r.run.Trainer.Teacher.Backbone)
	var images []image.Image
	columns := 0
	for class := range shapes.Classes {
		index := (r.images+len(shapes.Classes)-1)/len(shapes.Classes)*len(shapes.Classes) + class
		shown := shapes.Picture(r.config.Seed, index, grid*cell)
		heads := encoder.Attention(drawPicture(r.config.Seed, index, seen))
		mean := make([]float32, grid*grid)
		for _, h := range heads {
			for i, v := range h {
				mean[i] += v / float32(len(heads))
			}
		}
		row := []image.Image{shown, viz.AttentionMap(mean, grid, cell, viz.Viridis), viz.Overlay(shown, viz.Mask(mean, 0.6), grid, cell, color.RGBA{255, 40, 40, 255})}
		for _, h := range heads {
			row = append(row, viz.AttentionMap(h, grid, cell, viz.Viridis))
		}
		columns = len(row)
		images = append(images, row...)
	}
	return viz.WritePNG(path, viz.Sheet(images, columns, 4))
}

// crops shows pictures, one a row, and after each all its crops of one epoch.
func (r *demoReport) crops(path string) error {
	const rows, zoom = 5, 3
	m := r.config.Crops()
	var scratch augment.Scratch
	var images []image.Image
	for i := range rows {
		img := drawPicture(r.config.Seed, i, r.config.GlobalCropsSize)
		images = append(images, enlarged(img.Image(), zoom))
		for v := range m.Views() {
			images = append(images, enlarged(m.Picture(&scratch, img, v, augment.CropStream(r.config.Seed, 0, i, v)).Image(), zoom))
		}
	}
	return viz.WritePNG(path, viz.Sheet(images, 1+m.Views(), 6))
}

func (r *demoReport) pictures(path string) error {
	return viz.WritePNG(path, shapes.Sheet(r.config.Seed, 12, 2*r.config.GlobalCropsSize))
}

// enlarged repeats pixels.
func enlarged(img *image.RGBA, zoom int) *image.RGBA {
	out := image.NewRGBA(image.Rect(0, 0, zoom*img.Rect.Dx(), zoom*img.Rect.Dy()))
	draw.NearestNeighbor.Scale(out, out.Rect, img, img.Rect, draw.Src, nil)
	return out
}
