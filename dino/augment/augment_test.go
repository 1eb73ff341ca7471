package augment

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/godino-ml/godino/dino/dataset"
	"github.com/godino-ml/godino/kernels"
)

// noise is a picture with structure at several scales.
func noise(w, h int, seed uint64) *dataset.RGB {
	rng := rand.New(rand.NewPCG(seed, 1))
	img := dataset.NewRGB(w, h)
	for y := range h {
		for x := range w {
			for c := range 3 {
				v := 128 + 60*math.Sin(float64(x*(c+1))/17) + 40*math.Cos(float64(y)/9) + 30*rng.NormFloat64()
				img.Pix[3*(y*w+x)+c] = byte(min(max(v, 0), 255))
			}
		}
	}
	return img
}

func planesOf(img *dataset.RGB) *planes {
	p := new(planes)
	p.resize(img.W, img.H)
	r, g, b := p.rgb()
	for i := range r {
		r[i], g[i], b[i] = img.Pix[3*i], img.Pix[3*i+1], img.Pix[3*i+2]
	}
	return p
}

// mirrored is img with left and right exchanged.
func mirrored(img *dataset.RGB) *dataset.RGB {
	out := dataset.NewRGB(img.W, img.H)
	for y := range img.H {
		for x := range img.W {
			copy(out.Pix[3*(y*img.W+x):], img.Pix[3*(y*img.W+img.W-1-x):][:3])
		}
	}
	return out
}

func TestRandomBoxStaysInside(t *testing.T) {
	rng := CropStream(1, 2, 3, 4)
	ratio := [2]float64{3.0 / 4, 4.0 / 3}
	for range 20000 {
		w, h := 1+rng.IntN(60), 1+rng.IntN(60)
		b := RandomBox(rng, w, h, [2]float64{0.05, 0.4}, ratio)
		if !b.within(w, h) {
			t.Fatalf("box %+v outside %d×%d", b, w, h)
		}
	}
	// The fallback: nothing of ratio up to 4/3 with at least 90 % of a 100×10 picture exists.
	if b := RandomBox(rng, 100, 10, [2]float64{0.9, 1}, ratio); b != (Box{X: 43, Y: 0, W: 13, H: 10}) {
		t.Errorf("fallback box %+v, want the centred 13×10", b)
	}
}

func TestRandomBoxDistribution(t *testing.T) {
	const n = 20000
	rng := CropStream(5, 0, 0, 0)
	var share, logAspect, x float64
	for range n {
		b := RandomBox(rng, 1000, 1000, [2]float64{0.05, 0.4}, [2]float64{3.0 / 4, 4.0 / 3})
		share += float64(b.W*b.H) / 1e6 / n
		logAspect += math.Log(float64(b.W)/float64(b.H)) / n
		x += float64(b.X) / float64(1000-b.W) / n
	}
	if !(math.Abs(share-0.225) < 0.004) || !(math.Abs(logAspect) < 0.01) || !(math.Abs(x-0.5) < 0.01) {
		t.Errorf("mean area %.4f (want .225), mean log aspect %.4f (0), mean place %.4f (.5)", share, logAspect, x)
	}
}

// The probabilities of the operations, seen from outside: a picture of one bright colour shows whether it was made grey or solarised.
func TestProbabilities(t *testing.T) {
	m := Reference()
	m.GlobalSize, m.LocalSize, m.LocalNumber = 4, 4, 1
	m.Jitter = 0
	img := dataset.NewRGB(8, 8)
	for i := range 64 {
		copy(img.Pix[3*i:], []byte{250, 200, 140})
	}
	const n = 4000
	var s Scratch
	var gray, solar [3]float64
	for i := range n {
		for v := range 3 {
			p := m.Picture(&s, img, v, s.stream.Key(9, 0, i, v)).Pix[:3]
			if p[0] == p[1] {
				gray[v] += 1.0 / n
			}
			if p[0] < 128 {
				solar[v] += 1.0 / n
			}
		}
	}
	for v, want := range m.Solarize {
		if !(math.Abs(solar[v]-want) < 0.03) || !(math.Abs(gray[v]-m.Gray) < 0.03) {
			t.Errorf("view %d: solarised %.3f of the time, want %.3f; grey %.3f, want %.3f", v, solar[v], want, gray[v], m.Gray)
		}
	}
}

func TestFlipIsAnEvenChance(t *testing.T) {
	m := MultiCrop{GlobalSize: 16, GlobalScale: [2]float64{1, 1}, Ratio: [2]float64{1, 1}, Flip: 0.5, Mean: ImageNetMean, Std: ImageNetStd}
	img := noise(16, 16, 3)
	flipped := mirrored(img)
	var s Scratch
	n := 0
	for i := range 2000 {
		switch p := m.Picture(&s, img, 0, s.stream.Key(9, 0, i, 0)).Pix; {
		case slices.Equal(p, flipped.Pix):
			n++
		case !slices.Equal(p, img.Pix):
			t.Fatal("neither the picture nor its mirror image")
		}
	}
	if n < 900 || n > 1100 {
		t.Errorf("flipped %d times in 2000", n)
	}
}

