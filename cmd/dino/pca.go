package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"

	"github.com/godino-ml/godino/dino"
	"github.com/godino-ml/godino/dino/augment"
	"github.com/godino-ml/godino/dino/dataset"
	"github.com/godino-ml/godino/dino/eval"
	"github.com/godino-ml/godino/dino/viz"
)

type pcaCommand struct {
	Paths []string `arg:"" name:"path" help:"Images, and folders or tars of them."`
	networkFlags
	Images     int      `default:"8" group:"Data" placeholder:"N" help:"How many to take of a folder or tar, spread over it at random; 0 takes all."`
	ImageSize  *int     `group:"Data" placeholder:"PX" help:"Their shorter side is resized to this; 0 takes them as they are; 480, or 60 patches if that is less, unless given. More pixels give finer pictures."`
	MaxPixels  int      `default:"${maxPixels}" group:"Data" placeholder:"N" help:"Refuse larger pictures by their header."`
	OutputDir  string   `default:"./runs/pca" group:"Run" placeholder:"DIR" help:"Where the pictures go."`
	Foreground bool     `group:"Run" help:"Colour the foreground alone, as the first component parts it from the background."`
	Threshold  *float64 `group:"Run" placeholder:"V" help:"Where it does, from 0 to 1; chosen by Otsu's method if not given."`
	Invert     bool     `group:"Run" help:"Take the other side of the first component as foreground."`
	NumWorkers int      `group:"Machine" placeholder:"N" help:"Threads that decode images; 0 chooses."`
	JSON       bool     `name:"json" group:"Run" help:"Print one JSON object."`
}

func (*pcaCommand) Help() string {
	return `Examples:
  dino pca cat.jpg dog.jpg --pretrained_weights runs/photos/checkpoint.safetensors --output_dir pca --foreground
  dino pca photos.tar --images 12 --pretrained_weights w.pth

Draws the first three principal components of the patch features as red, green and blue, beside each image. Components, their signs and their
scale are those of all images together: the same colour is the same kind of thing in each.`
}

// pcaResult is what pca prints.
type pcaResult struct {
	Images    int       `json:"images"`
	Patches   int       `json:"patches"`
	Explained []float64 `json:"explained"` // share of the variance
	Threshold *float64  `json:"threshold,omitempty"`
	Share     *float64  `json:"foreground,omitempty"` // of the patches
	Files     []string  `json:"files"`
}

// mostPatchFeatures keeps the features of all patches within 2 GB.
const mostPatchFeatures = 1 << 29

