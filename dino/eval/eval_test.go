package eval

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/godino-ml/godino/internal/golden"
	"github.com/godino-ml/godino/kernels"
	"github.com/godino-ml/godino/tensor"
)

func TestGoldenKNN(t *testing.T) {
	g := golden.Open(t, "knn.safetensors")
	temperature, err := strconv.ParseFloat(g.Metadata["temperature"], 64)
	if err != nil {
		t.Fatal(err)
	}
	var accuracy map[string][2]float64
	g.Meta("top1_top5_by_k", &accuracy)
	load := func(name string) Features {
		a := g.Get(name)
		f := Features{Data: a.Float, Dim: a.Shape[1]}
		for _, l := range g.Get(name + "_labels").Int {
			f.Labels = append(f.Labels, int(l))
		}
		return f
	}
	train, test := load("train"), load("test")
	var ks []int
	classes := 0
	for name := range accuracy {
		k, err := strconv.Atoi(name)
		if err != nil {
			t.Fatal(err)
		}
		ks = append(ks, k)
		classes = g.Get("k" + name + ".votes").Shape[1]
	}
	slices.Sort(ks)
	for _, table := range kernels.Tables() {
		results, err := KNN(tensor.NewCPU(table, 2), train, test, classes, ks, temperature)
		if err != nil {
			t.Fatal(err)
		}
		compareGoldenKNN(t, g, accuracy, results, train, test)
	}
}

// compareGoldenKNN allows for what float32 leaves open in the file: which of two training images as near as each other is the last
// neighbour, and the order of classes without votes, which only a top-5 of few neighbours can show.
func compareGoldenKNN(t *testing.T, g *golden.File, accuracy map[string][2]float64, results []KNNResult, train, test Features) {
	n := len(test.Labels)
	for _, r := range results {
		name := fmt.Sprint(r.K)
		want, pred, votes := accuracy[name], g.Get("k"+name+".pred").Int, g.Get("k"+name+".votes").Float
		classes := len(votes) / n
		open, low5, high5 := 0, 0, 0
		for i := range n {
			ours, theirs := r.VotesOf(i), votes[i*classes:(i+1)*classes]
			ahead, level := 0, 0 // of the true class
			for _, v := range ours {
				switch label := ours[test.Labels[i]]; {
				case v > label:
					ahead++
				case v == label:
					level++
				}
			}
			if ahead < 5 {
				high5++
			}
			if ahead+level-1 < 5 {
				low5++
			}
			if lastIsOpen(train, test, i, r.K) {
				open++
				continue
			}
			if r.Predicted[i] != int(pred[i]) {
				t.Errorf("k %s: test image %d: class %d, want %d", name, i, r.Predicted[i], pred[i])
			}
			for c, v := range theirs {
				// A cosine is off by some 1e-7, which exp(·/T) makes 1/T times as large, relatively.
				if !(math.Abs(ours[c]-float64(v)) <= 1e-5*(1+math.Abs(float64(v)))) {
					t.Errorf("k %s: test image %d: %v votes for class %d, want %v", name, i, ours[c], c, v)
				}
			}
		}
		if open > 1+n/50 {
			t.Errorf("k %s: %d of %d test images have no certain last neighbour", name, open, n)
		}
		slack := 100*float64(open)/float64(n) + 1e-9
		if !(math.Abs(r.Top1-want[0]) <= slack) {
			t.Errorf("k %s: top-1 %v, want %v", name, r.Top1, want[0])
		}
		low, high := 100*float64(low5)/float64(n), 100*float64(high5)/float64(n)
		if !(want[1] >= low-slack && want[1] <= high+slack) || !(r.Top5 >= low && r.Top5 <= high) {
			t.Errorf("k %s: top-5 %v, want %v, from %v to %v", name, r.Top5, want[1], low, high)
		}
	}
}

