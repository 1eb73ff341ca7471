// Package shapes draws pictures of ten kinds of object, for the demo and for tests: a set of images that needs no download, in which only the
// outline of the objects tells the class.
//
// A picture shows several objects of one kind. Their places, sizes, rotations, colours and textures, and the background, differ within a
// picture as much as between pictures, so that none of them tells one picture from another, and raw pixels say little of the class; what the
// parts of a picture have in common is the kind of object. A picture is a function of (seed, index) alone, whatever its size in pixels: the
// same picture can be drawn small for training and large for looking at.
package shapes

import (
	"image"
	"image/color"
	"math"
	"math/rand/v2"

	"github.com/godino-ml/godino/tensor"
)

// Classes names the kinds of object; a picture's class is an index into it.
var Classes = []string{"disc", "ring", "square", "triangle", "star", "cross", "crescent", "arrow", "bars", "heart"}

// Class is the class of picture index: classes take turns, so that every run of ten pictures holds each once.
func Class(index int) int { return index % len(Classes) }

// Picture draws picture index of the set that seed names, size×size pixels.
func Picture(seed uint64, index, size int) *image.RGBA {
	s := newScene(tensor.Stream(seed, uint64(index)), Class(index))
	img := image.NewRGBA(image.Rect(0, 0, size, size))
	noise := tensor.Stream(seed, uint64(index), 1)
	const grain = 0.03 // deviation of the noise
	const sub = 3      // samples a pixel and direction, against ragged edges
	for y := range size {
		for x := range size {
			var sum rgb
			for j := range sub {
				for i := range sub {
					u := (float64(x) + (float64(i)+0.5)/sub) / float64(size)
					v := (float64(y) + (float64(j)+0.5)/sub) / float64(size)
					sum = sum.plus(s.at(2*u-1, 2*v-1), 1.0/(sub*sub))
				}
			}
			for c := range sum {
				sum[c] += grain * noise.NormFloat64()
			}
			img.SetRGBA(x, y, color.RGBA{byteOf(sum[0]), byteOf(sum[1]), byteOf(sum[2]), 255})
		}
	}
	return img
}

type rgb [3]float64 // 0 to 1

func (a rgb) plus(b rgb, weight float64) rgb {
	for c := range a {
		a[c] += weight * b[c]
	}
	return a
}

func (a rgb) luminance() float64 { return 0.299*a[0] + 0.587*a[1] + 0.114*a[2] }

func byteOf(v float64) uint8 { return uint8(math.Round(255 * max(0, min(1, v)))) }

// scene is one picture before it becomes pixels. Its coordinates run from -1 to 1, y downwards.
type scene struct {
	class   int
	objects []object
	ground  field
	noise   float64
}

type object struct {
	x, y, size float64 // centre and radius
	cos, sin   float64 // rotation
	skin       texture
}

func newScene(r *rand.Rand, class int) scene {
	s := scene{class: class, ground: newField(r)}
	between := func(lo, hi float64) float64 { return lo + (hi-lo)*r.Float64() }
	const most = 8 // there is not always room for all
	for tries := 0; len(s.objects) < most && tries < 200; tries++ {
		angle := between(-0.5, 0.5)
		o := object{size: between(0.25, 0.29), cos: math.Cos(angle), sin: math.Sin(angle)}
		room := 1.05 - o.size
		o.x, o.y = between(-room, room), between(-room, room)
		if s.taken(o) {
			continue
		}
		// Lighter and darker than the background in turns: a picture's mean light says nothing.
		sign := float64(len(s.objects)%2*2 - 1)
		for under := s.ground.at(o.x, o.y).luminance(); ; {
			o.skin = newTexture(r)
			if contrast := sign * (o.skin.mean().luminance() - under); 0.3 <= contrast && contrast <= 0.5 {
				break
			}
		}
		s.objects = append(s.objects, o)
	}
	return s
}

// taken tells whether an object would lie on others; a little overlap is allowed.
func (s scene) taken(o object) bool {
	for _, other := range s.objects {
		if math.Hypot(o.x-other.x, o.y-other.y) < 0.9*(o.size+other.size) {
			return true
		}
	}
	return false
}

func (s scene) at(x, y float64) rgb {
	for _, o := range s.objects {
		u, v := (x-o.x)/o.size, (y-o.y)/o.size
		if u*u+v*v > 1.5 {
			continue
		}
		if inside[s.class](o.cos*u+o.sin*v, o.cos*v-o.sin*u) {
			return o.skin.at(x, y)
		}
	}
	return s.ground.at(x, y)
}

// field is a background: in each channel a sum of slow waves around a middle grey, so that every picture holds lighter and darker, warmer and
// colder places.
type field [3][4]wave

