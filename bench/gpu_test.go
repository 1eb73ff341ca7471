package bench

import (
	"fmt"
	"testing"
	"time"

	"github.com/godino-ml/godino/dino"
	"github.com/godino-ml/godino/internal/measure"
	"github.com/godino-ml/godino/kernels/cuda/cudatest"
	"github.com/godino-ml/godino/tensor"
)

// BenchmarkGPUStep measures whole training steps on the GPU of the machine, with GODINO_CUDA_TEST=hardware, the next step's crops on their way meanwhile; else
// one that the interpreter can do, whose time says nothing. bench/gpu.sh runs one batch size in a process, until the memory is too small.
func BenchmarkGPUStep(b *testing.B) {
	for _, s := range gpuSteps() {
		b.Run(s.Name, func(b *testing.B) {
			gpu := cudatest.New(b)
			dev, err := tensor.NewGPU(gpu).WithPrecision(tensor.BF16)
			if err != nil {
				b.Fatal(err)
			}
			w, err := measure.Step(dev, s)
			if err != nil {
				b.Fatal(err)
			}
			for range 5 { // plans its memory, records its work
				w.Do()
			}
			b.ResetTimer()
			start := time.Now()
			for range b.N {
				w.Do()
			}
			seconds := time.Since(start).Seconds() / float64(b.N)
			b.ReportMetric(float64(w.Images)/seconds, "images/s")
			b.ReportMetric(seconds*1e3, "ms")
			b.ReportMetric(w.FLOPs/seconds/1e12, "TFLOP/s")
			b.ReportMetric(s.ModelFLOPs()/seconds/1e12, "TFLOP/s-model")
			if m, ok := gpu.Driver().(interface{ PeakMemory() int64 }); ok {
				b.ReportMetric(float64(m.PeakMemory())/(1<<20), "GPU-MiB")
			}
		})
	}
}

func gpuSteps() []measure.StepShape {
	if !cudatest.Hardware() {
		return []measure.StepShape{measure.SmallStep}
	}
	var all []measure.StepShape
	for _, arch := range []string{"vit_small", "vit_base"} {
		for _, batch := range []int{64, 128, 192, 256, 384, 512} {
			c := dino.Reference()
			c.Arch, c.BatchSize = arch, batch
			all = append(all, measure.StepShape{Name: fmt.Sprintf("%s_patch16_2x224+8x96/batch=%d", arch, batch), Config: c})
		}
	}
	return all
}
