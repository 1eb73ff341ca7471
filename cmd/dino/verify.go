package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/godino-ml/godino/dino"
	"github.com/godino-ml/godino/dino/dataset"
	"github.com/godino-ml/godino/nn/weights"
)

type verifyCommand struct {
	Path       string `arg:"" help:"A run's folder or a file of weights; or images: a folder or an uncompressed tar."`
	MaxPixels  int    `default:"${maxPixels}" group:"Data" placeholder:"N" help:"Larger pictures are listed as too large, by their header."`
	NumWorkers int    `group:"Machine" placeholder:"N" help:"Threads that decode images; 0 chooses."`
	JSON       bool   `name:"json" group:"Run" help:"Print one JSON object."`
}

func (*verifyCommand) Help() string {
	return `Examples:
  dino verify runs/photos
  dino verify dino_deitsmall16_pretrain.pth
  dino verify photos.tar

Of weights every byte is read and every checksum compared; a folder that holds files of weights is taken as a run's. Of images every file is
decoded; those that are damaged or too large are named, and so are copies, files of the same bytes. The exit status is 5 if a file of weights is
damaged, 4 if an image is damaged or too large, 0 if there are copies alone.`
}

func (c *verifyCommand) Run(ctx context.Context, t *terminal) error {
	if c.NumWorkers < 0 || c.MaxPixels < 1 {
		return usageError("--num_workers %d, --max_pixels %d: choose 0 or more, and 1 or more", c.NumWorkers, c.MaxPixels)
	}
	info, err := os.Stat(c.Path)
	if err == nil && info.Mode().IsRegular() && isWeights(c.Path) {
		return c.weights(ctx, t, []string{c.Path}, nil)
	}
	if err == nil && info.IsDir() {
		files, left, err := weightFiles(c.Path)
		if err != nil {
			return err
		}
		if len(files) > 0 {
			return c.weights(ctx, t, files, left)
		}
	}
	return c.images(ctx, t)
}

// isWeights tells a file of weights, or what is called like one, from a tar of images.
func isWeights(path string) bool {
	switch strings.ToLower(filepath.Ext(path)) {
	case ".safetensors", ".pth", ".pt", ".bin":
		return true
	}
	return false
}

// weightFiles are the files of weights in a folder, and what saves that were killed have left beside them.
func weightFiles(dir string) (files, left []string, err error) {
	entries, err := os.ReadDir(dir) // sorted
	if err != nil {
		return nil, nil, err
	}
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		switch before, temporary := strings.CutSuffix(path, ".tmp"); {
		case !e.Type().IsRegular():
		case isWeights(path):
			files = append(files, path)
		case temporary && isWeights(before):
			left = append(left, path)
		}
	}
	return files, left, nil
}

// weightsReport is what verify prints of files of weights.
type weightsReport struct {
	Files     []weightsCheck `json:"files"`
	Damaged   int            `json:"damaged"`
	Leftovers []string       `json:"leftovers,omitempty"` // of saves that were killed: nothing reads them
}

type weightsCheck struct {
	Path      string `json:"path"`
	Bytes     int64  `json:"bytes"`
	Tensors   int    `json:"tensors"`
	Checksums string `json:"checksums"`      // "each tensor", "zip" or "none"
	Step      *int   `json:"step,omitempty"` // of a run's checkpoint
	Epoch     *int   `json:"epoch,omitempty"`
	Error     string `json:"error,omitempty"`
}

func (c *verifyCommand) weights(ctx context.Context, t *terminal, files, left []string) error {
	r := weightsReport{Leftovers: left}
	progress := t.counter("files of " + c.Path)
	for i, path := range files {
		if err := ctx.Err(); err != nil {
			return err
		}
		check := checkWeights(path)
		if check.Error != "" {
			r.Damaged++
		}
		r.Files = append(r.Files, check)
		if progress != nil {
			progress(i+1, len(files))
		}
	}
	var failed error
	if r.Damaged > 0 {
		failed = checkpointError(fmt.Errorf("%d of %s damaged", r.Damaged, plural(len(files), "file")))
	}
	if c.JSON {
		return errors.Join(json.NewEncoder(t.out).Encode(r), failed)
	}
	for _, f := range r.Files {
		if f.Error != "" {
			fmt.Fprintf(t.out, "damaged  %s\n", f.Error)
			continue
		}
		of := ""
		if f.Step != nil {
			of = fmt.Sprintf(", step %s, epoch %d", count(*f.Step), *f.Epoch)
		}
		fmt.Fprintf(t.out, "whole    %s: %s, %s%s; checksums: %s\n", f.Path, shortBytes(f.Bytes), plural(f.Tensors, "tensor"), of, f.Checksums)
	}
	for _, path := range left {
		fmt.Fprintf(t.out, "left     %s: of a save that was killed; nothing reads it\n", path)
	}
	return failed
}

