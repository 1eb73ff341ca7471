package eval

import (
	"fmt"
	"math"
)

// Void marks pixels of an annotation that do not count.
const Void = 255

// Mask is a picture of object numbers: 0 background, 1, 2, … objects, Void unknown.
type Mask struct {
	W, H   int
	Labels []uint8 // (H, W)
}

// boundaryTolerance is how far apart boundaries may be and still match, as a share of the picture's diagonal.
const boundaryTolerance = 0.008

// RegionSimilarity is J, the intersection over union of an object in an annotation and in a result; 1 where it is in neither. Void pixels of
// the annotation do not count.
func RegionSimilarity(truth, result Mask, object uint8) float64 {
	checkMasks(truth, result)
	inter, union := 0, 0
	for i, l := range truth.Labels {
		if l == Void {
			continue
		}
		a, b := l == object, result.Labels[i] == object
		if a && b {
			inter++
		}
		if a || b {
			union++
		}
	}
	if union == 0 {
		return 1
	}
	return float64(inter) / float64(union)
}

// BoundaryAccuracy is F, the harmonic mean of the precision and the recall of an object's boundary pixels, each matched within a disk of
// ⌈0.008·diagonal⌉ pixels, as davis2017-evaluation computes it (Perazzi et al. 2016; Martin et al. 2004).
func BoundaryAccuracy(truth, result Mask, object uint8) float64 {
	checkMasks(truth, result)
	radius := int(math.Ceil(boundaryTolerance * math.Hypot(float64(truth.W), float64(truth.H))))
	fg, gt := boundary(result, truth, object), boundary(truth, truth, object)
	nFG, nGT := countTrue(fg), countTrue(gt)
	switch {
	case nFG == 0 && nGT == 0:
		return 1
	case nFG == 0 || nGT == 0: // one of precision and recall is 0
		return 0
	}
	precision := float64(matched(fg, gt, truth.W, truth.H, radius)) / float64(nFG)
	recall := float64(matched(gt, fg, truth.W, truth.H, radius)) / float64(nGT)
	if precision+recall == 0 {
		return 0
	}
	return 2 * precision * recall / (precision + recall)
}

func checkMasks(a, b Mask) {
	if a.W != b.W || a.H != b.H || len(a.Labels) != a.W*a.H || len(b.Labels) != b.W*b.H {
		panic(fmt.Sprintf("eval: masks of %d×%d and of %d×%d pixels", a.W, a.H, b.W, b.H))
	}
}

// boundary marks pixels that differ from the one to the right, below, or both: a line one pixel wide. The last row and column look along
// themselves only. Where truth is void there is nothing.
func boundary(m, truth Mask, object uint8) []bool {
	w, h := m.W, m.H
	in := func(x, y int) bool { return m.Labels[y*w+x] == object && truth.Labels[y*w+x] != Void }
	b := make([]bool, w*h)
	for y := range h {
		for x := range w {
			v := in(x, y)
			right, below := x+1 < w, y+1 < h
			b[y*w+x] = right && in(x+1, y) != v || below && in(x, y+1) != v || right && below && in(x+1, y+1) != v
		}
	}
	return b
}

func countTrue(b []bool) (n int) {
	for _, v := range b {
		if v {
			n++
		}
	}
	return n
}

// matched counts the pixels of a within radius of one of b.
func matched(a, b []bool, w, h, radius int) (n int) {
	near := make([]bool, w*h)
	reach := make([]int, radius+1) // half-width of the disk, by distance from its middle row
	for dy := range reach {
		reach[dy] = int(math.Sqrt(float64(radius*radius - dy*dy)))
	}
	for y := range h {
		for x := range w {
			if !b[y*w+x] {
				continue
			}
			for v := max(0, y-radius); v <= min(h-1, y+radius); v++ {
				dx := reach[max(v-y, y-v)]
				row := near[v*w : (v+1)*w]
				for u := max(0, x-dx); u <= min(w-1, x+dx); u++ {
					row[u] = true
				}
			}
		}
	}
	for i, v := range a {
		if v && near[i] {
			n++
		}
	}
	return n
}

// Statistics of a measure over the frames of one object.
type Statistics struct {
	Mean   float64 `json:"mean"`
	Recall float64 `json:"recall"` // share of frames above ½
	Decay  float64 `json:"decay"`  // mean of the first quarter of the frames less that of the last
}

// OverFrames computes them as davis2017-evaluation does. Its quarters share their border frames; its frame numbers overflow a byte in
// sequences of more than 256 frames, these do not.
func OverFrames(values []float64) Statistics {
	var s Statistics
	n := len(values)
	if n == 0 {
		return Statistics{math.NaN(), math.NaN(), math.NaN()}
	}
	for _, v := range values {
		s.Mean += v / float64(n)
		if v > 0.5 {
			s.Recall += 1 / float64(n)
		}
	}
	edge := func(i int) int { return int(math.RoundToEven(1+float64(i)*float64(n-1)/4+1e-10)) - 1 }
	mean := func(part []float64) (m float64) {
		for _, v := range part {
			m += v / float64(len(part))
		}
		return m
	}
	s.Decay = mean(values[edge(0):edge(1)+1]) - mean(values[edge(3):edge(4)+1])
	return s
}

// SegmentationScore is J and F of one object of a sequence.
type SegmentationScore struct {
	Sequence string     `json:"sequence"`
	Object   int        `json:"object"`
	J        Statistics `json:"j"`
	F        Statistics `json:"f"`
}

// JF is the mean of J and F.
func (s SegmentationScore) JF() float64 { return (s.J.Mean + s.F.Mean) / 2 }

// Segmentation judges the masks of a sequence, for each of objects 1, …, objects. The first frame, which is given, and the last do not count,
// as in the semi-supervised DAVIS challenge.
func Segmentation(sequence string, truth, result []Mask, objects int) ([]SegmentationScore, error) {
	if len(truth) != len(result) || len(truth) < 3 {
		return nil, fmt.Errorf("%s: %d annotations and %d results; the same number, 3 or more, is needed: the first and the last frame do not count",
			sequence, len(truth), len(result))
	}
	if objects < 1 || objects >= Void {
		return nil, fmt.Errorf("%s: %d objects", sequence, objects)
	}
	for i := range truth {
		if truth[i].W != result[i].W || truth[i].H != result[i].H {
			return nil, fmt.Errorf("%s, frame %d: an annotation of %d×%d and a result of %d×%d pixels", sequence, i, truth[i].W, truth[i].H, result[i].W, result[i].H)
		}
	}
	scores := make([]SegmentationScore, objects)
	for o := range scores {
		var j, f []float64
		for i := 1; i < len(truth)-1; i++ {
			j = append(j, RegionSimilarity(truth[i], result[i], uint8(o+1)))
			f = append(f, BoundaryAccuracy(truth[i], result[i], uint8(o+1)))
		}
		scores[o] = SegmentationScore{Sequence: sequence, Object: o + 1, J: OverFrames(j), F: OverFrames(f)}
	}
	return scores, nil
}

// MeanScore is the mean over objects, of whatever sequence.
func MeanScore(scores []SegmentationScore) (m SegmentationScore) {
	n := float64(len(scores))
	for _, s := range scores {
		m.J.Mean += s.J.Mean / n
		m.J.Recall += s.J.Recall / n
		m.J.Decay += s.J.Decay / n
		m.F.Mean += s.F.Mean / n
		m.F.Recall += s.F.Recall / n
		m.F.Decay += s.F.Decay / n
	}
	return m
}
