package tensor

import (
	"math"
	"strings"
	"testing"

	"github.com/godino-ml/godino/internal/golden"
	"github.com/godino-ml/godino/kernels"
)

// TestGoldenLinear compares the forward and all gradients with PyTorch's, for every table and one and two threads.
func TestGoldenLinear(t *testing.T) {
	f := golden.Open(t, "ops.safetensors")
	var cases []string
	f.Meta("cases", &cases)
	seen := 0
	for _, table := range kernels.Tables() {
		for threads := 1; threads <= 2; threads++ {
			dev := NewCPU(table, threads)
			for _, name := range cases {
				if !strings.HasPrefix(name, "linear_") {
					continue
				}
				seen++
				get := func(s string) *Tensor {
					a := f.Get(name + "." + s)
					return FromSlice(dev, append([]float32(nil), a.Float...), a.Shape...)
				}
				x, w, bias, dy := get("x0"), get("x1"), get("x2"), get("dy")
				y := filled(dev, float32(math.NaN()), dy.Shape()...)
				LinearForward(y, x, w, bias)
				golden.Near(t, table.Name+" "+name+" y", y.data, get("y").data, 1e-5)
				dx := filled(dev, float32(math.NaN()), x.Shape()...)
				dw, dbias := New(dev, w.Shape()...), New(dev, bias.Shape()...)
				LinearBackward(dx, dw, dbias, dy, x, w, false, true)
				golden.Near(t, table.Name+" "+name+" dx", dx.data, get("dx0").data, 1e-5)
				golden.Near(t, table.Name+" "+name+" dw", dw.data, get("dx1").data, 1e-5)
				golden.Near(t, table.Name+" "+name+" dbias", dbias.data, get("dx2").data, 1e-5)
				LinearBackward(dx, nil, nil, dy, x, w, true, true)
				for i := range dx.data {
					dx.data[i] /= 2
				}
				golden.Near(t, table.Name+" "+name+" dx added", dx.data, get("dx0").data, 1e-5)
			}
			dev.pool.Close()
		}
	}
	if seen == 0 {
		t.Fatal("the golden file has no linear cases")
	}
}

func filled(dev *Device, v float32, shape ...int) *Tensor {
	t := New(dev, shape...)
	for i := range t.data {
		t.data[i] = v
	}
	return t
}

// near fails unless got is within tol of want, relative to want's largest entry.
func near(t *testing.T, what string, got, want *Tensor, tol float64) {
	t.Helper()
	if len(got.data) != len(want.data) {
		t.Fatalf("%s: %d elements, want %d", what, len(got.data), len(want.data))
	}
	largest := 0.0
	for _, v := range want.data {
		largest = max(largest, math.Abs(float64(v)))
	}
	for i := range got.data {
		if err := math.Abs(float64(got.data[i]) - float64(want.data[i])); !(err <= tol*largest) {
			t.Fatalf("%s: element %d is %g, want %g", what, i, got.data[i], want.data[i])
		}
	}
}
