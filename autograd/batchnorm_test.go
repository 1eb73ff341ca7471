package autograd

import (
	"math"
	"testing"

	"github.com/godino-ml/godino/kernels"
	"github.com/godino-ml/godino/tensor"
)

func refBatchNorm(x, w, b []float64, eps float64) []float64 {
	cols := len(w)
	rows := len(x) / cols
	y := make([]float64, len(x))
	for c := range cols {
		var mean, variance float64
		for r := range rows {
			mean += x[r*cols+c] / float64(rows)
		}
		for r := range rows {
			variance += (x[r*cols+c] - mean) * (x[r*cols+c] - mean) / float64(rows)
		}
		for r := range rows {
			y[r*cols+c] = (x[r*cols+c]-mean)/math.Sqrt(variance+eps)*w[c] + b[c]
		}
	}
	return y
}

// Running statistics follow the batch with the unbiased variance, as PyTorch's.
func TestBatchNormRunningStatistics(t *testing.T) {
	dev := tensor.NewCPU(kernels.Best(), 1)
	mean, variance := tensor.New(dev, 1), tensor.FromSlice(dev, []float32{1}, 1)
	one, zero := NewConst(tensor.FromSlice(dev, []float32{1}, 1)), NewConst(tensor.New(dev, 1))
	tape := NewEvalTape(tensor.NewArena(dev))
	tape.BatchNorm(NewConst(tensor.FromSlice(dev, []float32{1, 2, 6}, 3, 1)), one, zero, mean, variance, 1e-5, 0.1)
	// Mean 3, unbiased variance (4+1+9)/2 = 7.
	if m := mean.Data()[0]; !(math.Abs(float64(m)-0.3) < 1e-6) {
		t.Errorf("running mean %g, want 0.3", m)
	}
	if v := variance.Data()[0]; !(math.Abs(float64(v)-(0.9+0.7)) < 1e-5) {
		t.Errorf("running variance %g, want 1.6", v)
	}
}
