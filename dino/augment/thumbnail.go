package augment

import (
	"math"

	"github.com/godino-ml/godino/dino/dataset"
	"github.com/godino-ml/godino/kernels"
)

// Thumbnail is Pillow's Image.thumbnail((size, size), LANCZOS): a picture larger than size×size is shrunk to fit, its shape kept; a smaller
// one is returned as it is.
func Thumbnail(img *dataset.RGB, size int) *dataset.RGB {
	w, h := thumbnailSize(img.W, img.H, size)
	if w == img.W && h == img.H {
		return img
	}
	// Pillow first averages whole blocks where that leaves twice the size wanted (its reducing_gap of 2), then filters what is left.
	fx, fy := max(1, img.W/w/2), max(1, img.H/h/2)
	right, bottom := float64(img.W)/float64(fx), float64(img.H)/float64(fy)
	img = reduce(img, fx, fy)
	out := lanczosRows(img, right, w)
	return transpose(lanczosRows(transpose(out), bottom, h))
}

// thumbnailSize fits w×h into size×size. Of the two whole lengths around the exact one the shorter side takes that which keeps the shape
// better, and never less than 1.
func thumbnailSize(w, h, size int) (int, int) {
	if size >= w && size >= h {
		return w, h
	}
	aspect := float64(w) / float64(h)
	round := func(exact float64, miss func(n float64) float64) int {
		low, high := math.Floor(exact), math.Ceil(exact)
		if miss(high) < miss(low) {
			low = high
		}
		return max(1, int(low))
	}
	if aspect <= 1 { // the height is the longer side
		return round(float64(size)*aspect, func(n float64) float64 { return math.Abs(aspect - n/float64(size)) }), size
	}
	return size, round(float64(size)/aspect, func(n float64) float64 {
		if n == 0 {
			return 0
		}
		return math.Abs(aspect - float64(size)/n)
	})
}

// reduce averages blocks of fx×fy pixels, rounded; those on the right and lower edge may be smaller.
func reduce(img *dataset.RGB, fx, fy int) *dataset.RGB {
	if fx == 1 && fy == 1 {
		return img
	}
	out := dataset.NewRGB((img.W+fx-1)/fx, (img.H+fy-1)/fy)
	for y := range out.H {
		for x := range out.W {
			x1, y1 := min((x+1)*fx, img.W), min((y+1)*fy, img.H)
			var sum [3]int
			for v := y * fy; v < y1; v++ {
				for u := x * fx; u < x1; u++ {
					for c := range sum {
						sum[c] += int(img.Pix[3*(v*img.W+u)+c])
					}
				}
			}
			n := (x1 - x*fx) * (y1 - y*fy)
			for c, s := range sum {
				out.Pix[3*(y*out.W+x)+c] = byte((s + n/2) / n)
			}
		}
	}
	return out
}

// lanczos is sinc(x)·sinc(x/3) within 3.
func lanczos(x float64) float64 {
	const a = 3
	sinc := func(x float64) float64 {
		if x == 0 {
			return 1
		}
		return math.Sin(x*math.Pi) / (x * math.Pi)
	}
	if x < -a || x >= a {
		return 0
	}
	return sinc(x) * sinc(x/a)
}

// lanczosRows resizes every row's first extent pixels, which need not be a whole number, to n, with Pillow's fixed-point weights.
func lanczosRows(img *dataset.RGB, extent float64, n int) *dataset.RGB {
	out := dataset.NewRGB(n, img.H)
	scale := extent / float64(n)
	stretch := max(scale, 1)
	support := 3 * stretch
	for i := range n {
		centre := (float64(i) + 0.5) * scale
		lo := max(int(centre-support+0.5), 0)
		hi := min(int(centre+support+0.5), img.W)
		k := make([]float64, hi-lo)
		sum := 0.0
		for x := range k {
			k[x] = lanczos((float64(x+lo) - centre + 0.5) / stretch)
			sum += k[x]
		}
		w := make([]int32, len(k))
		for x := range w {
			w[x] = int32(math.Round(k[x] / sum * (1 << kernels.ResampleBits))) // halves away from zero
		}
		for y := range img.H {
			row := img.Pix[3*(y*img.W+lo):]
			for c := range 3 {
				acc := int32(1 << (kernels.ResampleBits - 1))
				for x, v := range w {
					acc += v * int32(row[3*x+c])
				}
				out.Pix[3*(y*n+i)+c] = byte(min(max(acc>>kernels.ResampleBits, 0), 255))
			}
		}
	}
	return out
}

func transpose(img *dataset.RGB) *dataset.RGB {
	out := dataset.NewRGB(img.H, img.W)
	for y := range img.H {
		for x := range img.W {
			copy(out.Pix[3*(x*img.H+y):][:3], img.Pix[3*(y*img.W+x):])
		}
	}
	return out
}

// CropTo is the part of img inside box, which is cut to the picture; nil if nothing is left.
func CropTo(img *dataset.RGB, box Box) *dataset.RGB {
	x0, y0 := max(box.X, 0), max(box.Y, 0)
	x1, y1 := min(box.X+box.W, img.W), min(box.Y+box.H, img.H)
	if x0 >= x1 || y0 >= y1 {
		return nil
	}
	out := dataset.NewRGB(x1-x0, y1-y0)
	for y := range out.H {
		copy(out.Pix[3*y*out.W:3*(y+1)*out.W], img.Pix[3*((y0+y)*img.W+x0):])
	}
	return out
}
