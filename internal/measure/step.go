package measure

import (
	"github.com/godino-ml/godino/autograd"
	"github.com/godino-ml/godino/dino"
	"github.com/godino-ml/godino/nn"
	"github.com/godino-ml/godino/tensor"
)

// StepShape is a training step to measure.
type StepShape struct {
	Name   string
	Config dino.Config
}

// Steps are whole training steps of the sizes that are trained with.
var Steps = []StepShape{
	// The ViT that docs/ trains on CIFAR-10.
	stepShape("vit128x6_patch4_2x32+4x16_K1024", 64, func(c *dino.Config) {
		c.Arch, c.PatchSize, c.GlobalCropsSize, c.LocalCropsSize, c.LocalCropsNumber = "vit:dim=128,depth=6,heads=2", 4, 32, 16, 4
		c.OutDim, c.HeadHiddenDim, c.HeadBottleneckDim = 1024, 512, 128
	}),
	stepShape("vit_tiny_patch4_2x32+8x16_K4096", 32, func(c *dino.Config) {
		c.Arch, c.PatchSize, c.GlobalCropsSize, c.LocalCropsSize = "vit_tiny", 4, 32, 16
		c.OutDim = 4096
	}),
	stepShape("vit_small_patch16_2x224+8x96_K65536", 4, func(*dino.Config) {}),
}

// SmallStep is over in a second on any machine.
var SmallStep = stepShape("vit64x2_patch8_2x32+2x16_K256", 4, func(c *dino.Config) {
	c.Arch, c.PatchSize, c.GlobalCropsSize, c.LocalCropsSize, c.LocalCropsNumber = "vit:dim=64,depth=2,heads=2", 8, 32, 16, 2
	c.OutDim, c.HeadHiddenDim, c.HeadBottleneckDim = 256, 128, 64
})

func stepShape(name string, batch int, change func(*dino.Config)) StepShape {
	c := dino.Reference()
	change(&c)
	c.BatchSize = batch
	return StepShape{name, c}
}

// Step is a training step on crops that are there already: teacher, student, loss, gradients, clipping, AdamW and EMA. The work counts the
// operations that are done; ModelFLOPs are those that others count. A step that fails panics.
func Step(dev *tensor.Device, s StepShape) (Work, error) {
	c := s.Config
	c.Precision = dev.Precision().String()
	trainer, err := dino.NewTrainer(dev, c, 1000*c.BatchSize)
	if err != nil {
		return Work{}, err
	}
	batch := &dino.Batch{
		Global: Noise(2 * c.BatchSize * 3 * c.GlobalCropsSize * c.GlobalCropsSize),
		Local:  Noise(c.LocalCropsNumber * c.BatchSize * 3 * c.LocalCropsSize * c.LocalCropsSize),
	}
	return Work{
		Name: s.Name, Images: c.BatchSize, FLOPs: trainer.FLOPs() * float64(c.BatchSize),
		Do: func() {
			trainer.Start(batch)
			if dev.GPU() != nil {
				trainer.Prefetch(batch) // the next step's, as a run does it
			}
			if _, err := trainer.Finish(); err != nil {
				panic(err)
			}
		},
	}, nil
}

// ModelFLOPs are the operations of a step of the model as it is written: the last block too computes all its tokens, though only the class token
// is read. The engine does less, which trainer.FLOPs counts; this is the figure to compare programs by. 113.8 GFLOP an image for ViT-S/16 with
// 2×224 + 8×96 and K = 65536.
func (s StepShape) ModelFLOPs() float64 {
	c := s.Config
	v, err := c.ViT()
	if err != nil {
		panic(err) // a mistake in Steps
	}
	k, hidden, bottleneck := float64(c.OutDim), float64(c.HeadHiddenDim), float64(c.HeadBottleneckDim)
	head := 2 * (float64(v.Dim)*hidden + hidden*hidden + hidden*bottleneck + bottleneck*k)
	const globals, teacher, forward, backward = 2, 1, 1, 2
	large, small := modelFLOPs(v, c.GlobalCropsSize)+head, modelFLOPs(v, c.LocalCropsSize)+head
	image := globals*(teacher+forward+backward)*large + float64(c.LocalCropsNumber)*(forward+backward)*small
	return image * float64(c.BatchSize)
}

// modelFLOPs are those of the backbone's forward for one image of size×size.
func modelFLOPs(v nn.ViTConfig, size int) float64 {
	side := float64(size / v.PatchSize)
	patches, d, depth := side*side, float64(v.Dim), float64(v.Depth)
	n := patches + 1
	const mlp = 4 // hidden units for each dimension
	block := n*(4+2*mlp)*d*d + 2*n*n*d
	return 2 * (patches*d*3*float64(v.PatchSize*v.PatchSize) + depth*block)
}

// EmbedShape is a feature extraction to measure: a backbone on images of Size×Size, Batch at a time.
type EmbedShape struct {
	Name, Arch         string
	Patch, Size, Batch int
}

// Embeds are what dino embed does with images that are decoded already.
var Embeds = []EmbedShape{
	{"vit_small_patch16_224_batch8", "vit_small", 16, 224, 8},
	{"vit_tiny_patch4_32_batch64", "vit_tiny", 4, 32, 64},
}

// SmallEmbed is over in a second on any machine.
var SmallEmbed = EmbedShape{"vit64x2_patch8_32_batch8", "vit:dim=64,depth=2,heads=2", 8, 32, 8}

// Embed computes the class token's features of a batch. The work counts the operations that are done.
func Embed(dev *tensor.Device, s EmbedShape) (Work, error) {
	c, err := nn.ParseArch(s.Arch, s.Patch, s.Size)
	if err != nil {
		return Work{}, err
	}
	m := nn.NewVisionTransformer(dev, c, 0)
	tape := autograd.NewEvalTape(tensor.NewArena(dev))
	x := autograd.NewConst(tensor.FromSlice(dev, Noise(s.Batch*3*s.Size*s.Size), s.Batch, 3, s.Size, s.Size))
	features := make([]float32, s.Batch*c.Dim)
	return Work{
		Name: s.Name, Images: s.Batch, FLOPs: float64(s.Batch) * m.FLOPs(s.Size, s.Size),
		Do: func() {
			copy(features, m.Forward(tape, x, nil).Value.Floats())
			tape.Reset()
		},
	}, nil
}

// ModelFLOPs are the operations of the model as it is written, as StepShape.ModelFLOPs counts them.
func (s EmbedShape) ModelFLOPs() float64 {
	c, err := nn.ParseArch(s.Arch, s.Patch, s.Size)
	if err != nil {
		panic(err) // a mistake in Embeds
	}
	return float64(s.Batch) * modelFLOPs(c, s.Size)
}
