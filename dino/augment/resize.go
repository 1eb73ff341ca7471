package augment

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/godino-ml/godino/dino/dataset"
)

// Pillow's resampling (src/libImaging/Resample.c): separable, horizontal pass first, rounded to bytes between the passes; the filter is
// widened by the scale when shrinking (antialiasing), cut at the border and renormalised; weights are fixed-point numbers.

// weightBits leaves 8 bits for the pixel and 2 for overshoot of a 32-bit accumulator.
const weightBits = 32 - 8 - 2

// cubic is the bicubic filter with a = −1/2 (Catmull-Rom), Pillow's BICUBIC.
func cubic(x float64) float64 {
	const a = -0.5
	x = math.Abs(x)
	if x < 1 {
		return ((a+2)*x-(a+3))*x*x + 1
	}
	if x < 2 {
		return (((x-5)*x+8)*x - 4) * a
	}
	return 0
}

// taps are the weights of one pass: output from+i is Σ_t weights[i·width+t] · input[first[i]+t] for t < count[i], i < n.
type taps struct {
	in, out int // samples before and after
	from, n int // the part of the output wanted
	width   int
	first   []int32
	count   []int32
	weights []int32
	float   []float64
}

// set computes the weights for samples from, …, from+n−1 of the out that in samples become.
func (t *taps) set(in, out, from, n int) {
	if t.in == in && t.out == out && t.from == from && t.n == n {
		return
	}
	scale := float64(in) / float64(out)
	stretch := max(scale, 1)
	support := 2 * stretch
	t.in, t.out, t.from, t.n = in, out, from, n
	t.width = int(math.Ceil(support))*2 + 1
	t.first, t.count = grow(t.first, n), grow(t.count, n)
	t.weights = grow(t.weights, n*t.width)
	t.float = grow(t.float, t.width)
	for i := range n {
		center := (float64(from+i) + 0.5) * scale
		lo := max(int(center-support+0.5), 0)
		hi := min(int(center+support+0.5), in)
		sum := 0.0
		k := t.float[:hi-lo]
		for x := range k {
			k[x] = cubic((float64(x+lo) - center + 0.5) * (1 / stretch))
			sum += k[x]
		}
		t.first[i], t.count[i] = int32(lo), int32(hi-lo)
		w := t.weights[i*t.width : i*t.width+hi-lo]
		for x := range w {
			w[x] = int32(math.Floor(0.5 + k[x]/sum*(1<<weightBits)))
			if v := k[x] / sum; v < 0 {
				w[x] = int32(v*(1<<weightBits) - 0.5) // halves away from zero, as C's cast of −0.5+v does
			}
		}
	}
}

// grow returns s with length n, keeping its memory when that is enough. Contents are unspecified.
func grow[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	return s[:n]
}

// A Box is a rectangle of a picture in pixels.
type Box struct{ X, Y, W, H int }

// Scratch holds the buffers of one goroutine. The zero value is ready. Pictures that its methods return are valid until its next use.
type Scratch struct {
	horizontal, vertical taps
	rows                 []byte      // result of the horizontal pass
	packed               []uint64    // two rows, a byte of the first | a byte of the second<<32
	out                  dataset.RGB // current crop
	line                 []byte      // blur
	norm                 normTable
	stream               Stream
}

// span is the input samples that the output needs: [lo, hi).
func (t *taps) span() (lo, hi int) {
	return int(t.first[0]), int(t.first[t.n-1] + t.count[t.n-1])
}

// resize writes the box of img, bicubically resized to w×h, to dst (h, w, 3). Outside the box nothing is looked at: torchvision crops
// first.
func (s *Scratch) resize(dst []byte, w, h int, img *dataset.RGB, box Box) {
	s.resizeTo(dst, w, h, Box{W: w, H: h}, img, box)
}

// resizeTo writes only the part want of the resized box to dst (want.H, want.W, 3).
func (s *Scratch) resizeTo(dst []byte, w, h int, want Box, img *dataset.RGB, box Box) {
	if !box.within(img.W, img.H) || !want.within(w, h) {
		panic(fmt.Sprintf("augment: box %+v of a %d×%d picture, resized to %d×%d, of which %+v", box, img.W, img.H, w, h, want))
	}
	src, stride := img.Pix[3*(box.Y*img.W+box.X):], 3*img.W
	y0, y1 := want.Y, want.Y+want.H // rows of src that are used
	if box.H != h {
		s.vertical.set(box.H, h, want.Y, want.H)
		y0, y1 = s.vertical.span()
	}
	n := 3 * want.W
	if box.W == w {
		src = src[3*want.X:]
	} else {
		s.horizontal.set(box.W, w, want.X, want.W)
		into := dst
		if box.H != h {
			s.rows = grow(s.rows, n*(y1-y0))
			into = s.rows
		}
		for y := y0; y < y1; y += 2 {
			z := min(y+1, y1-1) // with an odd number of rows the last one is done twice
			s.rowPass(into[n*(y-y0):n*(y-y0+1)], into[n*(z-y0):n*(z-y0+1)], src[stride*y:stride*y+3*box.W], src[stride*z:stride*z+3*box.W])
		}
		src, stride = into, n
		y1, y0 = y1-y0, 0
	}
	if box.H != h {
		lo, _ := s.vertical.span()
		if box.W == w {
			lo = 0
		}
		s.columnPass(dst, src, stride, n, lo)
		return
	}
	if box.W == w {
		for y := y0; y < y1; y++ {
			copy(dst[n*(y-y0):n*(y-y0+1)], src[stride*y:])
		}
	}
}

