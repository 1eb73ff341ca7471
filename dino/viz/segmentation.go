package viz

import (
	"bytes"
	"image"
	"image/color"
	"image/png"
)

// Indexed is a PNG of a w×h picture of numbers with its palette: the form of DAVIS's annotations. Palette nil writes grey.
func Indexed(w, h int, labels []uint8, colours color.Palette) ([]byte, error) {
	var img image.Image = &image.Gray{Pix: labels, Stride: w, Rect: image.Rect(0, 0, w, h)}
	if colours != nil {
		img = &image.Paletted{Pix: labels, Stride: w, Rect: image.Rect(0, 0, w, h), Palette: colours}
	}
	var b bytes.Buffer
	err := png.Encode(&b, img)
	return b.Bytes(), err
}

// OverlayLabels lays objects over a picture of the same size: each half transparent in its colour, with a line of it along the border.
// 0 is left alone.
func OverlayLabels(img image.Image, labels []uint8, colours color.Palette) *image.RGBA {
	size := img.Bounds().Size()
	out := crop(img, size.X, size.Y)
	at := func(x, y int) uint8 {
		return labels[min(max(y, 0), size.Y-1)*size.X+min(max(x, 0), size.X-1)]
	}
	for y := range size.Y {
		for x := range size.X {
			l := at(x, y)
			if l == 0 {
				continue
			}
			c := color.RGBAModel.Convert(colours[l]).(color.RGBA)
			if at(x-2, y) == l && at(x+2, y) == l && at(x, y-2) == l && at(x, y+2) == l {
				c = half(out.RGBAAt(x, y), c)
			}
			out.SetRGBA(x, y, c)
		}
	}
	return out
}
