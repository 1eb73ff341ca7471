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

// plural is "1 image", "3 images", "2 copies" or "10 classes".
func plural(n int, word string) string {
	switch {
	case n == 1:
		return "1 " + word
	case strings.HasSuffix(word, "y"):
		word = strings.TrimSuffix(word, "y") + "ies"
	case strings.HasSuffix(word, "s"):
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