// lastIsOpen says whether neighbours k and k+1 of a test image are as near as float32 can tell.
func lastIsOpen(train, test Features, i, k int) bool {
	if k >= train.Len() {
		return false
	}
	similarity := make([]float64, train.Len())
	for j := range similarity {
		similarity[j] = cosine(test.Data[i*test.Dim:(i+1)*test.Dim], train.Data[j*train.Dim:(j+1)*train.Dim])
	}
	slices.Sort(similarity)
	slices.Reverse(similarity)
	return similarity[k-1]-similarity[k] < 1e-6
}

func random(n, d, classes int, seed uint64) Features {
	r := rand.New(rand.NewPCG(seed, 1))
	f := Features{Data: make([]float32, n*d), Dim: d, Labels: make([]int, n)}
	for i := range f.Data {
		f.Data[i] = float32(r.NormFloat64())
	}
	for i := range f.Labels {
		f.Labels[i] = r.IntN(classes)
	}
	return f
}

// Sizes around the blocks, against a full sort in float64.
func TestNearestAgainstSort(t *testing.T) {
	for _, c := range []struct{ queries, bank, dim, k int }{{1, 1, 1, 1}, {3, 7, 5, 7}, {queryBlock + 1, 9, 3, 4}, {5, bankBlock + 3, 4, 20}} {
		q, b := random(c.queries, c.dim, 1, 2), random(c.bank, c.dim, 1, 3)
		got, err := Nearest(tensor.CPU(), q, b, c.k)
		if err != nil {
			t.Fatal(err)
		}
		for i := range c.queries {
			cosines := make([]float64, c.bank)
			for j := range cosines {
				cosines[j] = cosine(q.Data[i*c.dim:(i+1)*c.dim], b.Data[j*c.dim:(j+1)*c.dim])
			}
			sorted := slices.SortedFunc(slices.Values(cosines), func(a, b float64) int { return cmp.Compare(b, a) })
			for j := range c.k {
				s, index := float64(got.Similarity[i*c.k+j]), got.Index[i*c.k+j]
				if !(math.Abs(s-sorted[j]) <= 1e-5) || !(math.Abs(s-cosines[index]) <= 1e-5) {
					t.Fatalf("%v: query %d neighbour %d: %v (row %d, %v), want %v", c, i, j, s, index, cosines[index], sorted[j])
				}
			}
		}
	}
}

func cosine(a, b []float32) float64 {
	var ab, aa, bb float64
	for i := range a {
		ab += float64(a[i]) * float64(b[i])
		aa += float64(a[i]) * float64(a[i])
		bb += float64(b[i]) * float64(b[i])
	}
	return ab / math.Sqrt(aa*bb)
}

func TestTiesGoToTheLowerIndex(t *testing.T) {
	bank := Features{Data: []float32{0, 1, 1, 0, 2, 0, 0, -1, 3, 0}, Dim: 2} // rows 1, 2 and 4 point the same way
	got, err := Nearest(tensor.CPU(), Features{Data: []float32{5, 0}, Dim: 2}, bank, 4)
	if err != nil {
		t.Fatal(err)
	}
	if want := []int32{1, 2, 4, 0}; !slices.Equal(got.Index, want) {
		t.Errorf("got %v, want %v", got.Index, want)
	}
}

