package bench

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/godino-ml/godino/dino"
	"github.com/godino-ml/godino/internal/measure"
	"github.com/godino-ml/godino/kernels"
	"github.com/godino-ml/godino/nn"
	"github.com/godino-ml/godino/tensor"
)

// BenchmarkRows measures row-wise and elementwise operations, for every table of this CPU, with data in the second-level cache, in the last and
// in memory. GB/s counts the float32 that an operation must read and write once, whatever it reads twice; the bound is measured in the same run.
func BenchmarkRows(b *testing.B) {
	for _, table := range kernels.Tables() {
		for _, threads := range measure.Threads() {
			dev := tensor.NewCPU(table, threads)
			bounds := measure.NewBounds(dev)
			for _, level := range measure.Levels {
				for _, o := range measure.RowOperations {
					b.Run(fmt.Sprintf("%s/%s/threads=%d/%s", o.Name, table.Name, threads, level.Name), func(b *testing.B) {
						w := o.Work(dev, level)
						best := time.Duration(math.MaxInt64)
						for b.Loop() {
							best = min(best, w.Time())
						}
						rate := w.Bytes / float64(best.Nanoseconds())
						b.ReportMetric(rate, "GB/s")
						if w.Exps > 0 {
							b.ReportMetric(w.Exps/float64(best.Nanoseconds()), "Gexp/s")
						}
						b.ReportMetric(100*rate/o.Bound(bounds, level), "%bound")
					})
				}
			}
		}
	}
}

// BenchmarkOptimizer measures what follows the gradients in a step of ViT-S/16 with the reference's head, 44 million parameters: the norms of all
// gradients, AdamW and the teacher's moving average, in one pass or, for comparison, with a pass of its own for the average. It counts 10 or 11
// float32 a parameter; the bound is the bandwidth of memory, of Σx for the norms and of y += a·x for the rest.
func BenchmarkOptimizer(b *testing.B) {
	c := dino.Reference()
	vit, err := c.ViT()
	if err != nil {
		b.Fatal(err)
	}
	for _, table := range kernels.Tables()[1:] {
		for _, threads := range measure.Threads() {
			dev := tensor.NewCPU(table, threads)
			student, teacher := dino.NewNetwork(dev, vit, c.Head(vit.Dim), 1), dino.NewNetwork(dev, vit, c.Head(vit.Dim), 1)
			nn.Freeze(teacher.Params())
			optimizer, average := nn.NewAdamW(student.Params()), nn.NewAverage(teacher.Params(), student.Params())
			average.Momentum = 0.996
			var t, s []*tensor.Tensor
			for i, p := range student.Params() {
				t, s = append(t, teacher.Params()[i].Value), append(s, p.Value)
				if p.Grad != nil {
					tensor.Fill(p.Grad, 1e-3)
				}
			}
			var clip nn.Clip
			memory := measure.NewBounds(dev).Bandwidth(measure.Levels[len(measure.Levels)-1])
			for _, o := range []struct {
				name   string
				floats int
				step   func()
			}{
				{"one-pass", 10, func() { optimizer.Step(1e-9, 0.04, clip.PerTensor(student.Params(), 3), nil, average) }},
				{"two-passes", 11, func() {
					optimizer.Step(1e-9, 0.04, clip.PerTensor(student.Params(), 3), nil, nil)
					tensor.EMA(dev, t, s, tensor.Scalar(dev, 0.996))
				}},
			} {
				b.Run(fmt.Sprintf("%s/threads=%d/%s", table.Name, threads, o.name), func(b *testing.B) {
					w := measure.Work{Do: o.step, Bytes: 4 * float64(o.floats*nn.NumParams(student.Params()))}
					best := time.Duration(math.MaxInt64)
					b.ReportAllocs()
					for b.Loop() {
						best = min(best, w.Time())
					}
					rate := w.Bytes / float64(best.Nanoseconds())
					b.ReportMetric(float64(best.Microseconds())/1000, "min-ms")
					b.ReportMetric(rate, "GB/s")
					floats := float64(o.floats)
					b.ReportMetric(100*rate*(1/memory.Read+(floats-1)/memory.Update)/floats, "%bound")
				})
			}
		}
	}
}
