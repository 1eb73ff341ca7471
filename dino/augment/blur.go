package augment

import "math"

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

// gaussianBlur blurs a picture of w×h pixels in place.
func (s *Scratch) gaussianBlur(pix []byte, w, h int, radius float64) {
	r := boxRadius(radius)
	n := int(r)
	box := uint32(float32(1<<24) / (float32(r)*2 + 1)) // weight of the samples within the integer radius
	edge := (1<<24 - uint32(2*n+1)*box) / 2            // weight of one more on either side
	if edge == 0 && n == 0 {
		return
	}
	s.line = grow(s.line, 3*w*(h+n+1))
	for y := range h {
		row := pix[3*w*y : 3*w*(y+1)]
		for range blurPasses {
			in := s.line[:len(row)]
			copy(in, row)
			boxRow(row, in, n, box, edge)
		}
	}
	for range blurPasses {
		in := s.line[:len(pix)]
		copy(in, pix)
		boxColumns(pix, in, 3*w, h, n, box, edge)
	}
}

// boxRow is one pass along a row of pixels: out[x] = (box·Σ_{|t|≤n} in[x+t] + edge·(in[x−n−1] + in[x+n+1]) + ½) >> 24, borders clamped.
func boxRow(out, in []byte, n int, box, edge uint32) {
	const half = 1 << 23
	last := len(in)/3 - 1
	at := func(x, c int) uint32 { return uint32(in[3*min(max(x, 0), last)+c]) }
	slow := func(x int) {
		for c := range 3 {
			var sum uint32
			for t := -n; t <= n; t++ {
				sum += at(x+t, c)
			}
			out[3*x+c] = byte((box*sum + edge*(at(x-n-1, c)+at(x+n+1, c)) + half) >> 24)
		}
	}
	lo, hi := min(n+1, last+1), max(last-n, min(n+1, last+1)) // within [lo, hi) no border is met
	for x := range lo {
		slow(x)
	}
	for x := hi; x <= last; x++ {
		slow(x)
	}
	if lo >= hi {
		return
	}
	m := 3 * (hi - lo)
	dst := out[3*lo : 3*lo+m]
	left, right := in[:m], in[3*(lo+n+1):3*(lo+n+1)+m]
	switch n {
	case 0:
		mid := in[3:][:m]
		for i := range dst {
			dst[i] = byte((box*uint32(mid[i]) + edge*(uint32(left[i])+uint32(right[i])) + half) >> 24)
		}
	case 1:
		a, b, c := in[3:][:m], in[6:][:m], in[9:][:m]
		for i := range dst {
			dst[i] = byte((box*(uint32(a[i])+uint32(b[i])+uint32(c[i])) + edge*(uint32(left[i])+uint32(right[i])) + half) >> 24)
		}
	default:
		for x := lo; x < hi; x++ {
			slow(x)
		}
	}
}

// boxColumns is the same pass along columns: rows of stride bytes, h of them.
func boxColumns(out, in []byte, stride, h, n int, box, edge uint32) {
	const half = 1 << 23
	row := func(y int) []byte {
		y = min(max(y, 0), h-1)
		return in[stride*y : stride*(y+1)]
	}
	for y := range h {
		dst := out[stride*y : stride*(y+1)]
		m := len(dst)
		above, below := row(y - n - 1)[:m], row(y + n + 1)[:m]
		switch n {
		case 0:
			mid := row(y)[:m]
			for i := range dst {
				dst[i] = byte((box*uint32(mid[i]) + edge*(uint32(above[i])+uint32(below[i])) + half) >> 24)
			}
		case 1:
			a, b, c := row(y - 1)[:m], row(y)[:m], row(y + 1)[:m]
			for i := range dst {
				dst[i] = byte((box*(uint32(a[i])+uint32(b[i])+uint32(c[i])) + edge*(uint32(above[i])+uint32(below[i])) + half) >> 24)
			}
		default:
			for i := range dst {
				var sum uint32
				for t := -n; t <= n; t++ {
					sum += uint32(row(y + t)[i])
				}
				dst[i] = byte((box*sum + edge*(uint32(above[i])+uint32(below[i])) + half) >> 24)
			}
		}
	}
}
