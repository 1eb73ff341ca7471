package dino_test

import (
	"context"
	"fmt"

	"github.com/godino-ml/godino/dino"
	"github.com/godino-ml/godino/dino/augment"
	"github.com/godino-ml/godino/dino/dataset"
	"github.com/godino-ml/godino/nn"
	"github.com/godino-ml/godino/tensor"
)

// chequered is a picture in memory: squares of side n+2.
func chequered(n int) (*dataset.RGB, error) {
	img := dataset.NewRGB(24, 24)
	for i := range img.Pix {
		x, y := i/3%img.W, i/3/img.W
		img.Pix[i] = byte(255 * ((x/(n+2) + y/(n+2)) % 2))
	}
	return img, nil
}

// Train a few steps on pictures in memory.
func ExampleTrainer_Step() {
	c := dino.Reference() // then smaller, for pictures of 24 pixels
	c.Arch, c.PatchSize = "vit:dim=32,depth=2,heads=2", 4
	c.GlobalCropsSize, c.LocalCropsSize, c.LocalCropsNumber, c.Blur = 16, 8, 2, false
	c.OutDim, c.HeadHiddenDim, c.HeadBottleneckDim = 64, 32, 16
	c.BatchSize, c.Epochs, c.WarmupEpochs = 8, 2, 0.5

	pictures := dataset.FromFunc("chequered", 16, nil, nil, chequered)
	loader, err := dino.NewLoader(pictures, dino.LoaderOptions{Batch: c.BatchSize, Crops: c.Crops(), Seed: c.Seed})
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx := context.Background()
	if err := loader.Start(ctx, 0, 0); err != nil {
		fmt.Println(err)
		return
	}
	defer loader.Close()

	trainer, err := dino.NewTrainer(tensor.CPU(), c, pictures.Len())
	if err != nil {
		fmt.Println(err)
		return
	}
	for trainer.Steps() < trainer.TotalSteps() {
		batch, err := loader.Next(ctx)
		if err != nil {
			fmt.Println(err)
			return
		}
		s, err := trainer.Step(batch)
		if err != nil {
			fmt.Println(err)
			return
		}
		loader.Recycle(batch) // its memory serves a later batch
		fmt.Printf("epoch %d, step %d: %d images, loss below 1.2·ln K: %v\n", s.Epoch, s.StepInEpoch, s.Images, s.Loss < 1.2*s.LnK)
	}
	// Output:
	// epoch 0, step 0: 8 images, loss below 1.2·ln K: true
	// epoch 0, step 1: 8 images, loss below 1.2·ln K: true
	// epoch 1, step 0: 8 images, loss below 1.2·ln K: true
	// epoch 1, step 1: 8 images, loss below 1.2·ln K: true
}

// The feature of one picture, as dino embed computes it.
func ExampleFeatures() {
	config, err := nn.ParseArch("vit:dim=32,depth=2,heads=2", 8, 24)
	if err != nil {
		fmt.Println(err)
		return
	}
	backbone := nn.NewVisionTransformer(tensor.CPU(), config, 0) // or LoadTrainer's Teacher.Backbone

	one := dataset.FromFunc("chequered", 1, nil, nil, chequered)
	set, err := dino.Features(context.Background(), tensor.CPU(), backbone, one, augment.Whole(24), dino.FeatureOptions{})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(set.Len(), "image,", set.Dim, "numbers")
	// Output: 1 image, 32 numbers
}
