package augment

import (
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/godino-ml/godino/dino/dataset"
)

// Attack is something that people do to a picture before they pass it on as their own.
type Attack struct {
	Block string // folder of the copies: "crops/50"
	JPEG  int    // quality of the copy's file
	apply func(img *dataset.RGB, r *rand.Rand) *dataset.RGB
}

// Apply attacks a picture. Random choices come from r; the result may be img itself.
func (a Attack) Apply(img *dataset.RGB, r *rand.Rand) *dataset.RGB {
	if a.apply == nil {
		return img
	}
	return a.apply(img, r)
}

// attackQuality is the JPEG quality of attacks that are about something else.
const attackQuality = 90

// Attacks are those of Copydays, jpegqual/Q (file quality), crops/P (P per cent of the area cut off) and strong (several at once), and single
// ones beside them: rotate/DEGREES, paint/STROKES, blur/RADIUS in pixels of a side of 512.
func Attacks() []Attack {
	var list []Attack
	add := func(name string, level, quality int, f func(img *dataset.RGB, r *rand.Rand) *dataset.RGB) {
		list = append(list, Attack{fmt.Sprintf("%s/%d", name, level), quality, f})
	}
	list = append(list, Attack{"strong", 30, strongAttack})
	for _, q := range []int{3, 5, 8, 10, 15, 20, 30, 50, 75} {
		add("jpegqual", q, q, nil)
	}
	for _, p := range []int{10, 15, 20, 30, 40, 50, 60, 70, 80} {
		add("crops", p, attackQuality, func(img *dataset.RGB, r *rand.Rand) *dataset.RGB { return cutOff(img, float64(p)/100, r) })
	}
	for _, d := range []int{5, 15, 45, 90} {
		add("rotate", d, attackQuality, func(img *dataset.RGB, r *rand.Rand) *dataset.RGB {
			return Rotate(img, float64(d)*float64(1-2*r.IntN(2)))
		})
	}
	for _, n := range []int{2, 5, 10} {
		add("paint", n, attackQuality, func(img *dataset.RGB, r *rand.Rand) *dataset.RGB { return paint(img, n, r) })
	}
	for _, b := range []int{2, 4, 8} {
		add("blur", b, attackQuality, func(img *dataset.RGB, _ *rand.Rand) *dataset.RGB { return blurred(img, float64(b)) })
	}
	return list
}

// strongAttack cuts off a part, turns, paints and blurs, each or not, and at least one.
func strongAttack(img *dataset.RGB, r *rand.Rand) *dataset.RGB {
	which := 1 + r.IntN(15)
	if which&1 != 0 {
		img = cutOff(img, 0.2+0.5*r.Float64(), r)
	}
	if which&2 != 0 {
		img = Rotate(img, 60*r.Float64()-30)
	}
	if which&4 != 0 {
		img = paint(img, 3+r.IntN(6), r)
	}
	if which&8 != 0 {
		img = blurred(img, 1+4*r.Float64())
	}
	return img
}

// cutOff keeps a rectangle of the picture's shape with 1−share of its area, somewhere in it.
func cutOff(img *dataset.RGB, share float64, r *rand.Rand) *dataset.RGB {
	side := math.Sqrt(1 - share)
	w, h := max(1, int(math.Round(side*float64(img.W)))), max(1, int(math.Round(side*float64(img.H))))
	return CropTo(img, Box{X: r.IntN(img.W - w + 1), Y: r.IntN(img.H - h + 1), W: w, H: h})
}

// Rotate turns a picture about its middle, counter-clockwise, by bilinear interpolation; the result holds all of it, on black.
func Rotate(img *dataset.RGB, degrees float64) *dataset.RGB {
	sin, cos := math.Sincos(degrees * math.Pi / 180)
	fw, fh := float64(img.W), float64(img.H)
	w := max(1, int(math.Round(math.Abs(fw*cos)+math.Abs(fh*sin))))
	h := max(1, int(math.Round(math.Abs(fw*sin)+math.Abs(fh*cos))))
	out := dataset.NewRGB(w, h)
	pixel := func(x, y, c int) float64 {
		if x < 0 || y < 0 || x >= img.W || y >= img.H {
			return 0
		}
		return float64(img.Pix[3*(y*img.W+x)+c])
	}
	for y := range h {
		for x := range w {
			dx, dy := float64(x)+0.5-float64(w)/2, float64(y)+0.5-float64(h)/2
			u, v := cos*dx-sin*dy+fw/2-0.5, sin*dx+cos*dy+fh/2-0.5
			x0, y0 := math.Floor(u), math.Floor(v)
			pu, pv := u-x0, v-y0
			i, j := int(x0), int(y0)
			if i < -1 || j < -1 || i >= img.W || j >= img.H {
				continue
			}
			for c := range 3 {
				above := (1-pu)*pixel(i, j, c) + pu*pixel(i+1, j, c)
				below := (1-pu)*pixel(i, j+1, c) + pu*pixel(i+1, j+1, c)
				out.Pix[3*(y*w+x)+c] = byte(math.Round((1-pv)*above + pv*below))
			}
		}
	}
	return out
}

// paint draws strokes of one colour each, as wide as a twentieth of the shorter side, that wander over the picture.
func paint(img *dataset.RGB, strokes int, r *rand.Rand) *dataset.RGB {
	out := &dataset.RGB{W: img.W, H: img.H, Pix: append([]byte(nil), img.Pix...)}
	short := float64(min(img.W, img.H))
	radius := max(1, short/40)
	for range strokes {
		colour := [3]byte{byte(r.IntN(256)), byte(r.IntN(256)), byte(r.IntN(256))}
		x, y := r.Float64()*float64(img.W), r.Float64()*float64(img.H)
		angle, bend := 2*math.Pi*r.Float64(), 0.4*(r.Float64()-0.5)
		for range int(2 * short / radius * (0.5 + r.Float64()) / 2) {
			dot(out, x, y, radius, colour)
			sin, cos := math.Sincos(angle)
			x, y = x+cos*radius, y+sin*radius
			angle += bend * r.Float64()
		}
	}
	return out
}

// dot fills a disc.
func dot(img *dataset.RGB, x, y, radius float64, colour [3]byte) {
	for v := max(0, int(y-radius)); v <= min(img.H-1, int(y+radius)); v++ {
		for u := max(0, int(x-radius)); u <= min(img.W-1, int(x+radius)); u++ {
			if dx, dy := float64(u)-x, float64(v)-y; dx*dx+dy*dy <= radius*radius {
				copy(img.Pix[3*(v*img.W+u):], colour[:])
			}
		}
	}
}

// blurred blurs by a Gaussian of that deviation in pixels of a picture whose longer side is 512.
func blurred(img *dataset.RGB, radius float64) *dataset.RGB {
	var s Scratch
	s.resize(&s.crop, img.W, img.H, img, Box{W: img.W, H: img.H}, false)
	s.gaussianBlur(&s.crop, radius*float64(max(img.W, img.H))/512)
	return s.picture(&s.crop)
}