func TestSameForAnyThreads(t *testing.T) {
	train, test := random(3000, 16, 4, 1), random(700, 16, 4, 2)
	run := func(threads int) []KNNResult {
		r, err := KNN(tensor.NewCPU(kernels.Best(), threads), train, test, 4, []int{5, 20}, 0.07)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	a, b := run(1), run(3)
	for i := range a {
		if !slices.Equal(a[i].Votes, b[i].Votes) {
			t.Errorf("k %d: votes differ between 1 and 3 threads", a[i].K)
		}
	}
}

// The reference fails on fewer than 100 test images, on k beyond the training set, and on other than 1000 classes.
func TestFewImagesFewClasses(t *testing.T) {
	train := Features{Data: []float32{1, 0, 0, 1, -1, 0}, Dim: 2, Labels: []int{0, 1, 2}}
	test := Features{Data: []float32{2, 0.1, 0.1, 3}, Dim: 2, Labels: []int{0, 2}}
	results, err := KNN(tensor.CPU(), train, test, 3, []int{200, 1}, 0.07)
	if err != nil {
		t.Fatal(err)
	}
	r := results[0]
	if r.K != 3 || r.Note == "" || r.Ranks != 3 || r.Top1 != 50 || r.Top5 != 100 || !slices.Equal(r.Predicted, []int{0, 1}) {
		t.Errorf("got %+v", r)
	}
	want := math.Exp(cosine(test.Data[:2], train.Data[:2]) / 0.07)
	if !(math.Abs(r.VotesOf(0)[0]-want) <= 1e-5*want) {
		t.Errorf("vote %v, want %v", r.VotesOf(0)[0], want)
	}
	if results[1].K != 1 || results[1].Note != "" {
		t.Errorf("got %+v", results[1])
	}
}

func TestKNNRefuses(t *testing.T) {
	good := func() Features { return Features{Data: []float32{1, 2, 3, 4}, Dim: 2, Labels: []int{0, 1}} }
	nan := good()
	nan.Data[3] = float32(math.NaN())
	label := good()
	label.Labels[1] = 7
	few := good()
	few.Labels = few.Labels[:1]
	wide := Features{Data: []float32{1, 2, 3}, Dim: 3, Labels: []int{0}}
	for _, c := range []struct {
		what        string
		train, test Features
		ks          []int
		temperature float64
		say         string
	}{
		{"NaN", nan, good(), []int{1}, .07, "row 1, dimension 1"},
		{"label", good(), label, []int{1}, .07, "row 1 has class 7"},
		{"labels", few, good(), []int{1}, .07, "1 labels for 2 rows"},
		{"dimensions", good(), wide, []int{1}, .07, "3 and of 2 dimensions"},
		{"empty", Features{Dim: 2}, good(), []int{1}, .07, "0 numbers"},
		{"k", good(), good(), []int{5, 0}, .07, "from 1 on"},
		{"no k", good(), good(), nil, .07, "from 1 on"},
		{"temperature", good(), good(), []int{1}, math.NaN(), "temperature"},
	} {
		_, err := KNN(tensor.CPU(), c.train, c.test, 2, c.ks, c.temperature)
		if err == nil || !strings.Contains(err.Error(), c.say) {
			t.Errorf("%s: %v", c.what, err)
		}
	}
}

func TestSpread(t *testing.T) {
	const d = 8
	one, all := Features{Dim: d}, Features{Dim: d}
	for i := range 4 * d {
		for j := range d {
			one.Data = append(one.Data, float32((i+1)*(j+1)))
			v := float32(0)
			if i%d == j {
				v = float32(1 - 2*(i/d%2)) // ±1, so that the mean is 0
			}
			all.Data = append(all.Data, v)
		}
	}
	s, err := MeasureSpread(one)
	if err != nil || !(math.Abs(s.EffectiveRank-1) <= 1e-4) || !(s.Std <= 1e-6) {
		t.Errorf("one direction: %+v, %v", s, err)
	}
	s, err = MeasureSpread(all)
	if err != nil || !(math.Abs(s.EffectiveRank-d) <= 1e-4) || !(math.Abs(s.Std-s.EvenStd) <= 1e-6) {
		t.Errorf("all directions: %+v, %v", s, err)
	}
	s, err = MeasureSpread(random(3, 10, 1, 1)) // fewer rows than dimensions
	if err != nil || !(s.EffectiveRank > 1.5 && s.EffectiveRank <= 3+1e-9) {
		t.Errorf("three rows: %+v, %v", s, err)
	}
	s, err = MeasureSpread(random(2*maxSpectrumRows+5, 4, 1, 1))
	if err != nil || !(s.EffectiveRank > 3.9) {
		t.Errorf("many rows: %+v, %v", s, err)
	}
	if s, err = MeasureSpread(Features{Data: make([]float32, 8), Dim: 4}); err != nil || math.IsNaN(s.EffectiveRank) {
		t.Errorf("zeros: %+v, %v", s, err)
	}
}
