package measure

import (
	"github.com/godino-ml/godino/kernels"
	"github.com/godino-ml/godino/tensor"
)

// RowOperation is an operation on rows or elements. What bounds it is the bandwidth of the memory where its data lie, or what its arithmetic
// takes, if that is slower: exponentials at the rate of the table's exp in the first-level cache, other multiply-adds at the ceiling.
type RowOperation struct {
	Name string
	// How many tensors of rows×cols it reads and writes, each once, whatever it reads twice; those that it does both with count twice. They
	// follow the written ones in x.
	tensors, reads, writes int
	cols                   int
	exps, fmas             float64 // an element
	do                     func(x []*tensor.Tensor, v vectors)
}

// RowOperations are those of training.
var RowOperations = []RowOperation{
	// GELU is an exponential, a division and 22 (26) multiply-adds beside it.
	{"GELUForward", 2, 1, 1, 1536, 1, 16, func(x []*tensor.Tensor, v vectors) { tensor.GELUForward(x[0], x[1]) }},
	{"GELUBackward", 3, 2, 1, 1536, 1, 18, func(x []*tensor.Tensor, v vectors) { tensor.GELUBackward(x[0], x[1], x[2], false) }},
	{"LayerNormForward", 2, 1, 1, 384, 0, 0, func(x []*tensor.Tensor, v vectors) {
		tensor.LayerNormForward(x[0], v.mean, v.rstd, x[1], v.w, v.b, 1e-6)
	}},
	{"LayerNormBackward", 3, 2, 1, 384, 0, 0, func(x []*tensor.Tensor, v vectors) {
		tensor.LayerNormBackward(x[0], v.dw, v.db, x[1], x[2], v.w, v.mean, v.rstd, false)
	}},
	{"SoftmaxForward", 2, 1, 1, 197, 1, 0, func(x []*tensor.Tensor, v vectors) { tensor.SoftmaxForward(x[0], x[1]) }},
	{"SoftmaxBackward", 3, 2, 1, 197, 0, 0, func(x []*tensor.Tensor, v vectors) { tensor.SoftmaxBackward(x[0], x[1], x[2], false) }},
	{"TeacherSoftmax", 2, 1, 1, 65536, 1, 0, func(x []*tensor.Tensor, v vectors) {
		tensor.CenteredSoftmaxForward(x[0], x[1], v.b, tensor.Scalar(x[0].Device(), 25), nil, nil)
	}},
	{"LogSoftmaxForward", 2, 1, 1, 65536, 1, 0, func(x []*tensor.Tensor, v vectors) { tensor.LogSoftmaxForward(x[0], x[1]) }},
	{"SoftCrossEntropyForward", 2, 2, 0, 256, 1, 0, func(x []*tensor.Tensor, v vectors) {
		k := x[0].Device().Kernels()
		eachRows(x[0], func(from, to int) {
			k.LogSumExp(v.mean.Data()[from:to], x[0].Data()[from*x[0].Cols():to*x[0].Cols()], 10)
			for r := from; r < to; r++ {
				k.SoftCrossEntropyForward(row(x[0], r), row(x[1], r), 10, v.mean.Data()[r])
			}
		})
	}},
	{"SoftCrossEntropyBackward", 3, 3, 1, 256, 1, 0, func(x []*tensor.Tensor, v vectors) {
		eachRow(x[0], func(r int) {
			x[0].Device().Kernels().SoftCrossEntropyBackward(row(x[0], r), row(x[1], r), row(x[2], r), 10, 11, 1, 1)
		})
	}},
	{"L2NormalizeForward", 2, 1, 1, 256, 0, 0, func(x []*tensor.Tensor, v vectors) { tensor.L2NormalizeForward(x[0], v.mean, x[1], 1e-12) }},
	{"L2NormalizeBackward", 3, 2, 1, 256, 0, 0, func(x []*tensor.Tensor, v vectors) {
		tensor.L2NormalizeBackward(x[0], x[1], x[2], v.mean, 1e-12, false)
	}},
	{"WeightNormForward", 2, 1, 1, 256, 0, 0, func(x []*tensor.Tensor, v vectors) {
		eachRow(x[0], func(r int) {
			x[0].Device().Kernels().WeightNormForward(row(x[0], r), row(x[1], r), 1)
		})
	}},
	{"WeightNormBackward", 3, 3, 1, 256, 0, 0, func(x []*tensor.Tensor, v vectors) {
		eachRow(x[0], func(r int) {
			x[0].Device().Kernels().WeightNormBackward(row(x[0], r), row(x[1], r), row(x[2], r), 1, 1)
		})
	}},
	{"Residual", 3, 2, 1, 384, 0, 0, func(x []*tensor.Tensor, v vectors) { tensor.Residual(x[0], x[1], x[2], nil) }},
	{"AdamW", 4, 4, 3, 1024, 0, 0, func(x []*tensor.Tensor, v vectors) {
		tensor.AdamW(x[0].Device(), []tensor.AdamWStep{{P: x[0], M: x[1], V: x[2], G: x[3], AdamWCoefficients: adamW}})
	}},
	{"AdamWEMA", 5, 5, 4, 1024, 0, 0, func(x []*tensor.Tensor, v vectors) {
		tensor.AdamW(x[0].Device(), []tensor.AdamWStep{{P: x[0], M: x[1], V: x[2], G: x[3], T: x[4], AdamWCoefficients: adamW}})
	}},
	{"EMA", 2, 2, 1, 1024, 0, 0, func(x []*tensor.Tensor, v vectors) {
		tensor.EMA(x[0].Device(), x[:1], x[1:], tensor.Scalar(x[0].Device(), 0.996))
	}},
	{"SumSquares", 1, 1, 0, 1024, 0, 0, func(x []*tensor.Tensor, v vectors) { tensor.SumSquares(x[0]) }},
}

