package augment

import (
	"math"

	"github.com/godino-ml/godino/kernels"
)

// Gaussian blur as Pillow does it (BoxBlur.c): three passes of an extended box filter in each direction, a box of odd width whose two outer
// neighbours count with a fraction. After Gwosdek, Grewenig, Bruhn, Weickert, "Theoretical Foundations of Gaussian Convolution by
// Extended Box Filtering", 2011.

const blurPasses = 3

// boxRadius is the extended box's radius, integer part l and fraction a, that blurPasses passes need for a standard deviation of radius.
func boxRadius(radius float64) float64 {
	sigma2 := float32(radius) * float32(radius) / blurPasses
	length := float32(math.Sqrt(12.0*float64(sigma2) + 1.0))
	l := float32(math.Floor((float64(length) - 1.0) / 2.0))
	a := (2*l + 1) * (l*(l+1) - 3*sigma2)
	a /= 6 * (sigma2 - (l+1)*(l+1))
	return float64(l + a)
}

// boxWeights are those of one pass for a standard deviation of radius, in 2^-BoxBlurBits: box of the samples up to n away, edge of one more on
// either side. With n and edge 0 nothing changes.
func boxWeights(radius float64) (n int, box, edge uint32) {
	r := boxRadius(radius)
	n = int(r)
	box = uint32(float32(1<<kernels.BoxBlurBits) / (float32(r)*2 + 1))
	return n, box, (1<<kernels.BoxBlurBits - uint32(2*n+1)*box) / 2
}

// gaussianBlur blurs a picture in place.
func (s *Scratch) gaussianBlur(p *planes, radius float64) {
	n, box, edge := boxWeights(radius)
	if edge == 0 && n == 0 {
		return
	}
	s.weights = grow(s.weights, 2*n+3)
	for t := range s.weights {
		s.weights[t] = int32(box)
	}
	s.weights[0], s.weights[2*n+2] = int32(edge), int32(edge)
	for c := range 3 {
		s.blurPlane(p.plane(c), p.w, p.h, n+1)
	}
}

// blurPlane filters one plane with s.weights, which reach border pixels to each side. The plane lies within a frame of that width, which repeats
// its outermost pixels, so that a pass is one run over everything; what it leaves in the frame means nothing.
func (s *Scratch) blurPlane(pix []byte, w, h, border int) {
	pitch := w + 2*border
	top := border * pitch // where row 0 begins, frame included
	for i := range s.blurred {
		s.blurred[i] = grow(s.blurred[i], pitch*(h+2*border))
	}
	from, to := s.blurred[0], s.blurred[1]
	for y := range h {
		copy(from[top+y*pitch+border:], pix[y*w:(y+1)*w])
	}
	blur := s.kernels().BoxBlur
	for range blurPasses {
		for y := range h {
			row := from[top+y*pitch : top+(y+1)*pitch]
			left, right := row[border], row[border+w-1]
			for i := range border {
				row[i], row[border+w+i] = left, right
			}
		}
		blur(to[top+border:top+h*pitch-border], from[top:top+h*pitch], 1, s.weights)
		from, to = to, from
	}
	for range blurPasses {
		first, last := from[top:top+pitch], from[top+(h-1)*pitch:top+h*pitch]
		for i := range border {
			copy(from[i*pitch:], first)
			copy(from[top+(h+i)*pitch:], last)
		}
		blur(to[top:top+h*pitch], from, pitch, s.weights)
		from, to = to, from
	}
	for y := range h {
		copy(pix[y*w:(y+1)*w], from[top+y*pitch+border:])
	}
}
