package eval

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/godino-ml/godino/kernels"
	"github.com/godino-ml/godino/tensor"
)

// protocols are inputs and results of testdata/protocols.py, an implementation of its own in numpy and OpenCV.
type protocols struct {
	Retrieval struct {
		Dim           int
		Bank, Queries []float32
		Truth         []struct{ Easy, Hard, Junk []int }
		Medium, Hard  struct {
			MAP float64
			MP  []float64
		}
	}
	Whitening struct {
		Dim, Floored int
		Features     []float32
		Inner        []float64
	}
	GeM struct {
		Dim    int
		Tokens []float32
		Pooled []float64
	}
	Masks []struct {
		DX, DY, Object int
		J, F           float64
	}
	Frames struct {
		Values              []float64
		Mean, Recall, Decay float64
	}
	Propagation struct {
		Rows, Cols, Radius, Top int
		Frames, Labels          [][]float32
		Want                    []float64
	}
}

func readProtocols(t *testing.T) (p protocols) {
	t.Helper()
	text, err := os.ReadFile("testdata/protocols.json")
	if err == nil {
		err = json.Unmarshal(text, &p)
	}
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func near(t *testing.T, what string, got, want, tol float64) {
	t.Helper()
	if !(math.Abs(got-want) <= tol) {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

func TestRetrievalAgainstNumpy(t *testing.T) {
	c := readProtocols(t).Retrieval
	g := &GroundTruth{Images: make([]string, len(c.Bank)/c.Dim)}
	for _, q := range c.Truth {
		g.Queries = append(g.Queries, Query{Easy: q.Easy, Hard: q.Hard, Junk: q.Junk})
	}
	index := make([]int, len(g.Images))
	for i := range index {
		index[i] = i
	}
	medium, hard, err := Retrieval(tensor.CPU(), g, Features{Data: c.Queries, Dim: c.Dim}, Features{Data: c.Bank, Dim: c.Dim}, index, []int{1, 5, 10})
	if err != nil {
		t.Fatal(err)
	}
	if medium.Evaluated != 5 || hard.Evaluated != 4 || hard.AP[3] == hard.AP[3] {
		t.Errorf("%d and %d queries judged, want 5 and 4; AP of the query without hard positives %v, want NaN", medium.Evaluated, hard.Evaluated, hard.AP[3])
	}
	near(t, "Medium mAP", medium.MAP, c.Medium.MAP, 1e-12)
	near(t, "Hard mAP", hard.MAP, c.Hard.MAP, 1e-12)
	for j := range medium.Ks {
		near(t, fmt.Sprint("Medium mP@", medium.Ks[j]), medium.MeanP[j], c.Medium.MP[j], 1e-12)
		near(t, fmt.Sprint("Hard mP@", hard.Ks[j]), hard.MeanP[j], c.Hard.MP[j], 1e-12)
	}
}

// TestAveragePrecisionByHand: ranking j p x p x p, two positives more not found.
//
//	junk out: p x p x p, ranks 0 2 4 of 5 positives
//	AP = (1/5)·((1+1)/2 + (1/2+2/3)/2 + (2/4+3/5)/2) = (1 + 7/12 + 11/20)/5 = 0.42666…
//	P@1 = 1; P@10 is cut to the last positive: 3/5
func TestAveragePrecisionByHand(t *testing.T) {
	ranks, n := positiveRanks([]int{9, 0, 5, 1, 6, 2}, []int{0, 1, 2, 3, 4}, []int{9, 8})
	if !slices.Equal(ranks, []int{0, 2, 4}) || n != 5 {
		t.Fatalf("ranks %v of %d", ranks, n)
	}
	near(t, "AP", AveragePrecision(ranks, n), (1+7./12+11./20)/5, 1e-15)
	near(t, "P@1", precisionAt(ranks, 1), 1, 0)
	near(t, "P@2", precisionAt(ranks, 2), 0.5, 0)
	near(t, "P@10", precisionAt(ranks, 10), 0.6, 1e-15)
	near(t, "P of nothing", precisionAt(nil, 5), 0, 0)
	near(t, "AP at rank 1 of 1", AveragePrecision([]int{1}, 1), 0.25, 0)
}

func TestCopyDetectionByHand(t *testing.T) {
	// The database is 30 directions of the plane; query 0 lies on row 0, query 1 between rows 10 and 11, nearer to 11, query 2 opposite.
	database, queries := Features{Dim: 2}, Features{Dim: 2}
	point := func(f *Features, degrees float64) {
		s, c := math.Sincos(degrees * math.Pi / 180)
		f.Data = append(f.Data, float32(c), float32(s))
	}
	for i := range 30 {
		point(&database, float64(i))
	}
	for _, d := range []float64{0, 10.6, 180} {
		point(&queries, d)
	}
	ap, mean, err := CopyDetection(tensor.CPU(), queries, database, [][]int{{0}, {10}, {0}})
	if err != nil {
		t.Fatal(err)
	}
	// Row 10 comes second for query 1: (0/1 + 1/2)/2. Row 0 is the 30th nearest to 180 degrees: not among 20.
	if want := []float64{1, 0.25, 0}; !slices.Equal(ap, want) {
		t.Errorf("AP %v, want %v", ap, want)
	}
	near(t, "mean", mean, 1.25/3, 1e-15)
	if _, _, err := CopyDetection(tensor.CPU(), queries, database, [][]int{{0}, {}, {0}}); err == nil {
		t.Error("a query without positives was judged")
	}
}

func TestWhiteningAgainstNumpy(t *testing.T) {
	c := readProtocols(t).Whitening
	f := Features{Data: c.Features, Dim: c.Dim}
	w, err := LearnWhitening(f)
	if err != nil {
		t.Fatal(err)
	}
	if w.Floored != c.Floored {
		t.Errorf("%d directions floored, want %d", w.Floored, c.Floored)
	}
	g, err := w.Apply(Features{Data: f.Data[:7*c.Dim], Dim: c.Dim})
	if err != nil {
		t.Fatal(err)
	}
	// Eigenvectors have no sign, inner products of whitened features do not depend on it.
	for i := range 7 {
		for j := range 7 {
			var dot float64
			for k := range c.Dim {
				dot += float64(g.Data[i*c.Dim+k]) * float64(g.Data[j*c.Dim+k])
			}
			near(t, fmt.Sprintf("inner product %d, %d", i, j), dot, c.Inner[7*i+j], 1e-5*(1+math.Abs(c.Inner[7*i+j])))
		}
	}
	if _, err := LearnWhitening(Features{Data: make([]float32, 6), Dim: 3}); err == nil {
		t.Error("zeros were whitened")
	}
	if _, err := w.Apply(Features{Data: make([]float32, 6), Dim: 3}); err == nil {
		t.Error("features of another size were whitened")
	}
}

func TestGeMAgainstNumpy(t *testing.T) {
	c := readProtocols(t).GeM
	for j, v := range GeM(c.Tokens, c.Dim) {
		near(t, fmt.Sprint("column ", j), float64(v), c.Pooled[j], 1e-6)
	}
}

// masks draws what masks() of protocols.py does: two ellipses, moved.
func masks(dx, dy int) Mask {
	m := Mask{W: 120, H: 90, Labels: make([]uint8, 120*90)}
	for i := range m.Labels {
		x, y := i%m.W, i/m.W
		if 4*(x-40-dx)*(x-40-dx)+9*(y-35-dy)*(y-35-dy) < 3600 {
			m.Labels[i] = 1
		}
		if 9*(x-80)*(x-80)+4*(y-60-dx)*(y-60-dx) < 2500 {
			m.Labels[i] = 2
		}
	}
	return m
}

func TestMasksAgainstOpenCV(t *testing.T) {
	truth := masks(0, 0)
	for y := range 20 {
		for x := range 30 {
			truth.Labels[y*truth.W+x] = Void
		}
	}
	for _, c := range readProtocols(t).Masks {
		// Where the result has object pixels in the unknown corner they do not count.
		result := masks(c.DX, c.DY)
		what := fmt.Sprintf("moved by %d, %d, object %d", c.DX, c.DY, c.Object)
		near(t, what+" J", RegionSimilarity(truth, result, uint8(c.Object)), c.J, 1e-12)
		near(t, what+" F", BoundaryAccuracy(truth, result, uint8(c.Object)), c.F, 1e-12)
	}
}

// TestMasksByHand: a square of 4×4 and the same one to the right by 1, in 10×10: intersection 12, union 20. The radius is ⌈0.008·14.1⌉ = 1, so
// that every boundary pixel finds one of the other.
func TestMasksByHand(t *testing.T) {
	square := func(x0 int) Mask {
		m := Mask{W: 10, H: 10, Labels: make([]uint8, 100)}
		for y := 3; y < 7; y++ {
			for x := x0; x < x0+4; x++ {
				m.Labels[10*y+x] = 1
			}
		}
		return m
	}
	none := Mask{W: 10, H: 10, Labels: make([]uint8, 100)}
	near(t, "J", RegionSimilarity(square(3), square(4), 1), 0.6, 1e-15)
	near(t, "F", BoundaryAccuracy(square(3), square(4), 1), 1, 0)
	near(t, "J of what is nowhere", RegionSimilarity(none, none, 1), 1, 0)
	near(t, "F of what is nowhere", BoundaryAccuracy(none, none, 1), 1, 0)
	near(t, "F of what is missed", BoundaryAccuracy(square(3), none, 1), 0, 0)
	near(t, "F of what is made up", BoundaryAccuracy(none, square(3), 1), 0, 0)
}

func TestOverFramesAgainstNumpy(t *testing.T) {
	c := readProtocols(t).Frames
	s := OverFrames(c.Values)
	near(t, "mean", s.Mean, c.Mean, 1e-12)
	near(t, "recall", s.Recall, c.Recall, 1e-12)
	near(t, "decay", s.Decay, c.Decay, 1e-12)
	long := make([]float64, 1000) // the first quarter, frames 0 to 250, is 1
	for i := range 251 {
		long[i] = 1
	}
	near(t, "decay of 1000 frames", OverFrames(long).Decay, 1, 1e-12)
}

func TestSegmentationLeavesOutBothEnds(t *testing.T) {
	good, bad := masks(0, 0), masks(300, 300)
	scores, err := Segmentation("s", []Mask{good, good, good, good}, []Mask{bad, good, good, bad}, 2)
	if err != nil {
		t.Fatal(err)
	}
	if m := MeanScore(scores); len(scores) != 2 || m.JF() != 1 || m.J.Recall != 1 || m.F.Decay != 0 {
		t.Errorf("%+v", scores)
	}
	if _, err := Segmentation("s", []Mask{good, good}, []Mask{good, good}, 1); err == nil {
		t.Error("two frames were judged")
	}
	if _, err := Segmentation("s", []Mask{good, good, good}, []Mask{good, {W: 1, H: 1, Labels: []uint8{0}}, good}, 1); err == nil {
		t.Error("masks of two sizes were compared")
	}
}

func TestPropagationAgainstNumpy(t *testing.T) {
	c := readProtocols(t).Propagation
	var context []PatchFrame
	for i, labels := range c.Labels {
		context = append(context, PatchFrame{c.Frames[i], labels})
	}
	p := Propagation{Radius: c.Radius, TopK: c.Top, Temperature: 0.1}
	for _, table := range kernels.Tables() {
		var first []float32
		for threads := 1; threads <= 3; threads++ {
			got, err := p.Propagate(tensor.NewCPU(table, threads), c.Frames[3], c.Rows, c.Cols, context)
			if err != nil {
				t.Fatal(err)
			}
			for i, v := range got {
				near(t, fmt.Sprintf("%s, label %d", table.Name, i), float64(v), c.Want[i], 1e-5)
			}
			if first != nil && !slices.Equal(first, got) {
				t.Errorf("%s: %d threads give other bits than 1", table.Name, threads)
			}
			first = got
		}
	}
	// Everywhere is what a radius beyond the grid means too.
	wide, all := p, p
	wide.Radius, all.Radius = 50, 0
	a, err1 := wide.Propagate(tensor.CPU(), c.Frames[3], c.Rows, c.Cols, context)
	b, err2 := all.Propagate(tensor.CPU(), c.Frames[3], c.Rows, c.Cols, context)
	if err1 != nil || err2 != nil || !slices.Equal(a, b) {
		t.Errorf("radius 50 and 0 differ: %v, %v", err1, err2)
	}
	// All neighbours alike: all count, and the label is their mean.
	same := make([]float32, 4*9)
	labels := make([]float32, 9)
	for i := range same {
		same[i] = 0.5
	}
	labels[4] = 9
	got, err := p.Propagate(tensor.CPU(), same, 3, 3, []PatchFrame{{same, labels}})
	if err != nil {
		t.Fatal(err)
	}
	near(t, "mean of equals", float64(got[0]), 1, 1e-6)
	for _, wrong := range []Propagation{{2, 0, 0.1}, {-1, 5, 0.1}, {2, 5, 0}, {2, 5, math.NaN()}} {
		if _, err := wrong.Propagate(tensor.CPU(), same, 3, 3, []PatchFrame{{same, labels}}); err == nil {
			t.Errorf("%+v was accepted", wrong)
		}
	}
}

// TestPropagationInBlocks: a grid so large that similarities are computed in several blocks of rows, against the definition, patch by patch.
func TestPropagationInBlocks(t *testing.T) {
	const rows, cols, d, frames = 40, 60, 4, 3
	random := rand.New(rand.NewPCG(1, 2))
	features := func() []float32 {
		f := make([]float32, rows*cols*d)
		for at := 0; at < len(f); at += d {
			var norm float64
			for j := range d {
				f[at+j] = float32(random.NormFloat64())
				norm += float64(f[at+j]) * float64(f[at+j])
			}
			for j := range d {
				f[at+j] /= float32(math.Sqrt(norm))
			}
		}
		return f
	}
	var context []PatchFrame
	for range frames {
		labels := make([]float32, rows*cols)
		for i := range labels {
			labels[i] = random.Float32()
		}
		context = append(context, PatchFrame{features(), labels})
	}
	target := features()
	p := Propagation{Radius: 12, TopK: 5, Temperature: 0.1}
	got, err := p.Propagate(tensor.CPU(), target, rows, cols, context)
	if err != nil {
		t.Fatal(err)
	}
	type candidate struct{ similarity, label float64 }
	for i := 0; i < rows*cols; i += 7 {
		var all []candidate
		for _, f := range context {
			for j := range rows * cols {
				dy, dx := i/cols-j/cols, i%cols-j%cols
				if max(dy, -dy, dx, -dx) > p.Radius {
					continue
				}
				var dot float64
				for k := range d {
					dot += float64(target[i*d+k]) * float64(f.Features[j*d+k])
				}
				all = append(all, candidate{dot, float64(f.Labels[j])})
			}
		}
		slices.SortFunc(all, func(a, b candidate) int { return cmp.Compare(b.similarity, a.similarity) })
		if all[4].similarity-all[5].similarity < 1e-5 {
			continue // too close for float32 to tell
		}
		var sum, total float64
		for _, c := range all[:5] {
			w := math.Exp(c.similarity / p.Temperature)
			sum, total = sum+w*c.label, total+w
		}
		near(t, fmt.Sprint("patch ", i), float64(got[i]), sum/total, 1e-4)
	}
}

func TestGroundTruth(t *testing.T) {
	files, err := filepath.Glob("testdata/gnd_*.pkl")
	if err != nil || len(files) != 4 {
		t.Fatalf("%v, %v", files, err)
	}
	for _, file := range files {
		p, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		g, err := ReadGroundTruth(p)
		if err != nil {
			t.Errorf("%s: %v", file, err)
			continue
		}
		want := []Query{{"all_souls_000013", &[4]float64{10.5, 20, 300.25, 400}, []int{0, 2}, []int{3}, []int{}},
			{"all_souls_000026", &[4]float64{1, 2, 30, 40}, []int{}, []int{1, 300}, []int{4}}}
		if len(g.Images) != 301 || g.Images[300] != "oxford_000300" || !reflect.DeepEqual(g.Queries, want) {
			t.Errorf("%s: %d images, %+v", file, len(g.Images), g.Queries)
		}
		for n := range p {
			if _, err := ReadGroundTruth(p[:n]); err == nil {
				t.Fatalf("%s: the first %d of %d bytes were read", file, n, len(p))
			}
		}
	}
	g, err := ReadGroundTruth([]byte(jsonTruth))
	if err != nil {
		t.Fatal(err)
	}
	if want := []Query{{"q.jpg", &[4]float64{10, 20, 300, 400}, []int{0}, nil, []int{1}}}; !reflect.DeepEqual(g.Queries, want) {
		t.Errorf("%+v", g.Queries)
	}
}

const jsonTruth = ` {"images": ["a.jpg", "b.jpg"], "queries": [{"image": "q.jpg", "box": [10, 20, 300, 400], "easy": ["a.jpg"], "junk": ["b.jpg"]}]}`

func TestGroundTruthRefuses(t *testing.T) {
	for _, c := range []struct{ text, word string }{
		{"", "cut short"},
		{"\x80\x02cposix\nsystem\n(X\x02\x00\x00\x00lstR.", `"posix.system"`},
		{"\x80\x04\x8c\x05posix\x94\x8c\x06system\x94\x93.", `"posix.system"`},
		{"\x80\x02ccopy_reg\n_reconstructor\n(c__builtin__\nobject\nc__builtin__\nobject\nNtR.", `"copy_reg._reconstructor"`},
		{"\x80\x04N\x8c\x06system\x94]\x93.", "not written out"},
		{"\x80\x02X\x01\x00\x00\x00aQ.", "0x51"},
		{"\x80\x02}.", "imlist"},
		{"\x80\x02].", "no dictionary"},
		{`{"images": ["a"]}`, "0 queries"},
		{`{"images": ["a"], "queries": [{"image": "q", "easy": ["b"]}]}`, `"b" is not among`},
		{`{"images": ["a"], "queries": [{"image": "../q", "easy": ["a"]}]}`, "no name of an image"},
		{`{"images": ["/a"], "queries": [{"image": "q"}]}`, "no name of an image"},
		{`{"images": ["a", "a"], "queries": [{"image": "q"}]}`, "twice"},
		{`{"images": ["a"], "queries": [{"image": "q", "box": [1, 2, 3]}]}`, "3 numbers"},
		{`{"images": ["a"], "queries": [{"image": "q", "box": [3, 2, 1, 4]}]}`, "the box"},
		{`{"images": ["a"], "queries": [{"image": "q", "ok": ["a"]}]}`, "ok"},
	} {
		if g, err := ReadGroundTruth([]byte(c.text)); err == nil || !strings.Contains(err.Error(), c.word) {
			t.Errorf("%.60q: %v, %v; want an error that says %q", c.text, g, err, c.word)
		}
	}
}

func FuzzGroundTruth(f *testing.F) {
	files, _ := filepath.Glob("testdata/gnd_*.pkl")
	for _, file := range files {
		if p, err := os.ReadFile(file); err == nil {
			f.Add(p)
		}
	}
	f.Add([]byte(jsonTruth))
	f.Fuzz(func(t *testing.T, p []byte) {
		g, err := ReadGroundTruth(p)
		if err != nil {
			return
		}
		for _, q := range g.Queries {
			for _, i := range slices.Concat(q.Easy, q.Hard, q.Junk) {
				_ = g.Images[i]
			}
		}
	})
}
