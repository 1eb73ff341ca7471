package dino

import (
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"image/jpeg"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/godino-ml/godino/dino/augment"
	"github.com/godino-ml/godino/dino/dataset"
	"github.com/godino-ml/godino/nn/weights"
	"github.com/godino-ml/godino/tensor"
)

// CopySetOptions says how a set for copy detection is made.
type CopySetOptions struct {
	Originals   int // pictures that are copied, at most
	Distractors int // others that are put beside them, at most
	Seed        uint64
	Workers     int
	Progress    func(done, of int)
	OnBad       func(err error) // a picture that cannot be read: it is left out
}

const (
	// maxOriginals is how many four digits can number: copies are matched to originals by the first four letters of their names, as in Copydays.
	maxOriginals = 10000
	// originalQuality is the JPEG quality of what was not attacked.
	originalQuality = 95
)

// CopySet is what was written.
type CopySet struct {
	Originals, Distractors int
	Blocks                 []string // folders of copies, one copy of each original in each
}

// MakeCopySet writes pictures of ds and altered copies of them (augment.Attacks) into the folder dir, laid out as Copydays:
//
//	original/000100.jpg        the picture
//	strong/000101.jpg          copies of it: the same four digits first
//	crops/50/000100.jpg …
//	distractors/000007.jpg     other pictures of ds
//	names.csv                  which is which
//
// The seed chooses pictures and attacks: the same set gives the same files. dir must be new or empty, and not within the folder of ds.
func MakeCopySet(ctx context.Context, ds *dataset.Dataset, dir string, o CopySetOptions) (*CopySet, error) {
	if o.Originals < 1 || o.Originals > maxOriginals || o.Distractors < 0 {
		return nil, fmt.Errorf("%d originals and %d distractors: choose 1 to %d, and 0 or more", o.Originals, o.Distractors, maxOriginals)
	}
	if err := freshFolder(dir, ds.Root()); err != nil {
		return nil, err
	}
	order := tensor.Stream(o.Seed, 0x636f70796461).Perm(ds.Len())
	originals := order[:min(o.Originals, len(order))]
	others := order[len(originals):]
	others = others[:min(o.Distractors, len(others))]
	attacks := augment.Attacks()
	set := &CopySet{}
	folders := []string{"original"}
	for _, a := range attacks {
		set.Blocks = append(set.Blocks, a.Block)
		folders = append(folders, a.Block)
	}
	if len(others) > 0 {
		folders = append(folders, "distractors")
	}
	for _, f := range folders {
		if err := os.MkdirAll(filepath.Join(dir, f), 0o777); err != nil {
			return nil, err
		}
	}
	name := func(i int) string {
		if i < len(originals) {
			return fmt.Sprintf("original/%04d00.jpg", i)
		}
		return fmt.Sprintf("distractors/%06d.jpg", i-len(originals))
	}
	all := append(append([]int(nil), originals...), others...)
	// Pictures are attacked where they are loaded, by several goroutines; each writes files of its own.
	work := func(i int) (*dataset.RGB, error) {
		img, err := ds.Load(all[i])
		if err != nil {
			return nil, err
		}
		if err := writeJPEG(filepath.Join(dir, name(i)), img, originalQuality); err != nil || i >= len(originals) {
			return img, err
		}
		for k, a := range attacks {
			copyName := fmt.Sprintf("%04d00.jpg", i)
			if a.Block == "strong" {
				copyName = fmt.Sprintf("%04d01.jpg", i)
			}
			attacked := a.Apply(img, tensor.Stream(o.Seed, uint64(i), uint64(k)))
			if err := writeJPEG(filepath.Join(dir, filepath.FromSlash(a.Block), copyName), attacked, a.JPEG); err != nil {
				return nil, err
			}
		}
		return img, nil
	}
	var list bytes.Buffer
	names := csv.NewWriter(&list)
	names.Write([]string{"name", "source"})
	err := Pictures(ctx, len(all), o.Workers, work, func(i int, _ *dataset.RGB, err error) error {
		var bad *dataset.BadImageError
		switch {
		case errors.As(err, &bad):
			if o.OnBad != nil {
				o.OnBad(err)
			}
		case err != nil:
			return err
		case i < len(originals):
			set.Originals++
		default:
			set.Distractors++
		}
		if err == nil {
			names.Write([]string{name(i), ds.FullPath(all[i])})
		}
		if o.Progress != nil {
			o.Progress(i+1, len(all))
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	names.Flush()
	return set, weights.AtomicWrite(filepath.Join(dir, "names.csv"), func(w io.Writer) error {
		_, err := w.Write(list.Bytes())
		return err
	})
}

// FolderError says that a folder is not one to write a set into.
type FolderError struct{ reason string }

func (e *FolderError) Error() string { return e.reason }

// freshFolder makes a folder, or refuses one that holds something or lies within the source.
func freshFolder(dir, source string) error {
	entries, err := os.ReadDir(dir)
	switch {
	case err == nil && len(entries) > 0:
		return &FolderError{fmt.Sprintf("%s is not empty (it holds %s): nothing is written over; name a new folder", dir, entries[0].Name())}
	case err != nil && !errors.Is(err, os.ErrNotExist):
		return err
	}
	inside, err := within(dir, source)
	if err != nil {
		return err
	}
	if inside {
		return &FolderError{fmt.Sprintf("%s lies within the source %s, which is left as it is: name a folder elsewhere", dir, source)}
	}
	return os.MkdirAll(dir, 0o777)
}

// within says whether dir, which need not exist, is or lies in the folder source.
func within(dir, source string) (bool, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return false, err
	}
	st, err := os.Stat(source)
	if err != nil || !st.IsDir() { // a tar, or a folder inside one
		return false, nil
	}
	for {
		if here, err := os.Stat(dir); err == nil && os.SameFile(here, st) {
			return true, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return false, nil
		}
		// A link leads elsewhere than its parent folder.
		if real, err := filepath.EvalSymlinks(dir); err == nil && real != dir {
			parent = real
		}
		dir = parent
	}
}

func writeJPEG(path string, img *dataset.RGB, quality int) error {
	var b bytes.Buffer
	if err := jpeg.Encode(&b, img.Image(), &jpeg.Options{Quality: quality}); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return os.WriteFile(path, b.Bytes(), 0o666)
}

// copyPrefix is how many letters of the names of an original and its copies are the same.
const copyPrefix = 4

// CopiesOf finds for each copy, by its file's name, the originals that it may be made of: those whose names begin with the same four letters.
func CopiesOf(copies, originals []string) [][]int {
	prefix := func(name string) string {
		name = filepath.Base(name)
		name = strings.TrimSuffix(name, filepath.Ext(name))
		return name[:min(copyPrefix, len(name))]
	}
	by := map[string][]int{}
	for i, name := range originals {
		by[prefix(name)] = append(by[prefix(name)], i)
	}
	positives := make([][]int, len(copies))
	for i, name := range copies {
		positives[i] = by[prefix(name)]
	}
	return positives
}
