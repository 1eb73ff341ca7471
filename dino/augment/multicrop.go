package augment

import (
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/godino-ml/godino/dino/dataset"
)

// Mean and standard deviation of ImageNet's channels after scaling to [0, 1].
var (
	ImageNetMean = [3]float32{0.485, 0.456, 0.406}
	ImageNetStd  = [3]float32{0.229, 0.224, 0.225}
)

// MultiCrop says how to make the views of a sample: two global crops and some local ones. Arrays of three hold values for the first
// global crop, the second, and the local ones.
type MultiCrop struct {
	GlobalSize, LocalSize int // side in pixels
	LocalNumber           int
	GlobalScale           [2]float64 // range of a crop's area as a share of the picture's
	LocalScale            [2]float64
	Ratio                 [2]float64 // range of width/height, drawn log-uniformly

	Flip   float64 // probability
	Jitter float64 // probability of the four below, in random order
	// Factors are drawn from 1±Brightness, 1±Contrast, 1±Saturation; the hue shift from ±Hue of the circle.
	Brightness, Contrast, Saturation, Hue float64
	Gray                                  float64    // probability
	Blur                                  [3]float64 // probability
	BlurRadius                            [2]float64 // range of the standard deviation, in pixels of the crop
	Solarize                              [3]float64 // probability
	Mean, Std                             [3]float32 // per channel, after scaling to [0, 1]
}

// Reference is the augmentation of the published reference: 2 × 224 and 8 × 96.
func Reference() MultiCrop {
	return MultiCrop{
		GlobalSize: 224, LocalSize: 96, LocalNumber: 8,
		GlobalScale: [2]float64{0.4, 1}, LocalScale: [2]float64{0.05, 0.4}, Ratio: [2]float64{3.0 / 4, 4.0 / 3},
		Flip: 0.5, Jitter: 0.8, Brightness: 0.4, Contrast: 0.4, Saturation: 0.2, Hue: 0.1, Gray: 0.2,
		Blur: [3]float64{1, 0.1, 0.5}, BlurRadius: [2]float64{0.1, 2}, Solarize: [3]float64{0, 0.2, 0},
		Mean: ImageNetMean, Std: ImageNetStd,
	}
}

// NoBlur is the same without blur. Its radius is in pixels of the crop: at 32 pixels it would erase what there is to see.
func (m MultiCrop) NoBlur() MultiCrop {
	m.Blur = [3]float64{}
	return m
}

// Views is the number of crops of a sample.
func (m *MultiCrop) Views() int { return 2 + m.LocalNumber }

// Size is the side of a view.
func (m *MultiCrop) Size(view int) int {
	if view < 2 {
		return m.GlobalSize
	}
	return m.LocalSize
}

// Validate says what is wrong with the settings, if anything.
func (m *MultiCrop) Validate() error {
	const most = 4096
	within := func(r [2]float64, lo, hi float64) bool { return lo < r[0] && r[0] <= r[1] && r[1] <= hi }
	switch {
	case m.GlobalSize < 1 || m.GlobalSize > most:
		return fmt.Errorf("global crops of %d pixels: choose 1 to %d", m.GlobalSize, most)
	case m.LocalNumber < 0 || m.LocalNumber > 1000:
		return fmt.Errorf("%d local crops: choose 0 to 1000", m.LocalNumber)
	case m.LocalNumber > 0 && (m.LocalSize < 1 || m.LocalSize > most):
		return fmt.Errorf("local crops of %d pixels: choose 1 to %d", m.LocalSize, most)
	case !within(m.GlobalScale, 0, 1):
		return fmt.Errorf("global crop scale %v: two numbers, 0 < first ≤ second ≤ 1", m.GlobalScale)
	case m.LocalNumber > 0 && !within(m.LocalScale, 0, 1):
		return fmt.Errorf("local crop scale %v: two numbers, 0 < first ≤ second ≤ 1", m.LocalScale)
	case !within(m.Ratio, 0, 1000):
		return fmt.Errorf("aspect ratio of crops %v: two numbers, 0 < first ≤ second", m.Ratio)
	case m.BlurRadius[0] < 0 || !(m.BlurRadius[0] <= m.BlurRadius[1]) || m.BlurRadius[1] > 100:
		return fmt.Errorf("blur radius %v: two numbers, 0 ≤ first ≤ second ≤ 100", m.BlurRadius)
	case !(m.Std[0] > 0 && m.Std[1] > 0 && m.Std[2] > 0):
		return fmt.Errorf("standard deviations %v: must be above 0", m.Std)
	}
	for _, x := range []float64{m.Brightness, m.Contrast, m.Saturation, 2 * m.Hue} {
		if !(0 <= x && x <= 1) {
			return fmt.Errorf("colour jitter: brightness %v, contrast %v and saturation %v must lie in 0 to 1, hue %v in 0 to 0.5",
				m.Brightness, m.Contrast, m.Saturation, m.Hue)
		}
	}
	return nil
}

// View makes view v of img: dst (3, S, S), planes of red, green and blue, normalised. rng is drawn from in an order that depends on the
// settings alone.
func (m *MultiCrop) View(s *Scratch, dst []float32, img *dataset.RGB, v int, rng *rand.Rand) {
	s.normalize(dst, m.planes(s, img, v, rng), m.Mean, m.Std)
}

// Picture is View before normalisation. The result is valid until s is used again.
func (m *MultiCrop) Picture(s *Scratch, img *dataset.RGB, v int, rng *rand.Rand) *dataset.RGB {
	return s.picture(m.planes(s, img, v, rng))
}