func checkWeights(path string) (check weightsCheck) {
	check.Path = path
	fail := func(err error) weightsCheck {
		check.Error = err.Error()
		return check
	}
	f, err := weights.Open(path)
	if err != nil {
		return fail(err)
	}
	defer f.Close()
	if info, err := os.Stat(path); err == nil {
		check.Bytes = info.Size()
	}
	check.Tensors = len(f.Entries())
	switch {
	case f.Format == "pth":
		check.Checksums = "zip"
	case f.Checksummed():
		check.Checksums = "each tensor"
	default:
		check.Checksums = "none"
	}
	if _, ours := f.Metadata["godino"]; !ours {
		if err := f.Verify(); err != nil {
			return fail(err)
		}
		return check
	}
	head, err := dino.VerifyCheckpoint(f)
	if err != nil {
		return fail(err)
	}
	check.Step, check.Epoch = &head.Step, &head.Epoch
	return check
}

// imagesReport is what verify prints of images.
type imagesReport struct {
	Root     string     `json:"root"`
	Images   int        `json:"images"`
	Classes  int        `json:"classes"`
	Whole    int        `json:"whole"`
	Damaged  []badImage `json:"damaged"`
	TooLarge []badImage `json:"too_large"`
	Copies   [][]string `json:"copies"` // sets of files of the same bytes
}

type badImage struct {
	Path   string `json:"path"`
	Reason string `json:"reason"`
}

func (c *verifyCommand) images(ctx context.Context, t *terminal) error {
	ds, err := openData(c.Path, dataset.Options{MaxPixels: c.MaxPixels})
	if err != nil {
		return err
	}
	defer ds.Close()
	sums, bad, err := checkImages(ctx, ds, c.NumWorkers, t.counter("images of "+ds.Root()))
	if err != nil {
		return err
	}
	r := imagesReport{Root: ds.Root(), Images: ds.Len(), Classes: len(ds.Classes()), Damaged: []badImage{}, TooLarge: []badImage{}, Copies: copies(ds, sums)}
	for i, err := range bad {
		var b *dataset.BadImageError
		switch {
		case err == nil:
			r.Whole++
		case !errors.As(err, &b):
			return err
		case errors.Is(err, dataset.ErrTooLarge):
			r.TooLarge = append(r.TooLarge, badImage{ds.Path(i), b.Reason})
		default:
			r.Damaged = append(r.Damaged, badImage{ds.Path(i), b.Reason})
		}
	}
	var failed error
	if n := len(r.Damaged) + len(r.TooLarge); n > 0 {
		failed = dataError(fmt.Errorf("%s of %s cannot be used", count(n), plural(r.Images, "image")))
	}
	if c.JSON {
		return errors.Join(json.NewEncoder(t.out).Encode(r), failed)
	}
	fmt.Fprintf(t.out, "%s: %s whole, %d damaged, %d too large, %s\n", describe(ds), count(r.Whole), len(r.Damaged), len(r.TooLarge), plural(len(r.Copies), "set")+" of copies")
	for _, b := range r.Damaged {
		fmt.Fprintf(t.out, "damaged    %s: %s\n", lineOf(b.Path), b.Reason)
	}
	for _, b := range r.TooLarge {
		fmt.Fprintf(t.out, "too large  %s: %s\n", lineOf(b.Path), b.Reason)
	}
	for _, set := range r.Copies {
		lines := make([]string, len(set))
		for i, p := range set {
			lines[i] = lineOf(p)
		}
		fmt.Fprintf(t.out, "copies     %s\n", strings.Join(lines, ", "))
	}
	return failed
}

// checkImages decodes every image: the sum of its bytes, nil where they could not be read, and what is wrong with it.
func checkImages(ctx context.Context, ds *dataset.Dataset, workers int, progress func(done, of int)) (sums []*dataset.Sum, bad []error, err error) {
	if workers == 0 {
		workers = runtime.GOMAXPROCS(0)
	}
	sums, bad = make([]*dataset.Sum, ds.Len()), make([]error, ds.Len())
	var next, done atomic.Int64
	var wait sync.WaitGroup
	var show sync.Mutex
	for range min(workers, ds.Len()) {
		wait.Go(func() {
			for ctx.Err() == nil {
				i := int(next.Add(1)) - 1
				if i >= ds.Len() {
					return
				}
				sums[i], bad[i] = ds.Check(i)
				n := int(done.Add(1))
				if progress != nil {
					show.Lock()
					progress(n, ds.Len())
					show.Unlock()
				}
			}
		})
	}
	wait.Wait()
	return sums, bad, ctx.Err()
}

// copies are the sets of images of the same bytes, each in the order of the data.
func copies(ds *dataset.Dataset, sums []*dataset.Sum) [][]string {
	sets := map[dataset.Sum][]int{}
	for i, s := range sums {
		if s != nil {
			sets[*s] = append(sets[*s], i)
		}
	}
	several := [][]int{}
	for _, set := range sets {
		if len(set) > 1 {
			several = append(several, set)
		}
	}
	slices.SortFunc(several, func(a, b []int) int { return a[0] - b[0] })
	list := [][]string{}
	for _, set := range several {
		var paths []string
		for _, i := range set {
			paths = append(paths, ds.Path(i))
		}
		list = append(list, paths)
	}
	return list
}
