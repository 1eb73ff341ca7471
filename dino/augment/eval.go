package augment

import (
	"fmt"
	"math"

	"github.com/godino-ml/godino/dino/dataset"
)

// Eval is the transform that a trained network is evaluated with: the shorter side resized to Resize (bicubic), the centre Crop×Crop cut
// out, normalised. Crop 0 instead resizes the whole picture to Resize×Resize, whatever its shape.
type Eval struct {
	Resize, Crop int
	Mean, Std    [3]float32
}

// EvalAt is the transform of the reference for pictures of crop pixels: 256 to 224, and in that proportion for other sizes.
func EvalAt(crop int) Eval {
	return Eval{Resize: crop * 256 / 224, Crop: crop, Mean: ImageNetMean, Std: ImageNetStd}
}

// Whole is the transform that resizes the shorter side to size and cuts off no more than makes a square: right for pictures that are
// small and framed, such as CIFAR's at 32.
func Whole(size int) Eval {
	return Eval{Resize: size, Crop: size, Mean: ImageNetMean, Std: ImageNetStd}
}

// Square is the transform that resizes to size×size without keeping the shape: for raw-pixel baselines.
func Square(size int) Eval { return Eval{Resize: size, Mean: ImageNetMean, Std: ImageNetStd} }

// Size is the side of the result.
func (e Eval) Size() int {
	if e.Crop == 0 {
		return e.Resize
	}
	return e.Crop
}

// Validate says what is wrong with the settings, if anything.
func (e Eval) Validate() error {
	switch {
	case e.Resize < 1 || e.Resize > 1<<14:
		return fmt.Errorf("evaluation at %d pixels: choose 1 to %d", e.Resize, 1<<14)
	case e.Crop < 0 || e.Crop > e.Resize:
		return fmt.Errorf("evaluation crop of %d pixels out of %d: it must fit", e.Crop, e.Resize)
	case !(e.Std[0] > 0 && e.Std[1] > 0 && e.Std[2] > 0):
		return fmt.Errorf("standard deviations %v: must be above 0", e.Std)
	}
	return nil
}

// Apply transforms img: dst (3, S, S) with S = e.Size().
func (e Eval) Apply(s *Scratch, dst []float32, img *dataset.RGB) {
	s.normalize(dst, e.planes(s, img), e.Mean, e.Std)
}

// Picture is Apply before normalisation. The result is valid until s is used again.
func (e Eval) Picture(s *Scratch, img *dataset.RGB) *dataset.RGB { return s.picture(e.planes(s, img)) }

func (e Eval) planes(s *Scratch, img *dataset.RGB) *planes {
	whole := Box{W: img.W, H: img.H}
	if e.Crop == 0 {
		s.resize(&s.crop, e.Resize, e.Resize, img, whole, false)
		return &s.crop
	}
	w, h := ShorterSide(img.W, img.H, e.Resize)
	cut := Box{X: centre(w, e.Crop), Y: centre(h, e.Crop), W: e.Crop, H: e.Crop}
	s.resizeTo(&s.crop, bicubic, w, h, cut, img, whole, false)
	return &s.crop
}

// ShorterSide is the size of a w×h picture after torchvision's Resize(size).
func ShorterSide(w, h, size int) (int, int) {
	if w <= h {
		return size, int(float64(size) * float64(h) / float64(w))
	}
	return int(float64(size) * float64(w) / float64(h)), size
}

// centre is where torchvision's CenterCrop starts: Python's round takes halves to even.
func centre(n, crop int) int { return int(math.RoundToEven(float64(n-crop) / 2)) }

// normalize writes p to dst (3, H, W) as (v/255 − mean)/std.
func (s *Scratch) normalize(dst []float32, p *planes, mean, std [3]float32) {
	n := p.w * p.h
	if len(dst) != 3*n {
		panic(fmt.Sprintf("augment: %d floats for a picture of 3×%d×%d", len(dst), p.h, p.w))
	}
	for c := range 3 {
		s.kernels().NormalizeBytes(dst[c*n:(c+1)*n], p.plane(c), mean[c], std[c])
	}
}

// Normalize is img as planes (3, H, W) of (v/255 − mean)/std.
func Normalize(dst []float32, img *dataset.RGB, mean, std [3]float32) {
	var s Scratch
	s.resize(&s.crop, img.W, img.H, img, Box{W: img.W, H: img.H}, false)
	s.normalize(dst, &s.crop, mean, std)
}
