package bench

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/godino-ml/godino/kernels"
	"github.com/godino-ml/godino/tensor"
)

// Row-wise and elementwise operations, for every table of this CPU on one thread, with data in the second-level cache, in the last and in
// memory: a training step's activations come from the last two.
//
// GB/s counts the float32 that an operation must read and write once, whatever it reads twice. The bound is what the machine gives, measured
// in the same run: the bandwidth of that level, or what its arithmetic takes, if that is slower: exponentials at the rate of the table's exp in
// the first-level cache, other multiply-adds at the ceiling. Bandwidth is that of Σx for operations that only read, of y += a·x for those that
// write what they have read, and of y = x for those that write something new: a cache fetches what is going to be overwritten, so there three
// bytes move for two that count.

// rowsCase is one operation.
type rowsCase struct {
	name string
	// How many tensors of rows×cols it reads and writes; those that it does both with count twice. They follow the written ones in x.
	tensors, reads, writes int
	cols                   int
	exps, fmas             float64 // an element
	f                      func(x []*tensor.Tensor, v vectors)
}

var rowsCases = []rowsCase{
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
	{"TeacherSoftmax", 2, 1, 1, 65536, 1, 0, func(x []*tensor.Tensor, v vectors) { tensor.CenteredSoftmaxForward(x[0], x[1], v.b, 25) }},
	{"LogSoftmaxForward", 2, 1, 1, 65536, 1, 0, func(x []*tensor.Tensor, v vectors) { tensor.LogSoftmaxForward(x[0], x[1]) }},
	{"SoftCrossEntropyForward", 2, 2, 0, 256, 1, 0, func(x []*tensor.Tensor, v vectors) {
		k := x[0].Device().Kernels()
		for r := range x[0].Rows() {
			k.SoftCrossEntropyForward(row(x[0], r), row(x[1], r), 10, k.LogSumExp(row(x[0], r), 10))
		}
	}},
	{"SoftCrossEntropyBackward", 3, 3, 1, 256, 1, 0, func(x []*tensor.Tensor, v vectors) {
		for r := range x[0].Rows() {
			x[0].Device().Kernels().SoftCrossEntropyBackward(row(x[0], r), row(x[1], r), row(x[2], r), 10, 11, 1, 1)
		}
	}},
	{"L2NormalizeForward", 2, 1, 1, 256, 0, 0, func(x []*tensor.Tensor, v vectors) { tensor.L2NormalizeForward(x[0], v.mean, x[1], 1e-12) }},
	{"L2NormalizeBackward", 3, 2, 1, 256, 0, 0, func(x []*tensor.Tensor, v vectors) {
		tensor.L2NormalizeBackward(x[0], x[1], x[2], v.mean, 1e-12, false)
	}},
	{"WeightNormForward", 2, 1, 1, 256, 0, 0, func(x []*tensor.Tensor, v vectors) {
		for r := range x[0].Rows() {
			x[0].Device().Kernels().WeightNormForward(row(x[0], r), row(x[1], r), 1)
		}
	}},
	{"WeightNormBackward", 3, 3, 1, 256, 0, 0, func(x []*tensor.Tensor, v vectors) {
		for r := range x[0].Rows() {
			x[0].Device().Kernels().WeightNormBackward(row(x[0], r), row(x[1], r), row(x[2], r), 1, 1)
		}
	}},
	{"Residual", 3, 2, 1, 384, 0, 0, func(x []*tensor.Tensor, v vectors) { tensor.Residual(x[0], x[1], x[2], nil) }},
	{"AdamW", 4, 4, 3, 1024, 0, 0, func(x []*tensor.Tensor, v vectors) {
		tensor.AdamW(x[0].Device(), []tensor.AdamWStep{{P: x[0], M: x[1], V: x[2], G: x[3], AdamWCoefficients: adamW}})
	}},
	{"AdamWEMA", 5, 5, 4, 1024, 0, 0, func(x []*tensor.Tensor, v vectors) {
		tensor.AdamW(x[0].Device(), []tensor.AdamWStep{{P: x[0], M: x[1], V: x[2], G: x[3], T: x[4], AdamWCoefficients: adamW}})
	}},
	{"EMA", 2, 2, 1, 1024, 0, 0, func(x []*tensor.Tensor, v vectors) { tensor.EMA(x[0].Device(), x[:1], x[1:], 0.996) }},
	{"SumSquares", 1, 1, 0, 1024, 0, 0, func(x []*tensor.Tensor, v vectors) { tensor.SumSquares(x[0]) }},
}

var adamW = kernels.AdamWCoefficients{Decay: 1, Beta1: 0.9, Beta2: 0.999, Rest1: 0.1, Rest2: 0.001, StepSize: 1e-9, InvSqrtBias: 1, Eps: 1e-8, GradScale: 1, Momentum: 0.996}