var adamW = kernels.AdamWCoefficients{Decay: 1, Beta1: 0.9, Beta2: 0.999, Rest1: 0.1, Rest2: 0.001, StepSize: 1e-9, InvSqrtBias: 1, Eps: 1e-8, GradScale: 1, Momentum: 0.996}

// Work is the operation on data of that level, shared among the device's threads.
func (o *RowOperation) Work(dev *tensor.Device, l Level) Work {
	rows := max(1, dev.Threads()*l.Bytes/(4*o.tensors*o.cols))
	var x []*tensor.Tensor
	for i := range o.tensors {
		t := tensor.New(dev, rows, o.cols)
		for j := range t.Data() {
			t.Data()[j] = tensor.Uniform(uint64(i), uint64(j&0xffff))
		}
		x = append(x, t)
	}
	v := newVectors(dev, rows, o.cols)
	elements := float64(rows * o.cols)
	return Work{Name: o.Name, Do: func() { o.do(x, v) }, Bytes: 4 * float64(o.reads+o.writes) * elements, Exps: o.exps * elements}
}

// Bound is the rate in GB/s that it cannot exceed.
func (o *RowOperation) Bound(b *Bounds, l Level) float64 {
	w := b.Bandwidth(l)
	bytes := 4 * float64(o.reads+o.writes)
	// Nanoseconds an element, at least.
	least := bytes / w.Read
	switch {
	case o.writes > 0 && o.reads+o.writes > o.tensors: // what it writes it has read
		least = bytes / w.Update
	case o.writes > 0:
		least = (bytes + 4*float64(o.writes)) / (1.5 * w.Copy)
	}
	if o.exps > 0 {
		least = max(least, o.exps/b.Exp()+2*o.fmas/Ceiling(b.dev))
	}
	return bytes / least
}

// eachRow calls f for every row on the device's threads.
func eachRow(x *tensor.Tensor, f func(r int)) {
	eachRows(x, func(from, to int) {
		for r := from; r < to; r++ {
			f(r)
		}
	})
}

// eachRows calls f for ranges [from, to) of rows on the device's threads.
func eachRows(x *tensor.Tensor, f func(from, to int)) {
	const chunk = 32 // rows
	rows := x.Rows()
	x.Device().Run((rows+chunk-1)/chunk, func(c, _ int) { f(c*chunk, min((c+1)*chunk, rows)) })
}

func row(x *tensor.Tensor, r int) []float32 { return x.Data()[r*x.Cols() : (r+1)*x.Cols()] }

// vectors are what row-wise operations keep for every row or column.
type vectors struct{ mean, rstd, w, b, dw, db *tensor.Tensor }

func newVectors(dev *tensor.Device, rows, cols int) vectors {
	row, col := func() *tensor.Tensor { return tensor.New(dev, rows) }, func() *tensor.Tensor { return tensor.New(dev, cols) }
	v := vectors{row(), row(), col(), col(), col(), col()}
	for _, t := range []*tensor.Tensor{v.mean, v.rstd, v.w} {
		tensor.Fill(t, 1)
	}
	return v
}
