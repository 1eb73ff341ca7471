package bench

import (
	"fmt"
	"testing"

	"github.com/godino-ml/godino/internal/measure"
	"github.com/godino-ml/godino/kernels"
	"github.com/godino-ml/godino/tensor"
)

// BenchmarkStep measures whole training steps: teacher, student, loss, gradients, AdamW and EMA, on crops that are there already.
func BenchmarkStep(b *testing.B) {
	for _, table := range kernels.Tables()[1:] {
		for _, s := range measure.Steps {
			for _, threads := range measure.Threads() {
				for _, dev := range precisions(tensor.NewCPU(table, threads)) {
					medianOf(b, fmt.Sprintf("%s/%s/threads=%d/%s", table.Name, s.Name, threads, dev.Precision()), dev,
						func() (measure.Work, error) { return measure.Step(dev, s) }, s.ModelFLOPs())
				}
			}
		}
	}
}

// BenchmarkEmbed measures feature extraction, as dino embed does it, from images that are decoded already.
func BenchmarkEmbed(b *testing.B) {
	for _, table := range kernels.Tables()[1:] {
		for _, s := range measure.Embeds {
			for _, threads := range measure.Threads() {
				for _, dev := range precisions(tensor.NewCPU(table, threads)) {
					medianOf(b, fmt.Sprintf("%s/%s/threads=%d/%s", table.Name, s.Name, threads, dev.Precision()), dev,
						func() (measure.Work, error) { return measure.Embed(dev, s) }, s.ModelFLOPs())
				}
			}
		}
	}
}

// precisions are the device in those precisions that its kernels have.
func precisions(dev *tensor.Device) []*tensor.Device {
	devices := []*tensor.Device{dev}
	if bf16, err := dev.WithPrecision(tensor.BF16); err == nil {
		devices = append(devices, bf16)
	}
	return devices
}
