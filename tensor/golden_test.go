package tensor

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/godino-ml/godino/internal/golden"
	"github.com/godino-ml/godino/kernels"
)

// goldenRows are the row-wise operations against PyTorch: run computes y and the gradients of the inputs xs from dy.
var goldenRows = []struct {
	prefix string
	run    func(y, dy *Tensor, xs, dxs []*Tensor)
}{
	{"gelu", func(y, dy *Tensor, xs, dxs []*Tensor) {
		GELUForward(y, xs[0])
		GELUBackward(dxs[0], dy, xs[0], false)
	}},
	{"softmax", func(y, dy *Tensor, xs, dxs []*Tensor) {
		SoftmaxForward(y, xs[0])
		SoftmaxBackward(dxs[0], dy, y, false)
	}},
	{"log_softmax", func(y, dy *Tensor, xs, dxs []*Tensor) {
		LogSoftmaxForward(y, xs[0])
		LogSoftmaxBackward(dxs[0], dy, y, false)
	}},
	{"layernorm", func(y, dy *Tensor, xs, dxs []*Tensor) {
		mean, rstd := New(y.dev, y.Rows()), New(y.dev, y.Rows())
		LayerNormForward(y, mean, rstd, xs[0], xs[1], xs[2], goldenLayerNormEps)
		Fill(dxs[1], 0)
		Fill(dxs[2], 0)
		LayerNormBackward(dxs[0], dxs[1], dxs[2], dy, xs[0], xs[1], mean, rstd, false)
	}},
	{"l2_normalize", func(y, dy *Tensor, xs, dxs []*Tensor) {
		norm := New(y.dev, y.Rows())
		L2NormalizeForward(y, norm, xs[0], 1e-12)
		L2NormalizeBackward(dxs[0], dy, y, norm, 1e-12, false)
	}},
	{"weight_norm_linear", func(y, dy *Tensor, xs, dxs []*Tensor) {
		x, g, v := xs[0], xs[1], xs[2]
		PrototypesForward(nil, y, x, v, g)
		Fill(dxs[1], 0)
		Fill(dxs[2], 0)
		PrototypesBackward(nil, dxs[0], dxs[2], dxs[1], dy, x, v, g, false, true)
	}},
}

// goldenLayerNormEps is the eps of the layer norms in the golden file: that of the backbone.
const goldenLayerNormEps = 1e-6

func TestGoldenRows(t *testing.T) {
	f := golden.Open(t, "ops.safetensors")
	var cases []string
	f.Meta("cases", &cases)
	for _, table := range kernels.Tables() {
		dev := NewCPU(table, 2)
		found := 0
		for _, name := range cases {
			for _, op := range goldenRows {
				if !strings.HasPrefix(name, op.prefix) {
					continue
				}
				found++
				t.Run(table.Name+"/"+name, func(t *testing.T) {
					get := func(part string) *Tensor {
						a := f.Get(name + "." + part)
						return FromSlice(dev, a.Float, a.Shape...)
					}
					wantY, dy := get("y"), get("dy")
					var xs, dxs []*Tensor
					for i := 0; f.Has(fmt.Sprintf("%s.x%d", name, i)); i++ {
						x := get(fmt.Sprintf("x%d", i))
						dx := New(dev, x.shape...)
						Fill(dx, float32(math.NaN())) // undefined memory: must be overwritten
						xs, dxs = append(xs, x), append(dxs, dx)
					}
					y := New(dev, wantY.shape...)
					Fill(y, float32(math.NaN()))
					op.run(y, dy, xs, dxs)
					golden.Near(t, "y", y.data, wantY.data, 2e-6)
					for i, dx := range dxs {
						part := fmt.Sprintf("dx%d", i)
						golden.Near(t, part, dx.data, get(part).data, 1e-5)
					}
				})
			}
		}
		if found < len(goldenRows) {
			t.Errorf("%d golden cases of row-wise operations, want at least %d", found, len(goldenRows))
		}
		dev.pool.Close()
	}
}
