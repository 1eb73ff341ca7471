package dataset

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/png"
)

// LabelMap is a picture of numbers, as the annotations of DAVIS are: 0 background, 1, 2, … objects, 255 unknown.
type LabelMap struct {
	W, H   int
	Labels []uint8 // (H, W)
}

// DecodeLabels reads a PNG of object numbers: with a palette (DAVIS 2017), the index counts, not the colour; in grey, the value; in colour,
// the number that MaskPalette has for it. The error, if any, is a [*BadImageError].
//
// DAVIS 2016 paints its one object white: see [LabelMap.WhiteIsObject].
func DecodeLabels(data []byte, path string, maxPixels int) (m *LabelMap, err error) {
	defer func() {
		if p := recover(); p != nil {
			m, err = nil, &BadImageError{Path: path, Reason: fmt.Sprintf("the decoder panicked: %v", p)}
		}
	}()
	bad := func(form string, args ...any) (*LabelMap, error) {
		return nil, &BadImageError{Path: path, Reason: fmt.Sprintf(form, args...)}
	}
	if maxPixels <= 0 {
		maxPixels = DefaultMaxPixels
	}
	c, err := png.DecodeConfig(bytes.NewReader(data))
	if err != nil {
		return bad("no PNG, which masks have to be: %s", reason(err))
	}
	if c.Width <= 0 || c.Height <= 0 || c.Width > maxSide || c.Height > maxSide || c.Width > maxPixels/c.Height {
		return bad("%d×%d pixels; the limit is %d", c.Width, c.Height, maxPixels)
	}
	if n := c.Width * c.Height; n > 1<<20 && n/maxPixelsPerByte > len(data) {
		return bad("truncated: %d bytes of PNG cannot hold %d×%d pixels", len(data), c.Width, c.Height)
	}
	img, err := png.Decode(bytes.NewReader(data))
	if err != nil {
		return bad("damaged PNG: %s", reason(err))
	}
	m = &LabelMap{W: c.Width, H: c.Height, Labels: make([]uint8, c.Width*c.Height)}
	switch img := img.(type) {
	case *image.Paletted:
		for y := range m.H {
			copy(m.Labels[y*m.W:(y+1)*m.W], img.Pix[y*img.Stride:])
		}
	case *image.Gray:
		for y := range m.H {
			copy(m.Labels[y*m.W:(y+1)*m.W], img.Pix[y*img.Stride:])
		}
	default:
		number := map[color.RGBA]uint8{{255, 255, 255, 255}: 255}
		for i := 21; i >= 0; i-- {
			number[MaskPalette[i].(color.RGBA)] = uint8(i)
		}
		for i := range m.Labels {
			v := color.NRGBAModel.Convert(img.At(i%m.W, i/m.W)).(color.NRGBA)
			l, ok := number[color.RGBA{v.R, v.G, v.B, 255}]
			if !ok {
				return bad("the colour %d %d %d at %d, %d is none of DAVIS's palette: save masks with a palette, or in grey with values 0, 1, 2, …", v.R, v.G, v.B, i%m.W, i/m.W)
			}
			m.Labels[i] = l
		}
	}
	return m, nil
}

// Objects is the largest object number.
func (m *LabelMap) Objects() int {
	n := 0
	for _, l := range m.Labels {
		if l != 255 {
			n = max(n, int(l))
		}
	}
	return n
}

// WhiteIsObject says whether the map holds nothing but 0 and 255, and 255 somewhere: in the first annotation of a sequence, that is
// DAVIS 2016's way to draw its one object, not an unknown region.
func (m *LabelMap) WhiteIsObject() bool {
	return m.Objects() == 0 && bytes.IndexByte(m.Labels, 255) >= 0
}

// WhiteToObject turns the values of DAVIS 2016 into numbers: from 128 on is object 1.
func (m *LabelMap) WhiteToObject() {
	for i, l := range m.Labels {
		m.Labels[i] = l >> 7
	}
}

// MaskPalette is DAVIS's: 22 colours by the bits of their number, then greys.
var MaskPalette = func() color.Palette {
	p := make(color.Palette, 256)
	for i := range p {
		p[i] = color.RGBA{uint8(i), uint8(i), uint8(i), 255}
		if i < 22 {
			channel := func(bit int) uint8 { // the low bit gives half, the high one a quarter more or less
				low, high := i>>bit&1, i>>(bit+3)&1
				return [4]uint8{0, 128, 64, 191}[low+2*high]
			}
			p[i] = color.RGBA{channel(0), channel(1), channel(2), 255}
		}
	}
	return p
}()