func TestViewsAreKeyed(t *testing.T) {
	m := Reference()
	m.GlobalSize, m.LocalSize, m.LocalNumber = 32, 16, 4
	img := noise(50, 40, 1)
	views := func(s *Scratch, seed uint64, epoch, sample int) [][]float32 {
		dst := m.views()
		m.Sample(s, dst, img, seed, epoch, sample)
		return dst
	}
	var used Scratch
	views(&used, 3, 1, 4)
	used.resize(&used.crop, 70, 70, img, Box{W: 50, H: 40}, true)
	a, b := views(&used, 7, 2, 5), views(new(Scratch), 7, 2, 5)
	for v := range a {
		if !slices.Equal(a[v], b[v]) {
			t.Errorf("view %d depends on what the scratch was used for before", v)
		}
	}
	for _, other := range [][][]float32{views(&used, 8, 2, 5), views(&used, 7, 3, 5), views(&used, 7, 2, 6)} {
		for v := range a {
			if slices.Equal(a[v], other[v]) {
				t.Errorf("view %d is the same under another key", v)
			}
		}
	}
	if slices.Equal(a[0], a[1]) || slices.Equal(a[2], a[3]) {
		t.Error("two crops of a sample are the same")
	}
}

func TestViewsAllocateNothing(t *testing.T) {
	m := Reference()
	m.GlobalSize, m.LocalSize, m.LocalNumber = 32, 16, 2
	img := noise(64, 48, 1)
	dst := m.views()
	var s Scratch
	for i := range 200 {
		m.Sample(&s, dst, img, 1, 0, i)
	}
	i := 0
	if n := testing.AllocsPerRun(50, func() { m.Sample(&s, dst, img, 1, 0, i); i++ }); n > 0 {
		t.Errorf("%v allocations for a sample", n)
	}
}

// A window of a resized picture is that part of the whole.
func TestResizeToIsAWindow(t *testing.T) {
	img := noise(61, 47, 2)
	var s Scratch
	for _, size := range [][2]int{{61, 47}, {61, 20}, {30, 47}, {100, 90}, {17, 80}} {
		w, h := size[0], size[1]
		whole := Resize(img, w, h)
		want := Box{X: w / 3, Y: h / 4, W: w / 2, H: h / 2}
		s.resizeTo(&s.crop, bicubic, w, h, want, img, Box{W: img.W, H: img.H}, false)
		got := s.picture(&s.crop)
		for y := range want.H {
			a, b := got.Pix[3*want.W*y:3*want.W*(y+1)], whole.Pix[3*((want.Y+y)*w+want.X):]
			if !slices.Equal(a, b[:len(a)]) {
				t.Fatalf("to %d×%d: row %d of the window differs", w, h, y)
			}
		}
	}
}

// Resizing against one sum at a time in 64 bits, at the extremes of overshoot.
func TestResizeAgainstPlainSums(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for _, n := range [][4]int{{7, 5, 13, 3}, {64, 40, 9, 31}, {3, 200, 8, 8}, {1, 1, 5, 4}} {
		img := dataset.NewRGB(n[0], n[1])
		for i := range img.Pix {
			img.Pix[i] = byte(rng.IntN(2)) * 255
		}
		got := Resize(img, n[2], n[3])
		var hor, ver taps
		hor.set(bicubic, n[0], n[2], 0, n[2])
		ver.set(bicubic, n[1], n[3], 0, n[3])
		plain := func(t *taps, i int, at func(x int) byte) byte {
			sum := int64(1 << (kernels.ResampleBits - 1))
			for k := range int(t.count[i]) {
				sum += int64(t.weights[i*t.width+k]) * int64(at(int(t.first[i])+k))
			}
			return byte(min(max(sum>>kernels.ResampleBits, 0), 255))
		}
		for y := range n[3] {
			for x := range n[2] {
				for c := range 3 {
					want := plain(&ver, y, func(r int) byte {
						return plain(&hor, x, func(q int) byte { return img.Pix[3*(r*n[0]+q)+c] })
					})
					if g := got.Pix[3*(y*n[2]+x)+c]; g != want {
						t.Fatalf("%v: pixel %d,%d,%d is %d, want %d", n, x, y, c, g, want)
					}
				}
			}
		}
	}
}

