package augment

import (
	"math"

	"github.com/godino-ml/godino/dino/dataset"
)

// linearTap is a sample between two neighbours: (1−part)·a[low] + part·a[high].
type linearTap struct {
	low, high int
	part      float64
}

// linearTaps are the samples of in pixels for out: half-pixel centres, borders repeated, no antialias. scale is in/out, or what a caller says
// it is: PyTorch keeps a given scale factor though the size is cut to a whole number.
func linearTaps(in, out int, scale float64) []linearTap {
	taps := make([]linearTap, out)
	for i := range taps {
		at := max((float64(i)+0.5)*scale-0.5, 0)
		low := min(int(at), in-1)
		taps[i] = linearTap{low, min(low+1, in-1), at - float64(low)}
		if low == in-1 {
			taps[i].part = 0
		}
	}
	return taps
}

// Bilinear resizes planes (C, h, w) to (C, outH, outW) as PyTorch's interpolate(mode="bilinear", align_corners=False), without antialias.
// scale is the factor given to it, of which the output sizes are the floor; 0 means that the sizes say it.
func Bilinear(dst, src []float32, channels, h, w, outH, outW int, scale float64) {
	sy, sx := float64(h)/float64(outH), float64(w)/float64(outW)
	if scale > 0 {
		sy, sx = 1/scale, 1/scale
	}
	xs := linearTaps(w, outW, sx)
	for c := range channels {
		plane := src[c*h*w : (c+1)*h*w]
		for y, ty := range linearTaps(h, outH, sy) {
			a, b := plane[ty.low*w:(ty.low+1)*w], plane[ty.high*w:(ty.high+1)*w]
			row := dst[(c*outH+y)*outW : (c*outH+y+1)*outW]
			py := float32(ty.part)
			for x, tx := range xs {
				px := float32(tx.part)
				above := a[tx.low] + px*(a[tx.high]-a[tx.low])
				below := b[tx.low] + px*(b[tx.high]-b[tx.low])
				row[x] = above + py*(below-above)
			}
		}
	}
}

// ResizeLinear resizes a picture as OpenCV's resize does by default: bilinear, no antialias, weights in 1/2048.
func ResizeLinear(img *dataset.RGB, w, h int) *dataset.RGB {
	out := dataset.NewRGB(w, h)
	xs := linearTaps(img.W, w, float64(img.W)/float64(w))
	const one = 2048
	for y, ty := range linearTaps(img.H, h, float64(img.H)/float64(h)) {
		a, b := img.Pix[3*ty.low*img.W:], img.Pix[3*ty.high*img.W:]
		py := int(math.RoundToEven(ty.part * one))
		for x, tx := range xs {
			px := int(math.RoundToEven(tx.part * one))
			for c := range 3 {
				l, r := 3*tx.low+c, 3*tx.high+c
				above := int(a[l])*(one-px) + int(a[r])*px
				below := int(b[l])*(one-px) + int(b[r])*px
				out.Pix[3*(y*w+x)+c] = byte((above*(one-py) + below*py + one*one/2) / (one * one))
			}
		}
	}
	return out
}
