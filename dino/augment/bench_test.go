package augment

import (
	"bytes"
	"image"
	"image/jpeg"
	"slices"
	"testing"

	"github.com/godino-ml/godino/dino/dataset"
	"github.com/godino-ml/godino/internal/golden"
	"github.com/godino-ml/godino/kernels"
)

// photo is the golden file's picture of 500×375 pixels, and its JPEG file with chroma at half resolution.
func photo(b *testing.B) (*dataset.RGB, []byte) {
	img := goldenPicture(golden.Open(b, "augment.safetensors"), "image3")
	m := image.NewRGBA(image.Rect(0, 0, img.W, img.H))
	for i := range img.W * img.H {
		copy(m.Pix[4*i:], img.Pix[3*i:3*i+3])
		m.Pix[4*i+3] = 255
	}
	var file bytes.Buffer
	if err := jpeg.Encode(&file, m, &jpeg.Options{Quality: 90}); err != nil {
		b.Fatal(err)
	}
	return img, file.Bytes()
}

// views is room for all views of a sample.
func (m *MultiCrop) views() [][]float32 {
	dst := make([][]float32, m.Views())
	for v := range dst {
		dst[v] = make([]float32, 3*m.Size(v)*m.Size(v))
	}
	return dst
}

// BenchmarkSample is what a training run does with a sample: a photo of 500×375 pixels in whole and by its two parts, and CIFAR's pictures, which
// are decoded once.
func BenchmarkSample(b *testing.B) {
	img, file := photo(b)
	reference := Reference()
	small := reference.NoBlur()
	small.GlobalSize, small.LocalSize = 32, 16
	small.LocalScale = [2]float64{0.1, 0.4}
	cifar := noise(32, 32, 1)
	var decoded dataset.RGB
	decode := func() *dataset.RGB {
		if err := decoded.Decode(file, "photo.jpg", 0); err != nil {
			b.Fatal(err)
		}
		return &decoded
	}
	var s Scratch
	views, smallViews := reference.views(), small.views()
	for _, part := range []struct {
		name string
		run  func(sample int)
	}{
		{"photo decoded, 2x224+8x96", func(sample int) { reference.Sample(&s, views, decode(), 1, 0, sample) }},
		{"photo decoded", func(int) { decode() }},
		{"photo 2x224+8x96", func(sample int) { reference.Sample(&s, views, img, 1, 0, sample) }},
		{"cifar 2x32+8x16", func(sample int) { small.Sample(&s, smallViews, cifar, 1, 0, sample) }},
	} {
		b.Run(part.name, func(b *testing.B) {
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				part.run(i)
				i++
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "images/s")
		})
	}
}

// BenchmarkParts are the steps to a global crop, with every set of kernels.
func BenchmarkParts(b *testing.B) {
	const size = 224
	img, _ := photo(b)
	for _, table := range kernels.Tables() {
		s := Scratch{table: table}
		s.resize(&s.crop, size, size, img, Box{X: 40, Y: 20, W: 420, H: 310}, false)
		p := &planes{w: size, h: size, pix: slices.Clone(s.crop.pix)}
		floats := make([]float32, 3*size*size)
		for _, part := range []struct {
			name string
			run  func()
		}{
			{"resize", func() {
				s.horizontal.in = 0 // the weights too
				s.vertical.in = 0
				s.resize(&s.crop, size, size, img, Box{X: 40, Y: 20, W: 420, H: 310}, true)
			}},
			{"brightness", func() { s.brightness(p, 0.99) }},
			{"contrast", func() { s.contrast(p, 1.01) }},
			{"saturation", func() { s.saturation(p, 1.01) }},
			{"hue", func() { s.hue(p, 0.02) }},
			{"grayscale", func() { s.grayscale(p) }},
			{"blur", func() { s.gaussianBlur(p, 1.5) }},
			{"solarize", func() { s.solarize(p, 128) }},
			{"normalize", func() { s.normalize(floats, p, ImageNetMean, ImageNetStd) }},
		} {
			b.Run(table.Name+"/"+part.name, func(b *testing.B) {
				copy(p.pix, s.crop.pix)
				for b.Loop() {
					part.run()
				}
			})
		}
	}
}