// Constant pictures stay what they are under resizing and blurring: weights sum to one.
func TestConstantPictures(t *testing.T) {
	var s Scratch
	for _, v := range []byte{0, 1, 127, 128, 254, 255} {
		img := dataset.NewRGB(13, 9)
		for i := range img.Pix {
			img.Pix[i] = v
		}
		for _, p := range [][]byte{Resize(img, 29, 4).Pix, Resize(img, 5, 31).Pix} {
			if slices.Min(p) != v || slices.Max(p) != v {
				t.Errorf("%d became %d to %d by resizing", v, slices.Min(p), slices.Max(p))
			}
		}
		for _, r := range []float64{0.1, 0.7, 1.9, 2, 5, 30} {
			p := planesOf(img)
			s.gaussianBlur(p, r)
			if slices.Min(p.pix) != v || slices.Max(p.pix) != v {
				t.Errorf("%d became %d to %d by blurring with radius %v", v, slices.Min(p.pix), slices.Max(p.pix), r)
			}
		}
	}
}

// The fast blur passes against the definition, for pictures smaller than the box too.
func TestBlurAgainstDefinition(t *testing.T) {
	for _, size := range [][2]int{{1, 1}, {2, 3}, {3, 2}, {5, 4}, {20, 17}} {
		for _, radius := range []float64{0.3, 1, 1.6, 2, 4, 9} {
			img := noise(size[0], size[1], 7)
			want := plainBlur(img, radius)
			p := planesOf(img)
			new(Scratch).gaussianBlur(p, radius)
			if !slices.Equal(p.pix, planesOf(want).pix) {
				t.Errorf("%d×%d, radius %v: differs from the definition", size[0], size[1], radius)
			}
		}
	}
}

func plainBlur(img *dataset.RGB, radius float64) *dataset.RGB {
	r := boxRadius(radius)
	n := int(r)
	box := uint32(float32(1<<24) / (float32(r)*2 + 1))
	edge := (1<<24 - uint32(2*n+1)*box) / 2
	for pass := range 2 * blurPasses {
		dx, dy := 1, 0
		if pass >= blurPasses {
			dx, dy = 0, 1
		}
		out := dataset.NewRGB(img.W, img.H)
		for y := range img.H {
			for x := range img.W {
				for c := range 3 {
					at := func(t int) uint32 {
						px, py := min(max(x+t*dx, 0), img.W-1), min(max(y+t*dy, 0), img.H-1)
						return uint32(img.Pix[3*(py*img.W+px)+c])
					}
					sum := edge * (at(-n-1) + at(n+1))
					for t := -n; t <= n; t++ {
						sum += box * at(t)
					}
					out.Pix[3*(y*img.W+x)+c] = byte((sum + 1<<23) >> 24)
				}
			}
		}
		img = out
	}
	return img
}

func TestHueByFullTurnsAndGrey(t *testing.T) {
	var s Scratch
	// A third of the circle takes red to green; 85/255 is exactly a third in bytes.
	p := planesOf(&dataset.RGB{W: 3, H: 1, Pix: []byte{9, 9, 9, 200, 200, 200, 255, 0, 0}})
	s.hue(p, 1.0/3+1e-9)
	if got := s.picture(p).Pix; !slices.Equal(got, []byte{9, 9, 9, 200, 200, 200, 0, 255, 0}) {
		t.Errorf("two greys and red turned by a third are %v", got)
	}
}

func TestSettingsAreChecked(t *testing.T) {
	if m := Reference(); m.Validate() != nil {
		t.Errorf("the reference is refused: %v", m.Validate())
	}
	for i, spoil := range []func(*MultiCrop){
		func(m *MultiCrop) { m.GlobalSize = 0 },
		func(m *MultiCrop) { m.LocalNumber = -1 },
		func(m *MultiCrop) { m.LocalSize = 1 << 20 },
		func(m *MultiCrop) { m.GlobalScale = [2]float64{0, 1} },
		func(m *MultiCrop) { m.LocalScale = [2]float64{0.5, 0.1} },
		func(m *MultiCrop) { m.GlobalScale[0] = math.NaN() },
		func(m *MultiCrop) { m.Hue = 0.6 },
		func(m *MultiCrop) { m.Std[1] = 0 },
		func(m *MultiCrop) { m.BlurRadius[1] = math.NaN() },
	} {
		m := Reference()
		spoil(&m)
		if m.Validate() == nil {
			t.Errorf("spoiled settings %d pass", i)
		}
	}
	for _, e := range []Eval{{Resize: 0, Std: ImageNetStd}, {Resize: 10, Crop: 11, Std: ImageNetStd}, {Resize: 10}} {
		if e.Validate() == nil {
			t.Errorf("%+v passes", e)
		}
	}
}

