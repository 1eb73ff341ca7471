package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"time"

	"github.com/godino-ml/godino/dino"
	"github.com/godino-ml/godino/dino/dataset"
	"github.com/godino-ml/godino/dino/viz"
	"github.com/godino-ml/godino/internal/shapes"
	"github.com/godino-ml/godino/tensor"
)

type demoCommand struct {
	OutputDir string `group:"Run" placeholder:"DIR" help:"Where the report and its pictures go; ./runs/demo, or the first of ./runs/demo-2, … that is free, if not given."`
	Images    int    `default:"${demoImages}" group:"Data" placeholder:"N" help:"Pictures to draw and train on; a quarter as many are drawn to be judged."`
	Pictures  string `group:"Data" placeholder:"DIR" help:"Instead of training, write the pictures to DIR as PNG, in train/ and test/ and a folder for each kind, to try the other commands on."`
	JSON      bool   `name:"json" group:"Run" help:"Print JSON objects, one a line."`

	Settings settingFlags `embed:""`
}

func (*demoCommand) Help() string {
	return `Example:
  dino demo

Draws pictures of ten kinds of object, in colours, places and backgrounds that say nothing about the kind; trains a small Vision Transformer
on them without labels; and measures by nearest neighbours, where the labels come in, how well its features tell the kinds apart, beside raw
pixels and the untrained network. Writes report.html with the curve, what the network looks at, and the crops that it learnt from. The same
seed gives the same run. All flags of train that are settings work here too.`
}

const demoImages = 4000

// demoConfig trains within two minutes on two cores. It differs from the reference by what so short a run on pictures so plain needs: batch norm
// in the head, without which the features of a small fresh network are too much alike to be told apart; a teacher that follows closely; a
// last layer that is free; and no change of colours, since those of the pictures carry nothing that a network could cheat with.
func demoConfig() dino.Config {
	c := dino.Reference()
	c.Arch, c.PatchSize, c.DropPathRate = "vit:dim=128,depth=3,heads=2", 8, 0
	c.OutDim, c.HeadHiddenDim, c.HeadBottleneckDim = 256, 256, 64
	c.UseBNInHead, c.NormLastLayer = true, false
	c.MomentumTeacher = 0.97
	c.LR, c.WarmupEpochs, c.WeightDecay, c.WeightDecayEnd = 8e-3, 0.5, 0.04, 0.1
	c.BatchSize, c.Epochs = 64, 12
	c.GlobalCropsSize, c.GlobalCropsScale = 32, [2]float64{0.5, 1}
	c.LocalCropsNumber, c.LocalCropsSize, c.LocalCropsScale = 4, 16, [2]float64{0.15, 0.5}
	c.Blur, c.ColorJitter, c.Grayscale, c.Solarize = false, 0, 0, 0
	return c
}

