package eval

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/godino-ml/godino/kernels"
	"github.com/godino-ml/godino/tensor"
)

func closeTo(a, b, tolerance float64) bool { return math.Abs(a-b) <= tolerance }

// TestPCAByHand: (0,0), (2,2), (4,4), (2,4), (2,0) have mean (2,2) and covariance (1.6 1.6; 1.6 3.2), with eigenvalues 2.4 ± 0.8·√5.
func TestPCAByHand(t *testing.T) {
	f := Features{Data: []float32{0, 0, 2, 2, 4, 4, 2, 4, 2, 0}, Dim: 2}
	for _, table := range kernels.Tables() {
		p, err := FitPCA(tensor.NewCPU(table, 2), f, 2)
		if err != nil {
			t.Fatal(err)
		}
		first := (2.4 + 0.8*math.Sqrt(5)) / 4.8
		if !closeTo(p.Explained[0], first, 1e-6) || !closeTo(p.Explained[1], 1-first, 1e-6) || !closeTo(p.Mean[0], 2, 0) || !closeTo(p.Mean[1], 2, 0) {
			t.Errorf("%s: %+v", table.Name, p)
		}
		// (1.6, λ−1.6), of length 1: the golden ratio φ; and across it. The largest entry is positive.
		phi := (1 + math.Sqrt(5)) / 2
		length := math.Hypot(1, phi)
		for i, v := range []float64{1 / length, phi / length, phi / length, -1 / length} {
			if !closeTo(float64(p.Components[i]), v, 1e-6) {
				t.Errorf("%s: component %d is %v, want %v", table.Name, i, p.Components[i], v)
			}
		}
		y := p.Project(tensor.CPU(), f)
		if !closeTo(float64(y[4]), 2/length+2*phi/length, 1e-5) || !closeTo(float64(y[2]), 0, 1e-6) {
			t.Errorf("%s: coordinates %v", table.Name, y)
		}
	}
	for _, k := range []int{0, 3} {
		if _, err := FitPCA(tensor.CPU(), f, k); err == nil {
			t.Errorf("%d components of 2 dimensions: no error", k)
		}
	}
	if p, err := FitPCA(tensor.CPU(), Features{Data: []float32{1, 2, 1, 2}, Dim: 2}, 1); err != nil || p.Explained[0] != 0 {
		t.Errorf("features that do not vary: %+v, %v", p, err)
	}
}

// TestPCAOfManyRows has more rows than a block, and compares the variance along each component with what it says.
func TestPCAOfManyRows(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	const n, d = 9000, 40
	f := Features{Data: make([]float32, n*d), Dim: d}
	for i := range f.Data {
		f.Data[i] = float32(rng.NormFloat64()*math.Pow(0.8, float64(i%d)) + 3)
	}
	p, err := FitPCA(tensor.CPU(), f, 3)
	if err != nil {
		t.Fatal(err)
	}
	var total float64
	for i := range f.Data {
		total += math.Pow(float64(f.Data[i])-p.Mean[i%d], 2) / n
	}
	y := p.Project(tensor.CPU(), f)
	for c := range 3 {
		var mean, square float64
		for i := range n {
			mean += float64(y[i*3+c]) / n
			square += float64(y[i*3+c]) * float64(y[i*3+c]) / n
		}
		if !closeTo(mean, 0, 1e-4) || !closeTo(square/total, p.Explained[c], 1e-4) {
			t.Errorf("component %d: mean %v, variance %v of %v; it says %v", c, mean, square, total, p.Explained[c])
		}
	}
}

func TestOtsu(t *testing.T) {
	values := []float32{0.1, 0.1, 0.12, 0.8, 0.81, 0.8, 0.9}
	if at := Otsu(values); !(at > 0.13 && at < 0.8) {
		t.Errorf("%v parts %v", at, values)
	}
	if at := Otsu([]float32{0, 1}); !closeTo(at, 0.5, 0.01) {
		t.Errorf("0 and 1 are parted at %v", at)
	}
	if at := Otsu([]float32{0.5, 0.5}); !(at >= 0 && at <= 1) {
		t.Errorf("equal values are parted at %v", at)
	}
}

// TestForegroundIsInside: two images with an object in the middle, along a direction whose sign points either way.
func TestForegroundIsInside(t *testing.T) {
	images := []PatchGrid{{6, 5}, {7, 8}}
	for _, sign := range []float32{1, -1} {
		rng := rand.New(rand.NewPCG(2, 2))
		f := Features{Dim: 6}
		var object []bool
		for _, g := range images {
			for i := range g.Rows {
				for j := range g.Cols {
					in := i > 1 && i < g.Rows-1 && j > 1 && j < g.Cols-1
					object = append(object, in)
					row := make([]float32, 6)
					for d := range row {
						row[d] = 0.05 * float32(rng.NormFloat64())
					}
					if in {
						row[0] += sign
						row[1+i%2] += 0.5 // what varies within the object
					}
					f.Data = append(f.Data, row...)
				}
			}
		}
		c, err := ColourPatches(tensor.CPU(), f, images, PatchColourOptions{Foreground: true})
		if err != nil {
			t.Fatal(err)
		}
		if got := slices.Concat(c.Foreground...); !slices.Equal(got, object) {
			t.Errorf("sign %v: foreground\n%v, want\n%v", sign, got, object)
		}
		// Red tells the rows of the object apart, alike in both images.
		red := func(image, i, j int) float32 { return c.RGB[image][3*(i*images[image].Cols+j)] }
		if d := red(0, 2, 2) - red(0, 3, 2); !(math.Abs(float64(d)) > 0.5) || !(d*(red(1, 2, 2)-red(1, 3, 2)) > 0.25) {
			t.Errorf("sign %v: red %v and %v, in the other image %v and %v", sign, red(0, 2, 2), red(0, 3, 2), red(1, 2, 2), red(1, 3, 2))
		}
		other, err := ColourPatches(tensor.CPU(), f, images, PatchColourOptions{Foreground: true, Invert: true})
		if err != nil {
			t.Fatal(err)
		}
		for i, in := range slices.Concat(other.Foreground...) {
			if in == object[i] {
				t.Fatalf("patch %d is on both sides", i)
			}
		}
		all, one := PatchColourOptions{Foreground: true, Threshold: new(float64)}, 1.5
		if c, err := ColourPatches(tensor.CPU(), f, images, all); err != nil || slices.Contains(slices.Concat(c.Foreground...), false) {
			// From 0 on all are foreground, which holds as much of the border as of the inside.
			t.Errorf("threshold 0: %v", err)
		}
		all.Threshold, all.Invert = &one, false
		if _, err := ColourPatches(tensor.CPU(), f, images, all); err == nil {
			t.Error("a foreground of nothing was coloured")
		}
		again, err := ColourPatches(tensor.NewCPU(kernels.Best(), 1), f, images, PatchColourOptions{Foreground: true})
		if err != nil || !slices.EqualFunc(again.RGB, c.RGB, slices.Equal) {
			t.Errorf("one thread gives other colours: %v", err)
		}
	}
	if _, err := ColourPatches(tensor.CPU(), Features{Data: make([]float32, 12), Dim: 3}, images, PatchColourOptions{}); err == nil {
		t.Error("4 features of 86 patches were coloured")
	}
}