func TestEvalTransforms(t *testing.T) {
	var s Scratch
	img := noise(32, 32, 1)
	if p := Whole(32).Picture(&s, img); !slices.Equal(p.Pix, img.Pix) {
		t.Error("a 32-pixel picture evaluated whole at 32 pixels changed")
	}
	for _, size := range [][2]int{{1, 500}, {500, 1}, {33, 31}, {640, 427}} {
		img := noise(size[0], size[1], 1)
		for _, e := range []Eval{EvalAt(32), Whole(16), Square(24)} {
			dst := make([]float32, 3*e.Size()*e.Size())
			e.Apply(&s, dst, img)
		}
	}
}

// Every set of kernels makes the same bits, of pictures and crops of odd sizes too.
func TestViewsAreTheSameOnEveryCPU(t *testing.T) {
	reference := Reference()
	odd := Reference()
	odd.GlobalSize, odd.LocalSize, odd.LocalNumber = 37, 9, 4
	odd.BlurRadius = [2]float64{0, 7}
	tiny := odd
	tiny.GlobalSize, tiny.LocalSize = 7, 1
	pictures, settings, samples := []*dataset.RGB{noise(61, 47, 2), noise(300, 9, 3), noise(7, 90, 4), noise(5, 3, 5), noise(1, 1, 6)}, []MultiCrop{odd, tiny}, 4
	if !testing.Short() {
		pictures, settings = append(pictures, noise(500, 375, 1)), append(settings, reference)
	}
	for _, img := range pictures {
		for _, m := range settings {
			views := func(table *kernels.Table, sample int) [][]float32 {
				dst := m.views()
				m.Sample(&Scratch{table: table}, dst, img, 1, 2, sample)
				return dst
			}
			for sample := range samples {
				want := views(kernels.Reference(), sample)
				for _, table := range kernels.Tables()[1:] {
					for v, got := range views(table, sample) {
						if !slices.Equal(got, want[v]) {
							t.Errorf("%d×%d, sample %d, view %d of %d: %s differs from the plain version", img.W, img.H, sample, v, m.Size(v), table.Name)
						}
					}
				}
			}
		}
	}
}

// A picture whose red is the column and whose green is the row shows where a crop lies.
func TestViewsUseTheirScale(t *testing.T) {
	img := dataset.NewRGB(200, 200)
	for i := range 200 * 200 {
		img.Pix[3*i], img.Pix[3*i+1] = byte(i%200), byte(i/200)
	}
	m := MultiCrop{GlobalSize: 40, LocalSize: 20, LocalNumber: 1, GlobalScale: [2]float64{0.81, 0.81}, LocalScale: [2]float64{0.04, 0.04},
		Ratio: [2]float64{1, 1}, Mean: ImageNetMean, Std: ImageNetStd}
	var s Scratch
	for i := range 20 {
		for v, want := range []int{180, 180, 40} {
			p := m.Picture(&s, img, v, s.stream.Key(1, 2, i, v))
			last := p.Pix[len(p.Pix)-3:]
			for c := range 2 {
				if got := int(last[c]) - int(p.Pix[c]); got > want || got < want-want/m.Size(v)-2 {
					t.Errorf("view %d spans %d pixels, want about %d", v, got, want)
				}
			}
		}
	}
}

func TestJitterDraws(t *testing.T) {
	m := MultiCrop{Brightness: 0.4, Contrast: 0.3, Saturation: 0.2, Hue: 0.1}
	const n = 24000
	rng := CropStream(1, 2, 3, 4)
	orders := map[[4]int]int{}
	var lo, hi, sum [4]float64
	for i := range n {
		j := m.drawJitter(rng)
		orders[j.order]++
		for k, x := range []float64{j.brightness - 1, j.contrast - 1, j.saturation - 1, j.hue} {
			if i == 0 {
				lo[k], hi[k] = x, x
			}
			lo[k], hi[k], sum[k] = min(lo[k], x), max(hi[k], x), sum[k]+x/n
		}
	}
	for k, want := range []float64{0.4, 0.3, 0.2, 0.1} {
		if !(lo[k] >= -want && lo[k] < -0.99*want && hi[k] <= want && hi[k] > 0.99*want && math.Abs(sum[k]) < 0.01) {
			t.Errorf("factor %d spans %.4f to %.4f with mean %.4f, want ±%g", k, lo[k], hi[k], sum[k], want)
		}
	}
	if len(orders) != 24 {
		t.Errorf("%d orders of four operations", len(orders))
	}
	for o, count := range orders {
		if count < 850 || count > 1150 {
			t.Errorf("order %v came %d times in %d, want about 1000", o, count, n)
		}
	}
}

// torchvision rounds the start of a centre crop with Python's round, halves to even.
func TestCentre(t *testing.T) {
	for n, want := range map[int]int{224: 0, 225: 0, 226: 1, 227: 2, 228: 2, 229: 2, 231: 4} {
		if got := centre(n, 224); got != want {
			t.Errorf("centre(%d, 224) = %d, want %d", n, got, want)
		}
	}
}
