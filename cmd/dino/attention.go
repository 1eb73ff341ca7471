package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/godino-ml/godino/dino"
	"github.com/godino-ml/godino/dino/augment"
	"github.com/godino-ml/godino/dino/dataset"
	"github.com/godino-ml/godino/dino/viz"
)

type attentionCommand struct {
	networkFlags
	ImagePath string  `required:"" placeholder:"FILE" group:"Data" help:"The image to look at."`
	ImageSize *int    `group:"Data" placeholder:"PX" help:"Its shorter side is resized to this; 0 takes it as it is; 480, or 60 patches if that is less, unless given. More pixels give a finer map."`
	MaxPixels int     `default:"${maxPixels}" group:"Data" placeholder:"N" help:"Refuse larger pictures by their header."`
	OutputDir string  `default:"./runs/attention" group:"Run" placeholder:"DIR" help:"Where the pictures go."`
	Threshold float64 `group:"Run" placeholder:"SHARE" help:"Also draw the fewest patches that hold this share of the attention, as mask; 0.6 is usual."`
}

func (*attentionCommand) Help() string {
	return `Example:
  dino attention --pretrained_weights runs/photos/checkpoint.safetensors --image_path cat.jpg --output_dir cat --threshold 0.6

Draws, for each head of the last block and for their mean, how much of the class token's attention each patch gets (attn-*.png), the same
over the image (overlay-*.png), and with --threshold the mask of the patches that hold that share of it (mask-*.png).`
}

// mostTokens keeps the attention of a block, tokens squared times heads, within some hundred megabytes.
const mostTokens = 6000

func (c *attentionCommand) Run(_ context.Context, t *terminal) error {
	if !(c.Threshold >= 0 && c.Threshold < 1) {
		return usageError("--threshold %g: choose a share from 0 (no mask) to below 1", c.Threshold)
	}
	dev, err := device(c.Device)
	if err != nil {
		return err
	}
	img, err := dataset.ReadFile(c.ImagePath, dataset.Options{MaxPixels: c.MaxPixels})
	if errors.Is(err, fs.ErrNotExist) {
		return dataError(fmt.Errorf("--image_path %s: no such file", c.ImagePath))
	}
	if err != nil {
		return dataError(err)
	}
	n, err := c.load(dev, t.log)
	if err != nil {
		return err
	}
	patch := n.Config().PatchSize
	size, err := shorterSide(c.ImageSize, patch)
	if err != nil {
		return err
	}
	img, cols, rows, err := toPatches(img, size, patch)
	if err != nil {
		return usageError("--image_size %d: %w", size, err)
	}
	if err := makeDir(c.OutputDir); err != nil {
		return err
	}
	paths, err := viz.WriteAttention(c.OutputDir, img.Image(), dino.NewEncoder(n.dev, n.VisionTransformer).Attention(img), rows, cols, patch, c.Threshold)
	if err != nil {
		return err
	}
	fmt.Fprintf(t.out, "%s: attention of %s over %d×%d patches of %s, %s heads\n", c.ImagePath, n.Name, cols, rows, filepath.Base(c.ImagePath), fmt.Sprint(n.Config().Heads))
	for _, p := range paths {
		fmt.Fprintln(t.out, " ", p)
	}
	return nil
}

// shorterSide is the --image_size that is given, or one that shows what tokens of that many pixels tell apart in fair time; 0 is as it is.
func shorterSide(given *int, patch int) (int, error) {
	if given == nil {
		return min(480, 60*patch), nil
	}
	if *given < 0 || *given > 1<<14 {
		return 0, usageError("--image_size %d: choose 0 to %d", *given, 1<<14)
	}
	return *given, nil
}

// toPatches resizes a picture so that its shorter side is size, 0 for as it is, and says how many patches it has.
func toPatches(img *dataset.RGB, size, patch int) (_ *dataset.RGB, cols, rows int, err error) {
	w, h := img.W, img.H
	if size > 0 {
		w, h = augment.ShorterSide(w, h, size)
	}
	// Before the picture is resized: of 10000×1 px it would take gigabytes.
	cols, rows = w/patch, h/patch
	if cols < 1 || rows < 1 || cols*rows > mostTokens {
		return nil, 0, 0, fmt.Errorf("the picture of %d×%d px has %d×%d patches of %d px; choose a size that gives 1 to %d", w, h, cols, rows, patch, mostTokens)
	}
	if size > 0 {
		img = augment.Resize(img, w, h)
	}
	return img, cols, rows, nil
}
