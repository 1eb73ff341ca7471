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
func FromImage(m image.Image) *RGB { return toRGB(m, false) }