// within says whether the box is not empty and inside w×h pixels.
func (b Box) within(w, h int) bool {
	return b.W > 0 && b.H > 0 && b.X >= 0 && b.Y >= 0 && b.X <= w-b.W && b.Y <= h-b.H
}

// Two sums of products with 32-bit results share one 64-bit multiplication: a pair of bytes is a | b<<32, and the sum of weight·pair is
// A + B<<32 with A signed. A is the low half; subtracting it leaves B<<32.
func unpack(pair uint64) (a, b byte) {
	low := int32(pair)
	high := int32((pair - uint64(int64(low))) >> 32)
	return clip8(low >> weightBits), clip8(high >> weightBits)
}

// half rounds both sums of a pair.
const half = 1<<(weightBits-1) | 1<<(weightBits-1+32)

// rowPass resizes two rows: dst[i] = clip8(Σ_t weights[i][t] · src[first[i]+t]) for each channel.
func (s *Scratch) rowPass(dstA, dstB, srcA, srcB []byte) {
	t := &s.horizontal
	s.packed = grow(s.packed, 3*t.in)
	px := s.packed
	srcA, srcB = srcA[:len(px)], srcB[:len(px)]
	for i := range px {
		px[i] = uint64(srcA[i]) | uint64(srcB[i])<<32
	}
	for i, first := range t.first[:t.n] {
		n := int(t.count[i])
		k := t.weights[i*t.width : i*t.width+n]
		in := px[3*first : 3*int(first)+3*n]
		var r, g, b uint64 = half, half, half
		for j, w := range k {
			q := in[3*j : 3*j+3 : 3*j+3]
			w := uint64(int64(w))
			r += w * q[0]
			g += w * q[1]
			b += w * q[2]
		}
		p, q := dstA[3*i:3*i+3:3*i+3], dstB[3*i:3*i+3:3*i+3]
		p[0], q[0] = unpack(r)
		p[1], q[1] = unpack(g)
		p[2], q[2] = unpack(b)
	}
}

// columnPass resizes columns: row y of dst is clip8(Σ_t weights[y][t] · row first[y]+t−top of src), n bytes wide.
func (s *Scratch) columnPass(dst, src []byte, stride, n, top int) {
	const lanes = 0x000000ff_000000ff // bytes 0 and 4 of a word are a pair already
	t := &s.vertical
	for y := range t.n {
		k := t.weights[y*t.width : y*t.width+int(t.count[y])]
		rows := src[(int(t.first[y])-top)*stride:]
		out := dst[y*n : (y+1)*n]
		x := 0
		for ; x+8 <= n; x += 8 {
			var a, b, c, d uint64 = half, half, half, half
			at := x
			for _, w := range k {
				v := binary.LittleEndian.Uint64(rows[at:])
				w := uint64(int64(w))
				a += w * (v & lanes)
				b += w * (v >> 8 & lanes)
				c += w * (v >> 16 & lanes)
				d += w * (v >> 24 & lanes)
				at += stride
			}
			o := out[x : x+8 : x+8]
			o[0], o[4] = unpack(a)
			o[1], o[5] = unpack(b)
			o[2], o[6] = unpack(c)
			o[3], o[7] = unpack(d)
		}
		for ; x < n; x++ {
			var a uint64 = half
			at := x
			for _, w := range k {
				a += uint64(int64(w)) * uint64(rows[at])
				at += stride
			}
			out[x], _ = unpack(a)
		}
	}
}

func clip8(v int32) byte {
	if uint32(v) > 255 {
		return byte(^(v >> 31)) // 0 below, 255 above
	}
	return byte(v)
}

// Resize returns img resized to w×h by Pillow's bicubic filter, as a picture of its own.
func Resize(img *dataset.RGB, w, h int) *dataset.RGB {
	out := dataset.NewRGB(w, h)
	new(Scratch).resize(out.Pix, w, h, img, Box{W: img.W, H: img.H})
	return out
}
