package main

import (
	"math"
	"testing"

	"github.com/godino-ml/godino/dino/eval"
	"github.com/godino-ml/godino/tensor"
)

// TestTrain: the head learns four corners of a square, two to a class, which no linear classifier tells apart.
func TestTrain(t *testing.T) {
	f := eval.Features{Data: []float32{1, 1, -1, -1, 1, -1, -1, 1}, Dim: 2, Labels: []int{0, 0, 1, 1}}
	var first, last float64
	correct := 0
	train(f, 2, 60, func(step int, loss float64, right int) {
		if step == 0 {
			first = loss
		}
		last, correct = loss, right
	})
	if !(last < first/4) || correct != 4 {
		t.Errorf("loss %.4f at first, %.4f at last, %d of 4 correct", first, last, correct)
	}
}

// TestOneAgainstAll: the gradient is the slope of the loss.
func TestOneAgainstAll(t *testing.T) {
	const h = 1. / 64
	labels, dz := []int{2, 0}, make([]float32, 6)
	z := make([]float32, 6)
	for i, r := 0, tensor.Stream(1); i < len(z); i++ {
		z[i] = float32(math.Round(r.NormFloat64()*64) / 64) // so that z ± h is exact
	}
	oneAgainstAll(dz, z, labels, 3)
	for i := range z {
		at := func(v float32) float64 {
			x := append([]float32(nil), z...)
			x[i] = v
			return oneAgainstAll(make([]float32, 6), x, labels, 3)
		}
		want := (at(z[i]+h) - at(z[i]-h)) / (2 * h)
		if !(math.Abs(float64(dz[i])-want) <= 1e-4) {
			t.Errorf("gradient of logit %d: %g, slope %g", i, dz[i], want)
		}
	}
}
