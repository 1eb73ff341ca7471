package augment

import (
	"fmt"
	"math/rand/v2"

	"github.com/godino-ml/godino/dino/dataset"
)

// ResizedCrop is the augmentation of training with labels, one crop of a picture: torchvision's RandomResizedCrop with its default filter, bilinear,
// and a flip, as the reference's linear evaluation has them; and perhaps colour jitter.
type ResizedCrop struct {
	Size      int        // side in pixels
	Scale     [2]float64 // range of the crop's area as a share of the picture's
	Ratio     [2]float64 // range of width/height, drawn log-uniformly
	Flip      float64    // probability
	Jitter    float64    // probability of DINO's colour jitter: see Reference
	Mean, Std [3]float32
}

// ResizedCropAt is the reference's, at size pixels: 0.08 to 1 of the area, 3/4 to 4/3, flipped half of the time.
func ResizedCropAt(size int) ResizedCrop {
	return ResizedCrop{Size: size, Scale: [2]float64{0.08, 1}, Ratio: [2]float64{3.0 / 4, 4.0 / 3}, Flip: 0.5, Mean: ImageNetMean, Std: ImageNetStd}
}

// Validate says what is wrong with the settings, if anything.
func (c *ResizedCrop) Validate() error {
	m := Reference()
	m.GlobalSize, m.GlobalScale, m.LocalNumber, m.Ratio, m.Std = c.Size, c.Scale, 0, c.Ratio, c.Std
	if !(c.Flip >= 0 && c.Flip <= 1 && c.Jitter >= 0 && c.Jitter <= 1) {
		return fmt.Errorf("flip %v and colour jitter %v: probabilities from 0 to 1", c.Flip, c.Jitter)
	}
	return m.Validate()
}

// Apply makes a crop of img: dst (3, S, S), planes of red, green and blue, normalised. rng is drawn from in an order that depends on the settings
// alone.
func (c *ResizedCrop) Apply(s *Scratch, dst []float32, img *dataset.RGB, rng *rand.Rand) {
	s.normalize(dst, c.planes(s, img, rng), c.Mean, c.Std)
}

func (c *ResizedCrop) planes(s *Scratch, img *dataset.RGB, rng *rand.Rand) *planes {
	box := RandomBox(rng, img.W, img.H, c.Scale, c.Ratio)
	flip := rng.Float64() < c.Flip
	s.resizeTo(&s.crop, bilinear, c.Size, c.Size, Box{W: c.Size, H: c.Size}, img, box, flip)
	if rng.Float64() < c.Jitter {
		m := Reference()
		s.jitter(&s.crop, m.drawJitter(rng))
	}
	return &s.crop
}