func (m *MultiCrop) planes(s *Scratch, img *dataset.RGB, v int, rng *rand.Rand) *planes {
	r := m.Draw(v, img.W, img.H, rng)
	size, p := m.Size(v), &s.crop
	s.resize(p, size, size, img, r.Box, r.Flip)
	if r.jittered {
		s.jitter(p, r.jitter)
	}
	if r.Grey {
		s.grayscale(p)
	}
	if r.Blur > 0 {
		s.gaussianBlur(p, r.Blur)
	}
	if r.Solarize {
		s.solarize(p, solarizeFrom)
	}
	return p
}

// solarizeFrom is the least byte that is inverted.
const solarizeFrom = 128

// Recipe is what is random about a view of a picture: what View draws, in the order in which it is done.
type Recipe struct {
	Box      Box
	Flip     bool
	jittered bool
	jitter   jitter
	Grey     bool
	Blur     float64 // standard deviation in pixels of the crop; 0 for none
	Solarize bool
}

// Draw draws view v of a picture of w×h pixels.
func (m *MultiCrop) Draw(v, w, h int, rng *rand.Rand) Recipe {
	scale, kind := m.GlobalScale, v
	if v >= 2 {
		scale, kind = m.LocalScale, 2
	}
	r := Recipe{Box: RandomBox(rng, w, h, scale, m.Ratio), Flip: rng.Float64() < m.Flip}
	if r.jittered = rng.Float64() < m.Jitter; r.jittered {
		r.jitter = m.drawJitter(rng)
	}
	r.Grey = rng.Float64() < m.Gray
	if rng.Float64() < m.Blur[kind] {
		r.Blur = uniform(rng, m.BlurRadius)
	}
	r.Solarize = rng.Float64() < m.Solarize[kind]
	return r
}

// Sample makes all views of img, view v into dst[v], each from its own stream of (seed, epoch, sample, v).
func (m *MultiCrop) Sample(s *Scratch, dst [][]float32, img *dataset.RGB, seed uint64, epoch, sample int) {
	for v := range dst {
		m.View(s, dst[v], img, v, s.stream.Key(seed, epoch, sample, v))
	}
}

func uniform(rng *rand.Rand, r [2]float64) float64 { return r[0] + (r[1]-r[0])*rng.Float64() }

// RandomBox is the box of torchvision's RandomResizedCrop: an area uniform in scale and a ratio of width to height log-uniform in ratio,
// rounded; the first of ten tries that fits is placed uniformly, else the largest centred box of an allowed ratio is taken.
func RandomBox(rng *rand.Rand, w, h int, scale, ratio [2]float64) Box {
	area := float64(w) * float64(h)
	logRatio := [2]float64{math.Log(ratio[0]), math.Log(ratio[1])}
	for range 10 {
		target := area * uniform(rng, scale)
		aspect := math.Exp(uniform(rng, logRatio))
		// Python's round: halves to even.
		bw, bh := int(math.RoundToEven(math.Sqrt(target*aspect))), int(math.RoundToEven(math.Sqrt(target/aspect)))
		if 0 < bw && bw <= w && 0 < bh && bh <= h {
			return Box{Y: rng.IntN(h - bh + 1), X: rng.IntN(w - bw + 1), W: bw, H: bh}
		}
	}
	bw, bh := w, h
	switch in := float64(w) / float64(h); {
	case in < ratio[0]:
		bh = int(math.RoundToEven(float64(w) / ratio[0]))
	case in > ratio[1]:
		bw = int(math.RoundToEven(float64(h) * ratio[1]))
	}
	bw, bh = min(max(bw, 1), w), min(max(bh, 1), h)
	return Box{X: (w - bw) / 2, Y: (h - bh) / 2, W: bw, H: bh}
}

// jitter is one draw of the colour jitter.
type jitter struct {
	brightness, contrast, saturation, hue float64
	order                                 [4]int // 0 brightness, 1 contrast, 2 saturation, 3 hue
}

func (m *MultiCrop) drawJitter(rng *rand.Rand) jitter {
	j := jitter{order: [4]int{0, 1, 2, 3}}
	for i := 3; i > 0; i-- {
		k := rng.IntN(i + 1)
		j.order[i], j.order[k] = j.order[k], j.order[i]
	}
	around := func(x float64) float64 { return uniform(rng, [2]float64{1 - x, 1 + x}) }
	j.brightness, j.contrast, j.saturation = around(m.Brightness), around(m.Contrast), around(m.Saturation)
	j.hue = uniform(rng, [2]float64{-m.Hue, m.Hue})
	return j
}

// factor is that of an operation, numbered as in order; it tells whether the operation changes anything.
func (j *jitter) factor(op int) (factor float64, changes bool) {
	switch op {
	case 0:
		return j.brightness, j.brightness != 1
	case 1:
		return j.contrast, j.contrast != 1
	case 2:
		return j.saturation, j.saturation != 1
	}
	return j.hue, j.hue != 0
}

func (s *Scratch) jitter(p *planes, j jitter) {
	for _, op := range j.order {
		factor, changes := j.factor(op)
		if !changes {
			continue
		}
		switch op {
		case 0:
			s.brightness(p, factor)
		case 1:
			s.contrast(p, factor)
		case 2:
			s.saturation(p, factor)
		case 3:
			s.hue(p, factor)
		}
	}
}
