package viz

import (
	"image"
	"image/color"
	"image/draw"
)

// PatchColours draws patches, row by row of gridW, each a square of patch pixels in its colour: rgb is (N, 3) in [0, 1]. Those that are not in
// mask are black; nil means all are.
func PatchColours(rgb []float32, mask []bool, gridW, patch int) *image.RGBA {
	gridH := len(rgb) / 3 / gridW
	img := image.NewRGBA(image.Rect(0, 0, gridW*patch, gridH*patch))
	for i := range gridW * gridH {
		c := color.RGBA{A: 255}
		if mask == nil || mask[i] {
			c.R, c.G, c.B = byteOf(rgb[3*i]), byteOf(rgb[3*i+1]), byteOf(rgb[3*i+2])
		}
		x, y := i%gridW*patch, i/gridW*patch
		draw.Draw(img, image.Rect(x, y, x+patch, y+patch), image.NewUniform(c), image.Point{}, draw.Src)
	}
	return img
}

// byteOf is v of [0, 1] as a byte; NaN is 0.
func byteOf(v float32) uint8 {
	if !(v > 0) {
		return 0
	}
	return uint8(min(v, 1)*255 + 0.5)
}
