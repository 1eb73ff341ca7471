package augment

import (
	"fmt"
	"math"

	"github.com/godino-ml/godino/dino/dataset"
	"github.com/godino-ml/godino/kernels"
	"github.com/godino-ml/godino/kernels/cuda"
)

// Pillow's resampling (src/libImaging/Resample.c): separable, horizontal pass first, rounded to bytes between the passes; the filter is
// widened by the scale when shrinking (antialiasing), cut at the border and renormalised; weights are fixed-point numbers.

// filter is what samples are weighted by: at(x) at a distance of x samples, 0 beyond support.
type filter struct {
	support float64
	at      func(x float64) float64
}

// Pillow's BICUBIC and BILINEAR.
var (
	bicubic  = &filter{2, cubic}
	bilinear = &filter{1, func(x float64) float64 { return max(0, 1-math.Abs(x)) }}
)

// cubic is the bicubic filter with a = −1/2 (Catmull-Rom).
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
	by      *filter
	in, out int // samples before and after
	from, n int // the part of the output wanted
	width   int
	first   []int32
	count   []int32
	weights []int32
	float   []float64
}

// set computes the weights for samples from, …, from+n−1 of the out that in samples become.
func (t *taps) set(by *filter, in, out, from, n int) {
	if t.by == by && t.in == in && t.out == out && t.from == from && t.n == n {
		return
	}
	scale := float64(in) / float64(out)
	stretch := max(scale, 1)
	support := by.support * stretch
	t.by, t.in, t.out, t.from, t.n = by, in, out, from, n
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
			k[x] = by.at((float64(x+lo) - center + 0.5) * (1 / stretch))
			sum += k[x]
		}
		t.first[i], t.count[i] = int32(lo), int32(hi-lo)
		w := t.weights[i*t.width : i*t.width+hi-lo]
		for x := range w {
			w[x] = int32(math.Floor(0.5 + k[x]/sum*(1<<kernels.ResampleBits)))
			if v := k[x] / sum; v < 0 {
				w[x] = int32(v*(1<<kernels.ResampleBits) - 0.5) // halves away from zero, as C's cast of −0.5+v does
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

// tap is the first input sample of output i, and the weights of it and those after it.
func (t *taps) tap(i int) (first int, weights []int32) {
	return int(t.first[i]), t.weights[i*t.width : i*t.width+int(t.count[i])]
}

// span is the input samples that the output needs: [lo, hi).
func (t *taps) span() (lo, hi int) {
	return int(t.first[0]), int(t.first[t.n-1] + t.count[t.n-1])
}

// A Box is a rectangle of a picture in pixels.
type Box struct{ X, Y, W, H int }

// within says whether the box is not empty and inside w×h pixels.
func (b Box) within(w, h int) bool {
	return b.W > 0 && b.H > 0 && b.X >= 0 && b.Y >= 0 && b.X <= w-b.W && b.Y <= h-b.H
}

// planes is a picture in planes of red, green and blue.
type planes struct {
	w, h int
	pix  []byte // (3, h, w)
}

func (p *planes) plane(c int) []byte { return p.pix[c*p.w*p.h : (c+1)*p.w*p.h] }

// rgb is the planes' three slices.
func (p *planes) rgb() (r, g, b []byte) { return p.plane(0), p.plane(1), p.plane(2) }

func (p *planes) resize(w, h int) {
	p.w, p.h, p.pix = w, h, grow(p.pix, 3*w*h)
}

// Scratch holds the buffers of one goroutine. The zero value is ready. Pictures that its methods return are valid until its next use.
type Scratch struct {
	horizontal, vertical taps
	columns, resampled   []byte // a strip of rows, column by column, before and after the horizontal pass
	rows                 []byte // planes after the horizontal pass
	crop                 planes
	blurred              [2][]byte
	weights              []int32 // of the blur
	operations           []cuda.ColourOperation
	out                  dataset.RGB
	stream               Stream
	table                *kernels.Table // for tests; nil means the best
}

func (s *Scratch) kernels() *kernels.Table {
	if s.table == nil {
		s.table = kernels.Best()
	}
	return s.table
}

// resize writes the box of img, bicubically resized to w×h, to dst. Outside the box nothing is looked at: torchvision crops first.
func (s *Scratch) resize(dst *planes, w, h int, img *dataset.RGB, box Box, flip bool) {
	s.resizeTo(dst, bicubic, w, h, Box{W: w, H: h}, img, box, flip)
}

// stripRows is how many rows the horizontal pass takes at a time, so that they stay in the caches. Strips are padded to a multiple of stripUnit.
const (
	stripRows = 64
	stripUnit = 32
)

// resizeTo writes only the part want of the box, resized by a filter to w×h, to dst, mirrored if flip.
//
// The horizontal pass works on transposed strips: what lies beside each other is then of one column, is weighted alike and fills vectors. Going
// back, each channel becomes a plane.
func (s *Scratch) resizeTo(dst *planes, by *filter, w, h int, want Box, img *dataset.RGB, box Box, flip bool) {
	if !box.within(img.W, img.H) || !want.within(w, h) {
		panic(fmt.Sprintf("augment: box %+v of a %d×%d picture, resized to %d×%d, of which %+v", box, img.W, img.H, w, h, want))
	}
	k := s.kernels()
	dst.resize(want.W, want.H)
	x0, x1 := want.X, want.X+want.W // columns and rows of the box that are used
	if box.W != w {
		s.horizontal.set(by, box.W, w, want.X, want.W)
		x0, x1 = s.horizontal.span()
	}
	y0, y1 := want.Y, want.Y+want.H
	if box.H != h {
		s.vertical.set(by, box.H, h, want.Y, want.H)
		y0, y1 = s.vertical.span()
	}
	padded := func(n int) int { return (n + stripUnit - 1) &^ (stripUnit - 1) }
	plane := want.W * padded(y1-y0)
	s.rows = grow(s.rows, 3*plane)
	for y := y0; y < y1; y += stripRows {
		n := min(stripRows, y1-y)
		column := padded(n)
		pixel := 3 * column // bytes of a column's three channels
		s.columns = grow(s.columns, pixel*(x1-x0))
		k.TransposeBytes(s.columns, column, img.Pix[3*((box.Y+y)*img.W+box.X+x0):], 3*img.W, n, 3*(x1-x0))
		strip := s.columns
		if box.W != w || flip {
			s.resampled = grow(s.resampled, pixel*want.W)
			strip = s.resampled
		}
		for i := range want.W {
			to := i
			if flip {
				to = want.W - 1 - i
			}
			if box.W != w {
				first, weights := s.horizontal.tap(i)
				k.Resample(strip[pixel*to:pixel*(to+1)], s.columns[pixel*(first-x0):], pixel, weights)
			} else if flip {
				copy(strip[pixel*to:pixel*(to+1)], s.columns[pixel*i:])
			}
		}
		for c := range 3 {
			// The padding's rows are overwritten by the next strip, or lie beyond the last row.
			k.TransposeBytes(s.rows[c*plane+want.W*(y-y0):], want.W, strip[c*column:], pixel, want.W, column)
		}
	}
	for c := range 3 {
		rows, out := s.rows[c*plane:(c+1)*plane], dst.plane(c)
		if box.H == h {
			copy(out, rows)
			continue
		}
		for y := range want.H {
			first, weights := s.vertical.tap(y)
			k.Resample(out[want.W*y:want.W*(y+1)], rows[want.W*(first-y0):], want.W, weights)
		}
	}
}

// picture is the planes as a picture of three bytes a pixel, valid until s is used again.
func (s *Scratch) picture(p *planes) *dataset.RGB {
	s.out = dataset.RGB{W: p.w, H: p.h, Pix: grow(s.out.Pix, 3*p.w*p.h)}
	p.interleave(s.out.Pix)
	return &s.out
}

func (p *planes) interleave(dst []byte) {
	r, g, b := p.rgb()
	for i := range r {
		d := dst[3*i : 3*i+3 : 3*i+3]
		d[0], d[1], d[2] = r[i], g[i], b[i]
	}
}

// Resize returns img resized to w×h by Pillow's bicubic filter, as a picture of its own.
func Resize(img *dataset.RGB, w, h int) *dataset.RGB {
	var s Scratch
	s.resize(&s.crop, w, h, img, Box{W: img.W, H: img.H}, false)
	return s.picture(&s.crop)
}