func (c *demoCommand) Run(ctx context.Context, t *terminal) error {
	config := demoConfig()
	if err := c.Settings.apply(&config); err != nil {
		return usageError("%w", err)
	}
	if err := config.Validate(); err != nil {
		return usageError("%w", err)
	}
	if c.Images < 4*config.ImagesPerStep() || c.Images > 1_000_000 {
		return usageError("--images %d: choose %d, four steps' worth, to 1000000", c.Images, 4*config.ImagesPerStep())
	}
	if c.Pictures != "" {
		return c.writePictures(t, config)
	}
	dir, err := c.dir()
	if err != nil {
		return err
	}
	dev, err := device("auto")
	if err != nil {
		return err
	}
	if dev.GPU() != nil {
		config.Precision = tensor.BF16.String()
	}
	begin := time.Now()
	size := config.GlobalCropsSize
	train, test := drawn("train", config.Seed, 0, c.Images, size), drawn("test", config.Seed, c.Images, c.Images/4, size)
	if !c.JSON {
		fmt.Fprintf(t.out, "drew      %s of %d px to train on and %s to judge, of %s, in %s\n", plural(c.Images, "picture"), size,
			count(c.Images/4), plural(len(shapes.Classes), "kind"), time.Since(begin).Round(10*time.Millisecond))
		fmt.Fprintf(t.out, "plan      %s of %s, %s\n", plural(config.Epochs, "epoch"), plural(config.StepsPerEpoch(c.Images), "step"),
			deviceText(dev, config.Precision))
	}
	run, err := dino.Open(dino.Options{Config: config, OutputDir: dir, Device: dev, Train: train, Val: test,
		Workers: runtime.GOMAXPROCS(0), SaveEvery: -1})
	if err != nil {
		return runError(err)
	}
	defer run.Close()
	p := newProgress(t.out, c.JSON)
	r := &demoReport{dir: dir, config: config, images: c.Images, run: run}
	events := p.events()
	epoch := events.Epoch
	events.Epoch = func(e dino.EpochStats) {
		r.epochs = append(r.epochs, e)
		epoch(e)
	}
	err = run.Run(ctx, events)
	p.finish()
	if errors.Is(err, dino.ErrInterrupted) {
		fmt.Fprintf(t.out, "stopped   %s; its state is in %s\n", durationText(time.Since(begin)), dir)
		return nil
	}
	if err != nil {
		return runError(err)
	}
	r.took = time.Since(begin)
	path, err := r.write()
	if err != nil {
		return fmt.Errorf("writing the report: %w", err)
	}
	if c.JSON {
		p.object("report", map[string]string{"path": path})
		return nil
	}
	pixels, untrained, trained := scores(r.epochs)
	fmt.Fprintf(t.out, "\nk-NN      raw pixels %.1f%%, untrained network %.1f%%, trained without labels %.1f%% (chance: %.0f%%)\n",
		pixels, untrained, trained, 100/float64(len(shapes.Classes)))
	fmt.Fprintf(t.out, "report    %s, in %s\n", path, durationText(r.took))
	return nil
}

// dir is the folder to write into: the one asked for, or one that no run has used.
func (c *demoCommand) dir() (string, error) {
	if c.OutputDir != "" {
		return c.OutputDir, nil
	}
	for n := 1; n < 1000; n++ {
		dir := "./runs/demo"
		if n > 1 {
			dir = fmt.Sprintf("./runs/demo-%d", n)
		}
		if _, err := os.Stat(dir); errors.Is(err, os.ErrNotExist) {
			return dir, nil
		}
	}
	return "", errors.New("./runs holds a thousand demos: name a folder with --output_dir")
}

// writePictures writes what the demo would train on and judge by.
func (c *demoCommand) writePictures(t *terminal, config dino.Config) error {
	for i := range c.Images + c.Images/4 {
		split := "train"
		if i >= c.Images {
			split = "test"
		}
		dir := filepath.Join(c.Pictures, split, shapes.Classes[shapes.Class(i)])
		if err := os.MkdirAll(dir, 0o777); err != nil {
			return err
		}
		if err := viz.WritePNG(filepath.Join(dir, fmt.Sprintf("%06d.png", i)), shapes.Picture(config.Seed, i, config.GlobalCropsSize)); err != nil {
			return err
		}
	}
	fmt.Fprintf(t.out, "%s in %s/train, %s in %s/test\n", plural(c.Images, "picture"), c.Pictures, plural(c.Images/4, "picture"), c.Pictures)
	return nil
}

// drawn are n pictures from number first on, drawn once and kept.
func drawn(name string, seed uint64, first, n, size int) *dataset.Dataset {
	pictures, labels := make([]*dataset.RGB, n), make([]int, n)
	var wait sync.WaitGroup
	workers := runtime.GOMAXPROCS(0)
	for w := range workers {
		wait.Go(func() {
			for i := w; i < n; i += workers {
				pictures[i], labels[i] = drawPicture(seed, first+i, size), shapes.Class(first+i)
			}
		})
	}
	wait.Wait()
	return dataset.FromFunc("demo/"+name, n, shapes.Classes, labels, func(i int) (*dataset.RGB, error) { return pictures[i], nil })
}

func drawPicture(seed uint64, index, size int) *dataset.RGB {
	img := shapes.Picture(seed, index, size)
	rgb := dataset.NewRGB(size, size)
	for i := range size * size {
		copy(rgb.Pix[3*i:], img.Pix[4*i:4*i+3])
	}
	return rgb
}
