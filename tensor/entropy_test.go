package tensor

import (
	"math"
	"slices"
	"testing"

	"github.com/godino-ml/godino/kernels"
)

func TestEntropyForward(t *testing.T) {
	dev := NewCPU(kernels.Reference(), 2)
	const k = 40000 // more than a chunk
	p := New(dev, 3, k)
	for i := range k {
		p.Data()[i] = 1.0 / k // uniform: ln K
	}
	p.Data()[k+7] = 1                             // one: 0
	p.Data()[2*k+1], p.Data()[2*k+2] = 0.25, 0.75 // −¼·ln ¼ − ¾·ln ¾
	want := []float64{math.Log(k), 0, 0.5623351446188083}
	h := New(dev, 3)
	EntropyForward(h, p)
	for r, w := range want {
		if !(math.Abs(float64(h.Data()[r])-w) < 1e-5) {
			t.Errorf("row %d: entropy %g, want %g", r, h.Data()[r], w)
		}
	}
}

func TestArgMaxRows(t *testing.T) {
	x := FromSlice(NewCPU(kernels.Reference(), 2), []float32{-3, -1, -2, 5, 5, 4, 0, 0, 1}, 3, 3)
	got := make([]int, 3)
	ArgMaxRows(got, x)
	if want := []int{1, 0, 2}; !slices.Equal(got, want) {
		t.Errorf("largest at %v, want %v", got, want)
	}
}