// levels are where the data lie, by how much there is: the caches of most machines of today.
var levels = []struct {
	name  string
	bytes int
}{{"L2", 640 << 10}, {"L3", 12 << 20}, {"DRAM", 320 << 20}}

func BenchmarkRows(b *testing.B) {
	for _, table := range kernels.Tables() {
		dev := tensor.NewCPU(table, 1)
		for _, level := range levels {
			b.Run(fmt.Sprintf("Bandwidth/%s/%s", table.Name, level.name), func(b *testing.B) {
				bw := bandwidthOf(dev, level.bytes)
				for b.Loop() {
				}
				b.ReportMetric(bw.read, "read-GB/s")
				b.ReportMetric(bw.update, "update-GB/s")
				b.ReportMetric(bw.copy, "copy-GB/s")
			})
			for _, c := range rowsCases {
				b.Run(fmt.Sprintf("%s/%s/%s", c.name, table.Name, level.name), func(b *testing.B) {
					rows := max(1, level.bytes/(4*c.tensors*c.cols))
					var x []*tensor.Tensor
					for i := range c.tensors {
						t := tensor.New(dev, rows, c.cols)
						for j := range t.Data() {
							t.Data()[j] = tensor.Uniform(uint64(i), uint64(j&0xffff))
						}
						x = append(x, t)
					}
					v := newVectors(dev, rows, c.cols)
					elements := float64(rows * c.cols)
					best := fastest(b.Loop, func() { c.f(x, v) })
					bytes := 4 * float64(c.reads+c.writes)
					b.ReportMetric(bytes*elements/best, "GB/s")
					// Nanoseconds an element, at least.
					bw := bandwidthOf(dev, level.bytes)
					bound := bytes / bw.read
					if c.writes > 0 && c.reads+c.writes > c.tensors {
						bound = bytes / bw.update
					} else if c.writes > 0 {
						bound = (bytes + 4*float64(c.writes)) / (1.5 * bw.copy)
					}
					if c.exps > 0 {
						bound = max(bound, c.exps/expRate(table)+2*c.fmas/table.Ceiling())
						b.ReportMetric(elements/best, "Gexp/s")
					}
					b.ReportMetric(100*bound*elements/best, "%bound")
				})
			}
		}
	}
}

// fastest is the least time of f in nanoseconds while loop is true: whatever else the machine does only slows one down.
func fastest(loop func() bool, f func()) float64 {
	best := time.Duration(math.MaxInt64)
	for loop() {
		start := time.Now()
		f()
		best = min(best, time.Since(start))
	}
	return float64(best.Nanoseconds())
}

// during is a loop that lasts for some time.
func during(d time.Duration) func() bool {
	start, turns := time.Now(), 0
	return func() bool { turns++; return turns < 4 || time.Since(start) < d }
}

// bandwidth is what one core moves, in GB/s: of Σx, y += a·x and y = x.
type bandwidth struct{ read, update, copy float64 }

// bandwidthOf measures it in that much memory, once.
func bandwidthOf(dev *tensor.Device, bytes int) bandwidth {
	key := fmt.Sprint(dev.Kernels().Name, bytes)
	if bw, ok := bandwidths[key]; ok {
		return bw
	}
	n := bytes / 8
	x, y := tensor.New(dev, n), tensor.New(dev, n)
	tensor.Fill(x, 1)
	tensor.Fill(y, 1)
	rate := func(floats int, f func()) float64 {
		return 4 * float64(floats) / fastest(during(100*time.Millisecond), f)
	}
	bw := bandwidth{
		read:   rate(2*n, func() { tensor.Sum(x); tensor.Sum(y) }),
		update: rate(3*n, func() { tensor.AddScaled(y, x, 0.5) }),
		copy: rate(2*n, func() {
			const chunk = 4096 // elements: longer copies go past the caches
			for i := 0; i < n; i += chunk {
				copy(y.Data()[i:min(i+chunk, n)], x.Data()[i:])
			}
		}),
	}
	bandwidths[key] = bw
	return bw
}

var bandwidths = map[string]bandwidth{}

// expRate is how many exponentials a nanosecond the table's exp computes of numbers in the first-level cache.
func expRate(table *kernels.Table) float64 {
	if r, ok := expRates[table.Name]; ok {
		return r
	}
	x, y := make([]float32, 4096), make([]float32, 4096)
	const repeat = 20
	r := float64(repeat*len(x)) / fastest(during(100*time.Millisecond), func() {
		for range repeat {
			table.ExpShift(y, x, 1, 0)
		}
	})
	expRates[table.Name] = r
	return r
}

var expRates = map[string]float64{}

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