type wave struct{ fx, fy, phase float64 }

func newField(r *rand.Rand) field {
	var f field
	for k := range f[0] {
		angle, frequency, phase := 2*math.Pi*r.Float64(), 1.5+2.5*r.Float64(), 2*math.Pi*r.Float64()
		for c := range f {
			f[c][k] = wave{frequency * math.Cos(angle), frequency * math.Sin(angle), phase + 0.5*(r.Float64()-0.5)}
		}
	}
	return f
}

func (f *field) at(x, y float64) rgb {
	var v rgb
	for c := range f {
		v[c] = 0.5
		for _, w := range f[c] {
			v[c] += 0.03 * math.Sin(w.fx*x+w.fy*y+w.phase)
		}
	}
	return v
}

// texture is a pattern of two colours not far from each other.
type texture struct {
	a, b   rgb
	kind   int
	fx, fy float64 // frequency and direction
	phase  float64
}

func newTexture(r *rand.Rand) texture {
	t := texture{kind: r.IntN(4), phase: 2 * math.Pi * r.Float64()}
	grey, contrast := r.Float64(), 0.1*(r.Float64()-0.5)
	for c := range t.a {
		t.a[c] = grey + 0.2*(r.Float64()-0.5)
		t.b[c] = t.a[c] + contrast + 0.06*(r.Float64()-0.5)
	}
	f, angle := 3+6*r.Float64(), 2*math.Pi*r.Float64()
	t.fx, t.fy = f*math.Cos(angle), f*math.Sin(angle)
	return t
}

func (t texture) mean() rgb { return rgb{}.plus(t.a, 0.5).plus(t.b, 0.5) }

func (t texture) at(x, y float64) rgb {
	var w float64 // share of b
	switch t.kind {
	case 0: // plain
	case 1: // gradient
		w = 0.5 + 0.08*(t.fx*x+t.fy*y)
	case 2: // stripes
		w = 0.5 + 0.5*math.Sin(t.fx*x+t.fy*y+t.phase)
	case 3: // waves both ways
		w = 0.5 + 0.5*math.Sin(t.fx*x+t.fy*y+t.phase)*math.Sin(t.fy*x-t.fx*y)
	}
	w = max(0, min(1, w))
	return rgb{}.plus(t.a, 1-w).plus(t.b, w)
}

// inside tells, class by class, whether a point of the object's own coordinates belongs to it. Every outline has a radius of about one.
var inside = []func(u, v float64) bool{
	func(u, v float64) bool { return math.Hypot(u, v) < 0.85 },
	func(u, v float64) bool { r := math.Hypot(u, v); return 0.5 < r && r < 0.9 },
	func(u, v float64) bool { return max(math.Abs(u), math.Abs(v)) < 0.75 },
	func(u, v float64) bool { return v < 0.7 && v > math.Sqrt(3)*math.Abs(u)-0.95 },
	star,
	func(u, v float64) bool { a, b := math.Abs(u), math.Abs(v); return min(a, b) < 0.28 && max(a, b) < 0.9 },
	func(u, v float64) bool { return math.Hypot(u, v) < 0.9 && math.Hypot(u-0.45, v) > 0.72 },
	func(u, v float64) bool { // a shaft and a head
		return math.Abs(v) < 0.22 && -0.95 < u && u < 0.1 || u >= 0.05 && math.Abs(v) < 0.8*(0.95-u)
	},
	func(u, v float64) bool { // three bars
		return math.Abs(u) < 0.8 && math.Abs(v) < 0.8 && math.Abs(math.Mod(v+0.8, 0.64)-0.16) < 0.16
	},
	heart,
}

// star is a star of five points, its inner corners at 0.42 of the radius.
func star(u, v float64) bool {
	const points, inner = 5, 0.42
	angle := math.Mod(math.Atan2(u, -v)+2*math.Pi, 2*math.Pi/points)
	if angle > math.Pi/points {
		angle = 2*math.Pi/points - angle
	}
	// The edge runs from the tip (1, 0) to the inner corner, in polar coordinates around the centre.
	r := math.Hypot(u, v)
	x, y := r*math.Cos(angle), r*math.Sin(angle)
	cx, cy := inner*math.Cos(math.Pi/points), inner*math.Sin(math.Pi/points)
	return (cx-1)*y-cy*(x-1) > 0
}

// heart is the inside of the curve (x²+y²−1)³ = x²y³.
func heart(u, v float64) bool {
	x, y := 1.2*u, -1.2*v+0.1
	q := x*x + y*y - 1
	return q*q*q-x*x*y*y*y < 0
}
