package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"

	"github.com/godino-ml/godino/dino/dataset"
)

// dataFlags say where images are.
type dataFlags struct {
	DataPath  string `required:"" placeholder:"PATH" group:"Data" help:"Images: a folder or an uncompressed tar, with or without class folders, or a folder inside a tar (x.tar/train)."`
	MaxPixels int    `default:"${maxPixels}" group:"Data" placeholder:"N" help:"Refuse larger pictures by their header."`
}

func (d *dataFlags) options(split string) dataset.Options {
	return dataset.Options{Split: split, MaxPixels: d.MaxPixels}
}

// openTraining opens the images to train on, or to vote with: the train/ folder of the data, or all of them.
func (d *dataFlags) openTraining() (*dataset.Dataset, error) {
	return openData(d.DataPath, d.options("train"))
}

// openHeldOut opens the images to judge on: those at path; without one, the test/ or val/ folder beside train/; nil if there is none.
func (d *dataFlags) openHeldOut(path string, train *dataset.Dataset) (*dataset.Dataset, error) {
	if path == "" {
		if !train.SplitFound() {
			return nil, nil
		}
		ds, err := openData(d.DataPath, d.options("val"))
		if err != nil || ds.SplitFound() {
			return ds, err
		}
		ds.Close()
		return nil, nil
	}
	return openData(path, d.options("val"))
}

// openLabelled opens the images to learn from and those to judge on, as openTraining and openHeldOut; both have classes, and the same ones.
func (d *dataFlags) openLabelled(valPath string) (train, val *dataset.Dataset, err error) {
	if train, err = d.openTraining(); err != nil {
		return nil, nil, err
	}
	val, err = d.openHeldOut(valPath, train)
	switch {
	case err != nil:
	case val == nil:
		err = usageError("--data_path %s has no train/ with val/ or test/ beside it: name the images to judge with --val_path", d.DataPath)
	case len(train.Classes()) < 2:
		err = dataError(fmt.Errorf("%s: labels are the names of two class folders or more, here are %d", train.Root(), len(train.Classes())))
	default:
		same, e := val.WithClasses(train.Classes())
		if e == nil {
			return train, same, nil
		}
		err = dataError(e)
	}
	train.Close()
	if val != nil {
		val.Close()
	}
	return nil, nil, err
}

// labelFlags choose the share of the labels that is used.
type labelFlags struct {
	LabelFraction float64 `default:"1" group:"Data" placeholder:"SHARE" help:"Use this share of each class's images, rounded, at least one, drawn by --seed: 0.01, 0.1, 1."`
	Seed          uint64  `default:"0" group:"Run" placeholder:"N" help:"Seed of every random choice."`
}

func (f *labelFlags) check() error {
	if !(f.LabelFraction > 0 && f.LabelFraction <= 1) {
		return usageError("--label_fraction %g: choose a share above 0, up to 1", f.LabelFraction)
	}
	return nil
}

func openData(path string, o dataset.Options) (*dataset.Dataset, error) {
	ds, err := dataset.Open(path, o)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, dataError(fmt.Errorf("%w: check the path", err))
	}
	return ds, dataError(err)
}

// describe is a data set in a few words.
func describe(ds *dataset.Dataset) string {
	s := fmt.Sprintf("%s images in %s", count(ds.Len()), ds.Root())
	if n := len(ds.Classes()); n > 0 {
		s += fmt.Sprintf(", %s class folders", count(n))
	}
	return s
}

// shortSide is the median shorter side in pixels of a few images spread over the data, 0 if none of them can be read.
func shortSide(ds *dataset.Dataset) int {
	const looks = 25
	var sides []int
	step := max(1, ds.Len()/looks)
	for i := 0; i < ds.Len() && len(sides) < looks; i += step {
		if img, err := ds.Load(i); err == nil {
			sides = append(sides, min(img.W, img.H))
		}
	}
	if len(sides) == 0 {
		return 0
	}
	slices.Sort(sides)
	return sides[len(sides)/2]
}

// plural is "1 image", "3 images", "2 copies", "10 classes" or "4 patches".
func plural(n int, word string) string {
	switch {
	case n == 1:
		return "1 " + word
	case strings.HasSuffix(word, "y"):
		word = strings.TrimSuffix(word, "y") + "ies"
	case strings.HasSuffix(word, "s"), strings.HasSuffix(word, "tch"):
		word += "es"
	default:
		word += "s"
	}
	return count(n) + " " + word
}

// openFiles opens a folder or tar whose layout means something.
func openFiles(flag, path string) (*dataset.Files, error) {
	f, err := dataset.OpenFiles(path)
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("%s: %w: check the path", flag, err)
	}
	return f, dataError(err)
}

// readAtMost reads all of r, and refuses more than limit bytes.
func readAtMost(r io.Reader, limit int64) ([]byte, error) {
	p, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err == nil && int64(len(p)) > limit {
		err = fmt.Errorf("more than %d bytes", limit)
	}
	return p, err
}
