package shapes

import (
	"image"
	"image/draw"
)

// Sheet draws a row of n pictures for each class.
func Sheet(seed uint64, n, size int) *image.RGBA {
	sheet := image.NewRGBA(image.Rect(0, 0, n*size, len(Classes)*size))
	for class := range Classes {
		for i := range n {
			at := image.Rect(i*size, class*size, (i+1)*size, (class+1)*size)
			draw.Draw(sheet, at, Picture(seed, i*len(Classes)+class, size), image.Point{}, draw.Src)
		}
	}
	return sheet
}
