package dataset

import "image"

// RGB is an 8-bit picture: rows from the top, pixels from the left, three bytes a pixel, no padding.
type RGB struct {
	W, H int
	Pix  []byte // (H, W, 3)
}

// NewRGB returns a black picture.
func NewRGB(w, h int) *RGB { return &RGB{W: w, H: h, Pix: make([]byte, 3*w*h)} }

// FromImage converts a picture as a decoded file would be: alpha dropped, grey replicated, sixteen bits cut to eight.
func FromImage(m image.Image) *RGB {
	img := new(RGB)
	toRGB(img, m, false)
	return img
}

// resize gives img that size, in the memory it has where that is enough. Its pixels mean nothing then.
func (img *RGB) resize(w, h int) {
	if n := 3 * w * h; cap(img.Pix) < n {
		img.Pix = make([]byte, n)
	} else {
		img.Pix = img.Pix[:n]
	}
	img.W, img.H = w, h
}

// Image is the picture as the standard library knows images, on memory of its own.
func (p *RGB) Image() *image.RGBA {
	out := image.NewRGBA(image.Rect(0, 0, p.W, p.H))
	for i := range p.W * p.H {
		o := out.Pix[4*i : 4*i+4 : 4*i+4]
		copy(o, p.Pix[3*i:3*i+3])
		o[3] = 255
	}
	return out
}
