// Command stream trains on pictures that come from a channel, whatever is behind it: a camera, a queue, a renderer. Here it is a function that
// draws coloured gratings, so that nothing has to be there:
//
//	go run ./examples/stream
//
// Crops are made in memory as pictures come; dino.Run, by contrast, goes through a data set in epochs, and saves, resumes and evaluates.
package main

import (
	"fmt"
	"image"
	"image/color"
	"log"
	"math"
	"math/rand/v2"

	"github.com/godino-ml/godino/dino"
	"github.com/godino-ml/godino/dino/augment"
	"github.com/godino-ml/godino/dino/dataset"
	"github.com/godino-ml/godino/tensor"
)

func main() {
	c := config()
	pictures := make(chan *dataset.RGB, c.BatchSize)
	const images = 2048
	go func() {
		defer close(pictures)
		r := rand.New(rand.NewPCG(1, 0))
		for range images {
			pictures <- dataset.FromImage(grating(r, 40))
		}
	}()
	_, err := train(c, images, pictures, func(s dino.StepStats) {
		fmt.Printf("step %3d of %d  loss %.3f  entropy of the teacher %.3f  %d prototypes in use\n", s.Step+1, s.StepsPerEpoch*s.Epochs, s.Loss, s.Entropy, s.Prototypes)
	})
	if err != nil {
		log.Fatal(err)
	}
}

// config is a network of two blocks for small pictures. What it does not name is the reference's.
func config() dino.Config {
	c := dino.Reference()
	c.Arch, c.PatchSize = "vit:dim=64,depth=2,heads=2", 8
	c.GlobalCropsSize, c.LocalCropsSize, c.LocalCropsNumber, c.Blur = 32, 16, 4, false
	c.OutDim, c.HeadHiddenDim, c.HeadBottleneckDim = 256, 128, 64
	c.BatchSize, c.Epochs, c.WarmupEpochs, c.FreezeLastLayer = 32, 1, 0.1, 0
	c.LR = 0.004
	return c
}

// train makes one epoch of the pictures that come, as many as images says: the schedules of learning rate, momentum and weight decay need to
// know where the end is. What is left at the end and does not fill a batch is dropped.
func train(c dino.Config, images int, pictures <-chan *dataset.RGB, report func(dino.StepStats)) (*dino.Trainer, error) {
	trainer, err := dino.NewTrainer(tensor.CPU(), c, images)
	if err != nil {
		return nil, err
	}
	crops := c.Crops()
	var scratch augment.Scratch
	// A batch is view-major: all pictures' first large crop, all pictures' second, then each small crop in turn.
	large, small := 3*c.GlobalCropsSize*c.GlobalCropsSize, 3*c.LocalCropsSize*c.LocalCropsSize
	batch := &dino.Batch{Global: make([]float32, 2*c.BatchSize*large), Local: make([]float32, c.LocalCropsNumber*c.BatchSize*small)}
	views := make([][]float32, crops.Views())
	n := 0 // pictures so far
	for picture := range pictures {
		slot := n % c.BatchSize
		for v := range views {
			if v < 2 {
				views[v] = batch.Global[(v*c.BatchSize+slot)*large:][:large]
			} else {
				views[v] = batch.Local[((v-2)*c.BatchSize+slot)*small:][:small]
			}
		}
		crops.Sample(&scratch, views, picture, c.Seed, 0, n)
		if n++; n%c.BatchSize > 0 {
			continue
		}
		stats, err := trainer.Step(batch)
		if err != nil {
			return nil, err
		}
		report(stats)
	}
	return trainer, nil
}

// grating draws stripes of a random direction, width and colour.
func grating(r *rand.Rand, size int) image.Image {
	m := image.NewRGBA(image.Rect(0, 0, size, size))
	angle, wave, phase := r.Float64()*math.Pi, 4+8*r.Float64(), 2*math.Pi*r.Float64()
	tint := [3]float64{r.Float64(), r.Float64(), r.Float64()}
	sin, cos := math.Sincos(angle)
	for y := range size {
		for x := range size {
			v := 127.5 * (1 + math.Sin(phase+2*math.Pi/wave*(cos*float64(x)+sin*float64(y))))
			m.SetRGBA(x, y, color.RGBA{R: uint8(v * tint[0]), G: uint8(v * tint[1]), B: uint8(v * tint[2]), A: 255})
		}
	}
	return m
}
