package bench

import (
	"testing"

	"github.com/godino-ml/godino/kernels"
	"github.com/godino-ml/godino/tensor"
)

// Row-wise and elementwise operations, for every table of this CPU on one thread. GB/s counts the float32 that the operation must read and
// write once, whatever it reads twice: what a fused version could not avoid.

// rowsCount is the tokens of 4 images of 224×224 at patch 16: ViT-S has 384 columns for each, 1536 in the MLP.
const rowsCount = 4 * 197

func BenchmarkGELUForward(b *testing.B) {
	each(b, 2, rowsCount, 1536, func(x []*tensor.Tensor) { tensor.GELUForward(x[0], x[1]) })
}

func BenchmarkGELUBackward(b *testing.B) {
	each(b, 3, rowsCount, 1536, func(x []*tensor.Tensor) { tensor.GELUBackward(x[0], x[1], x[2], false) })
}

func BenchmarkLayerNormForward(b *testing.B) {
	each(b, 2, rowsCount, 384, func(x []*tensor.Tensor) {
		s := rowVectors(x[0])
		tensor.LayerNormForward(x[0], s.mean, s.rstd, x[1], s.w, s.b, 1e-6)
	})
}

func BenchmarkLayerNormBackward(b *testing.B) {
	each(b, 3, rowsCount, 384, func(x []*tensor.Tensor) {
		s := rowVectors(x[0])
		tensor.LayerNormBackward(x[0], s.dw, s.db, x[1], x[2], s.w, s.mean, s.rstd, false)
	})
}

func BenchmarkSoftmaxForward(b *testing.B) {
	each(b, 2, rowsCount*6, 197, func(x []*tensor.Tensor) { tensor.SoftmaxForward(x[0], x[1]) })
}

func BenchmarkSoftmaxBackward(b *testing.B) {
	each(b, 3, rowsCount*6, 197, func(x []*tensor.Tensor) { tensor.SoftmaxBackward(x[0], x[1], x[2], false) })
}

func BenchmarkTeacherSoftmax(b *testing.B) {
	each(b, 2, 8, 65536, func(x []*tensor.Tensor) {
		tensor.CenteredSoftmaxForward(x[0], x[1], x[0].Slice(0, 1), 25)
	})
}

func BenchmarkLogSoftmaxForward(b *testing.B) {
	each(b, 2, 8, 65536, func(x []*tensor.Tensor) { tensor.LogSoftmaxForward(x[0], x[1]) })
}

func BenchmarkSoftCrossEntropyForward(b *testing.B) {
	each(b, 2, 320, 256, func(x []*tensor.Tensor) {
		k := x[0].Device().Kernels()
		for r := range x[0].Rows() {
			k.SoftCrossEntropyForward(row(x[0], r), row(x[1], r), 10, k.LogSumExp(row(x[0], r), 10))
		}
	})
}

func BenchmarkSoftCrossEntropyBackward(b *testing.B) {
	each(b, 3, 320, 256, func(x []*tensor.Tensor) {
		for r := range x[0].Rows() {
			x[0].Device().Kernels().SoftCrossEntropyBackward(row(x[0], r), row(x[1], r), row(x[2], r), 10, 11, 1, 1)
		}
	})
}

func BenchmarkL2NormalizeForward(b *testing.B) {
	each(b, 2, rowsCount, 256, func(x []*tensor.Tensor) { tensor.L2NormalizeForward(x[0], rowVectors(x[0]).mean, x[1], 1e-12) })
}

func BenchmarkWeightNormForward(b *testing.B) {
	each(b, 2, 4096, 256, func(x []*tensor.Tensor) {
		for r := range x[0].Rows() {
			x[0].Device().Kernels().WeightNormForward(row(x[0], r), row(x[1], r), 1)
		}
	})
}

func BenchmarkWeightNormBackward(b *testing.B) {
	each(b, 3, 4096, 256, func(x []*tensor.Tensor) {
		for r := range x[0].Rows() {
			x[0].Device().Kernels().WeightNormBackward(row(x[0], r), row(x[1], r), row(x[2], r), 1, 1)
		}
	})
}

func BenchmarkResidual(b *testing.B) {
	each(b, 3, rowsCount, 384, func(x []*tensor.Tensor) { tensor.Residual(x[0], x[1], x[2], nil) })
}

func BenchmarkAdamW(b *testing.B) {
	c := kernels.AdamWCoefficients{Decay: 1, Beta1: 0.9, Beta2: 0.999, Rest1: 0.1, Rest2: 0.001, StepSize: 1e-9, InvSqrtBias: 1, Eps: 1e-8, GradScale: 1}
	each(b, 4, 1024, 1024, func(x []*tensor.Tensor) {
		tensor.AdamW(x[0].Device(), []tensor.AdamWStep{{P: x[0], M: x[1], V: x[2], G: x[3], AdamWCoefficients: c}})
	})
}

func BenchmarkEMA(b *testing.B) {
	each(b, 2, 1024, 1024, func(x []*tensor.Tensor) { tensor.EMA(x[0].Device(), x[:1], x[1:], 0.996) })
}

func BenchmarkSumSquares(b *testing.B) {
	each(b, 1, 1024, 1024, func(x []*tensor.Tensor) { tensor.SumSquares(x[0]) })
}

// each runs f with that many tensors of rows × cols for every table.
func each(b *testing.B, tensors, rows, cols int, f func(x []*tensor.Tensor)) {
	for _, table := range kernels.Tables() {
		b.Run(table.Name, func(b *testing.B) {
			dev := tensor.NewCPU(table, 1)
			var x []*tensor.Tensor
			for i := range tensors {
				t := tensor.New(dev, rows, cols)
				for j := range t.Data() {
					t.Data()[j] = tensor.Uniform(uint64(i), uint64(j))
				}
				x = append(x, t)
			}
			b.SetBytes(int64(tensors * rows * cols * 4))
			b.ReportAllocs()
			for b.Loop() {
				f(x)
			}
			b.ReportMetric(float64(tensors*rows*cols*4)*float64(b.N)/b.Elapsed().Seconds()/1e9, "GB/s")
		})
	}
}

// row is one row of x.
func row(x *tensor.Tensor, r int) []float32 {
	n := x.Cols()
	return x.Data()[r*n : (r+1)*n]
}

// vectors are what row-wise operations keep for every row or column.
type vectors struct{ mean, rstd, w, b, dw, db *tensor.Tensor }

// rowVectors are those of a tensor, made once.
func rowVectors(x *tensor.Tensor) vectors {
	if v, ok := vectorsOf[x]; ok {
		return v
	}
	row, col := func() *tensor.Tensor { return tensor.New(x.Device(), x.Rows()) }, func() *tensor.Tensor { return tensor.New(x.Device(), x.Cols()) }
	v := vectors{row(), row(), col(), col(), col(), col()}
	for _, t := range []*tensor.Tensor{v.mean, v.rstd, v.w} {
		tensor.Fill(t, 1)
	}
	vectorsOf[x] = v
	return v
}

var vectorsOf = map[*tensor.Tensor]vectors{}
