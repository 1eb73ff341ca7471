package bench

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/godino-ml/godino/dino"
	"github.com/godino-ml/godino/kernels"
	"github.com/godino-ml/godino/tensor"
)

// steps are whole training steps: teacher, student, loss, gradients, AdamW and EMA, on crops that are there already.
var steps = []struct {
	name   string
	batch  int
	config func(*dino.Config)
}{
	// The ViT that docs/ trains on CIFAR-10.
	{"vit128x6_patch4_2x32+4x16_K1024", 64, func(c *dino.Config) {
		c.Arch, c.PatchSize, c.GlobalCropsSize, c.LocalCropsSize, c.LocalCropsNumber = "vit:dim=128,depth=6,heads=2", 4, 32, 16, 4
		c.OutDim, c.HeadHiddenDim, c.HeadBottleneckDim = 1024, 512, 128
	}},
	{"vit_tiny_patch4_2x32+8x16_K4096", 32, func(c *dino.Config) {
		c.Arch, c.PatchSize, c.GlobalCropsSize, c.LocalCropsSize = "vit_tiny", 4, 32, 16
		c.OutDim = 4096
	}},
	{"vit_small_patch16_2x224+8x96_K65536", 4, func(c *dino.Config) {}},
}

func BenchmarkStep(b *testing.B) {
	for _, table := range kernels.Tables()[1:] {
		for _, s := range steps {
			for _, threads := range []int{1, 2} {
				b.Run(fmt.Sprintf("%s/%s/threads=%d", table.Name, s.name, threads), func(b *testing.B) {
					c := dino.Reference()
					s.config(&c)
					c.BatchSize = s.batch
					trainer, err := dino.NewTrainer(tensor.NewCPU(table, threads), c, 1000*s.batch)
					if err != nil {
						b.Fatal(err)
					}
					batch := &dino.Batch{
						Global: noise(2 * s.batch * 3 * c.GlobalCropsSize * c.GlobalCropsSize),
						Local:  noise(c.LocalCropsNumber * s.batch * 3 * c.LocalCropsSize * c.LocalCropsSize),
					}
					step := func() {
						if _, err := trainer.Step(batch); err != nil {
							b.Fatal(err)
						}
					}
					step() // plans its memory
					b.ReportAllocs()
					for b.Loop() {
						step()
					}
					perImage := b.Elapsed().Seconds() / float64(b.N*s.batch)
					b.ReportMetric(1/perImage, "images/s")
					b.ReportMetric(100*trainer.FLOPs()/1e9/perImage/(table.Ceiling()*float64(threads)), "%ceiling")
				})
			}
		}
	}
}

// noise is n keyed normal numbers, as normalised pixels are spread.
func noise(n int) []float32 {
	r := rand.New(rand.NewPCG(1, 2))
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(r.NormFloat64())
	}
	return x
}
