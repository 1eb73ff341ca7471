// Package eval judges features by the protocols of the DINO paper: weighted nearest neighbours, linear classifiers, retrieval, copy detection, labels carried
// through a video with their measures J and F; and it tells signs of collapse.
//
// Letters: N images, D dimensions of a feature, C classes, k neighbours, T temperature.
//
//	results, err := eval.KNN(tensor.CPU(), train, test, 10, []int{10, 20, 100, 200}, 0.07)
//	for _, r := range results {
//		fmt.Printf("%d-NN  top-1 %.1f  top-5 %.1f\n", r.K, r.Top1, r.Top5)
//	}
//
// Results depend on the features alone: ties go to the lower index, and no sum's order depends on the number of threads.
package eval

import (
	"fmt"
	"math"
)

// Features are the features of N images, one a row, with their classes.
type Features struct {
	Data   []float32 // (N, D)
	Dim    int       // D
	Labels []int     // (N), in [0, C); nil where classes play no part
}

// Len is N.
func (f Features) Len() int {
	if f.Dim <= 0 {
		return 0
	}
	return len(f.Data) / f.Dim
}

// check refuses what would give a number without meaning. what is "training" or "test".
func (f Features) check(what string) error {
	if f.Dim <= 0 || len(f.Data) == 0 || len(f.Data)%f.Dim != 0 {
		return fmt.Errorf("%s features: %d numbers are no rows of %d", what, len(f.Data), f.Dim)
	}
	for i, v := range f.Data {
		if math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) {
			return fmt.Errorf("%s features: %v in row %d, dimension %d", what, v, i/f.Dim, i%f.Dim)
		}
	}
	return nil
}

func (f Features) checkLabels(what string, classes int) error {
	if len(f.Labels) != f.Len() {
		return fmt.Errorf("%s features: %d labels for %d rows", what, len(f.Labels), f.Len())
	}
	for i, l := range f.Labels {
		if l < 0 || l >= classes {
			return fmt.Errorf("%s features: row %d has class %d; there are %d", what, i, l, classes)
		}
	}
	return nil
}

// inverseNorms is 1/‖row‖ for each row, and 0 for a row of zeros, which then is similar to nothing.
func (f Features) inverseNorms() []float32 {
	inverse := make([]float32, f.Len())
	for i := range inverse {
		var sum float64
		for _, v := range f.Data[i*f.Dim : (i+1)*f.Dim] {
			sum += float64(v) * float64(v)
		}
		if sum > 0 {
			inverse[i] = float32(1 / math.Sqrt(sum))
		}
	}
	return inverse
}