func (c *pcaCommand) Run(ctx context.Context, t *terminal) error {
	if c.Threshold != nil && !(*c.Threshold >= 0 && *c.Threshold <= 1) {
		return usageError("--threshold %g: choose 0 to 1", *c.Threshold)
	}
	if !c.Foreground && (c.Threshold != nil || c.Invert) {
		return usageError("--threshold and --invert are for --foreground")
	}
	if c.Images < 0 {
		return usageError("--images %d: choose 0 or more", c.Images)
	}
	dev, err := device(c.Device)
	if err != nil {
		return err
	}
	images, closeAll, err := c.open()
	defer closeAll()
	if err != nil {
		return err
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
	if c.NumWorkers <= 0 {
		c.NumWorkers = runtime.GOMAXPROCS(0)
	}
	load := func(i int) (*dataset.RGB, error) {
		img, err := images[i].load()
		if err != nil {
			return nil, err
		}
		w, h := img.W, img.H
		if size > 0 {
			w, h = augment.ShorterSide(w, h, size)
		}
		// Before the picture is resized: of 10000×1 px it would take gigabytes.
		cols, rows := w/patch, h/patch
		if cols < 1 || rows < 1 || cols*rows > mostTokens {
			return nil, usageError("--image_size %d: %s of %d×%d px would have %d×%d patches of %d px; choose a size that gives 1 to %d", size, images[i].name,
				img.W, img.H, cols, rows, patch, mostTokens)
		}
		if size > 0 {
			img = augment.Resize(img, w, h)
		}
		return augment.CropTo(img, augment.Box{W: cols * patch, H: rows * patch}), nil
	}
	encoder := dino.NewEncoder(dev, n.VisionTransformer)
	features := eval.Features{Dim: n.Config().Dim}
	var grids []eval.PatchGrid
	var pictures []*dataset.RGB
	var names []string
	progress := t.counter("images")
	err = dino.Pictures(ctx, len(images), c.NumWorkers, load, func(i int, img *dataset.RGB, err error) error {
		if progress != nil {
			progress(i+1, len(images))
		}
		if bad := (*dataset.BadImageError)(nil); errors.As(err, &bad) && images[i].many {
			t.log.Warn("left out: " + err.Error())
			return nil
		}
		if err != nil {
			return badImageIsData(err)
		}
		if cols, rows := img.W/patch, img.H/patch; len(features.Data)+cols*rows*features.Dim > mostPatchFeatures {
			return usageError("the patches of more than %s take over 2 GB: choose fewer --images or a smaller --image_size", plural(i, "image"))
		}
		of, rows, cols := encoder.Patches(img, augment.ImageNetMean, augment.ImageNetStd)
		features.Data = append(features.Data, of...)
		grids = append(grids, eval.PatchGrid{Rows: rows, Cols: cols})
		pictures, names = append(pictures, img), append(names, images[i].name)
		return nil
	})
	if err != nil {
		return err
	}
	if len(pictures) == 0 {
		return dataError(errors.New("none of the images can be read"))
	}
	colours, err := eval.ColourPatches(dev, features, grids, eval.PatchColourOptions{Foreground: c.Foreground, Threshold: c.Threshold, Invert: c.Invert})
	if err != nil {
		return dataError(err)
	}
	r := pcaResult{Images: len(pictures), Patches: features.Len(), Explained: colours.Explained}
	if c.Foreground {
		r.Threshold = &colours.Threshold
		in := 0
		for _, mask := range colours.Foreground {
			for _, m := range mask {
				if m {
					in++
				}
			}
		}
		share := float64(in) / float64(r.Patches)
		r.Share = &share
	}
	if r.Files, err = c.draw(pictures, names, colours, grids, patch); err != nil {
		return err
	}
	if c.JSON {
		return json.NewEncoder(t.out).Encode(r)
	}
	fmt.Fprintf(t.out, "%s of %s, by %s; the components hold", plural(r.Patches, "patch"), plural(r.Images, "image"), n.Name)
	for _, e := range r.Explained {
		fmt.Fprintf(t.out, " %.1f", 100*e)
	}
	fmt.Fprintln(t.out, " % of the variance")
	if r.Share != nil {
		fmt.Fprintf(t.out, "foreground: %.1f %% of the patches, parted at %.2f\n", 100**r.Share, *r.Threshold)
	}
	for _, p := range r.Files {
		fmt.Fprintln(t.out, " ", p)
	}
	return nil
}

// pcaImage is an image that the command line means.
type pcaImage struct {
	name string
	many bool // it comes of a folder or tar, of which single images may be left out
	load func() (*dataset.RGB, error)
}

// open finds the images. closeAll is to be called also after an error.
func (c *pcaCommand) open() (images []pcaImage, closeAll func(), err error) {
	var opened []*dataset.Dataset
	closeAll = func() {
		for _, ds := range opened {
			ds.Close()
		}
	}
	o := dataset.Options{MaxPixels: c.MaxPixels}
	for _, path := range c.Paths {
		st, err := os.Stat(path)
		if dataset.IsImageName(path) && (errors.Is(err, fs.ErrNotExist) || err == nil && !st.IsDir()) {
			images = append(images, pcaImage{name: path, load: func() (*dataset.RGB, error) {
				img, err := dataset.ReadFile(path, o)
				return img, dataError(err)
			}})
			continue
		}
		ds, err := openData(path, o)
		if err != nil {
			return nil, closeAll, err
		}
		opened = append(opened, ds)
		some := ds.Sample(c.Images, 0)
		for i := range some.Len() {
			images = append(images, pcaImage{name: some.FullPath(i), many: true, load: func() (*dataset.RGB, error) { return some.Load(i) }})
		}
	}
	return images, closeAll, nil
}

// draw writes each image beside its colours, and all of them in one picture if there are several.
func (c *pcaCommand) draw(pictures []*dataset.RGB, names []string, colours *eval.PatchColours, grids []eval.PatchGrid, patch int) (files []string, err error) {
	if err := makeDir(c.OutputDir); err != nil {
		return nil, err
	}
	var all []image.Image
	for i, img := range pictures {
		cols := grids[i].Cols
		var mask []bool
		if c.Foreground {
			mask = colours.Foreground[i]
		}
		both := viz.Sheet([]image.Image{img.Image(), viz.PatchColours(colours.RGB[i], mask, cols, patch)}, 2, 4)
		path := filepath.Join(c.OutputDir, fmt.Sprintf("pca-%03d-%s.png", i, dataset.Stem(filepath.ToSlash(names[i]))))
		if err := viz.WritePNG(path, both); err != nil {
			return nil, err
		}
		files = append(files, path)
		all = append(all, both)
	}
	if len(all) > 1 {
		const columns, most = 2, 32 // pairs
		path := filepath.Join(c.OutputDir, "pca.png")
		if err := viz.WritePNG(path, viz.Sheet(all[:min(len(all), most)], columns, 0)); err != nil {
			return nil, err
		}
		files = append(files, path)
	}
	return files, nil
}
