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

// scores are top-1 in per cent; NaN where nothing was measured.
func (r *demoReport) scores() (pixels, untrained, trained float64) {
	pixels, untrained, trained = math.NaN(), math.NaN(), math.NaN()
	for _, e := range r.epochs {
		if e.KNN == nil {
			continue
		}
		trained = e.KNN.Top1
		if e.KNN.Pixels != nil {
			pixels = *e.KNN.Pixels
		}
		if e.KNN.Untrained != nil {
			untrained = *e.KNN.Untrained
		}
	}
	return pixels, untrained, trained
}

//go:embed demoreport.html
var demoPage string

// write draws the pictures and the page around them, and returns the page's path.
func (r *demoReport) write() (string, error) {
	parts := []struct {
		file string
		draw func(path string) error
	}{
		{"knn.png", r.knnCurve}, {"loss.png", r.lossCurve}, {"attention.png", r.attention}, {"crops.png", r.crops}, {"pictures.png", r.pictures},
	}
	images := map[string]template.URL{}
	for _, p := range parts {
		path := filepath.Join(r.dir, p.file)
		if err := p.draw(path); err != nil {
			return "", err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return "", err
		}
		images[p.file] = template.URL("data:image/png;base64," + base64.StdEncoding.EncodeToString(data))
	}
	page, err := template.New("report").Funcs(template.FuncMap{"add": func(a, b int) int { return a + b }}).Parse(demoPage)
	if err != nil {
		return "", err
	}
	pixels, untrained, trained := r.scores()
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

func (r *demoReport) knnCurve(path string) error {
	pixels, untrained, _ := r.scores()
	s := viz.Series{Name: "trained"}
	for _, e := range r.epochs {
		if e.KNN != nil {
			s.X, s.Y = append(s.X, float64(e.Epoch+1)), append(s.Y, e.KNN.Top1)
		}
	}
	series := []viz.Series{s}
	if !math.IsNaN(pixels) {
		series = append(series, viz.Level("raw pixels", pixels))
	}
	if !math.IsNaN(untrained) {
		series = append(series, viz.Level("untrained", untrained))
	}
	return viz.Curves(path, "k-NN on pictures not trained on", "epoch", "top-1 %", series...)
}

func (r *demoReport) lossCurve(path string) error {
	loss, entropy := viz.Series{Name: "loss"}, viz.Series{Name: "teacher entropy"}
	for _, e := range r.epochs {
		if e.Epoch >= 0 {
			loss.X, loss.Y = append(loss.X, float64(e.Epoch+1)), append(loss.Y, e.Loss)
			entropy.X, entropy.Y = append(entropy.X, float64(e.Epoch+1)), append(entropy.Y, e.Entropy)
		}
	}
	return viz.Curves(path, "Loss and the teacher's entropy", "epoch", "nats", loss, entropy, viz.Level("ln K", math.Log(float64(r.config.OutDim))))
}

// attention shows, for a picture of each kind that was not trained on: the picture, the mean of the heads, the mask of 60 % of it, each head.
// The network sees the picture at three times the size that it was trained on, which makes a finer map.
func (r *demoReport) attention(path string) error {
	const cell, larger = 12, 3 // pixels of the drawing a patch
	patch := r.config.PatchSize
	seen := larger * r.config.GlobalCropsSize / patch * patch
	grid := seen / patch
	n := &network{VisionTransformer: r.run.Trainer.Teacher.Backbone, dev: tensor.CPU()}
	var images []image.Image
	columns := 0
	for class := range shapes.Classes {
		index := (r.images+len(shapes.Classes)-1)/len(shapes.Classes)*len(shapes.Classes) + class
		shown := shapes.Picture(r.config.Seed, index, grid*cell)
		heads := n.attention(drawPicture(r.config.Seed, index, seen))
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
		images = append(images, enlarged(picture(img), zoom))
		for v := range m.Views() {
			images = append(images, enlarged(picture(m.Picture(&scratch, img, v, augment.CropStream(r.config.Seed, 0, i, v))), zoom))
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
