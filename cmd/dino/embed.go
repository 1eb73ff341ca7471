package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/godino-ml/godino/dino"
	"github.com/godino-ml/godino/internal/npy"
	"github.com/godino-ml/godino/nn/weights"
)

type embedCommand struct {
	networkFlags
	dataFlags
	Out        string `required:"" placeholder:"F.npy|F.csv" group:"Run" help:"File for the features; beside it F.paths.txt names the image of each row."`
	Tokens     string `default:"cls" group:"Run" placeholder:"cls|patch|mean" help:"cls: the class token; mean: the mean of the patch tokens; patch: all of them, row by row."`
	ImageSize  int    `group:"Data" placeholder:"PX" help:"Size that images are seen at; as trained if not given."`
	BatchSize  int    `name:"batch_size_per_gpu" aliases:"batch_size" default:"64" group:"Machine" placeholder:"N" help:"Images of one pass."`
	Precision  string `default:"float32" group:"Machine" placeholder:"NAME" help:"Numbers that the layers multiply: float32, or bf16, faster on CPUs that have it."`
	NumWorkers int    `group:"Machine" placeholder:"N" help:"Threads that decode images; 0 chooses."`
}

func (*embedCommand) Help() string {
	return `Examples:
  dino embed --pretrained_weights runs/cifar/checkpoint.safetensors --data_path photos --out photos.npy
  dino embed --pretrained_weights w.pth --data_path photos.tar --out photos.csv --tokens mean

Rows are in sorted order of the images' paths. Images that cannot be read are named on standard error and have no row. A .npy holds float32
(N, D), or (N, patches, D) with --tokens patch; a .csv has the path first.`
}

func (c *embedCommand) Run(ctx context.Context, t *terminal) error {
	ending := strings.ToLower(filepath.Ext(c.Out))
	if ending != ".npy" && ending != ".csv" {
		return usageError("--out %s: its ending says the format: choose .npy or .csv", c.Out)
	}
	switch c.Tokens {
	case "cls", "patch", "mean":
	default:
		return usageError("--tokens %q: choose cls, patch or mean", c.Tokens)
	}
	dev, err := device(c.Device)
	if err == nil {
		dev, err = inPrecision(dev, c.Precision)
	}
	if err != nil {
		return err
	}
	ds, err := openData(c.DataPath, c.options(""))
	if err != nil {
		return err
	}
	defer ds.Close()
	n, err := c.load(dev, t.log)
	if err != nil {
		return err
	}
	x := extractor{network: n, t: t, tokens: dino.Tokens(c.Tokens), size: c.ImageSize, batch: c.BatchSize, workers: c.NumWorkers}
	f, err := x.features(ctx, ds)
	if err != nil {
		return err
	}
	paths := make([]string, len(f.Index))
	for row, i := range f.Index {
		paths[row] = ds.Path(i)
	}
	shape := []int{len(paths), f.Dim}
	if c.Tokens == "patch" {
		shape = []int{len(paths), f.Dim / n.Config().Dim, n.Config().Dim}
	}
	err = weights.AtomicWrite(c.Out, func(w io.Writer) error {
		if ending == ".npy" {
			return npy.Write(w, f.Data, shape...)
		}
		return writeCSV(w, paths, f.Data, f.Dim)
	})
	if err != nil {
		return fmt.Errorf("--out: %w", err)
	}
	list := strings.TrimSuffix(c.Out, filepath.Ext(c.Out)) + ".paths.txt"
	err = weights.AtomicWrite(list, func(w io.Writer) error {
		b := bufio.NewWriter(w)
		for _, p := range paths {
			b.WriteString(lineOf(p) + "\n")
		}
		return b.Flush()
	})
	if err != nil {
		return err
	}
	fmt.Fprintf(t.out, "%s: features of %s, %v float32, by %s; paths in %s\n", c.Out, plural(len(paths), "image"), shape, n.Name, list)
	if bad := ds.Len() - len(paths); bad > 0 {
		fmt.Fprintf(t.out, "left out: %s that cannot be read\n", plural(bad, "image"))
	}
	return nil
}

// lineOf is a path on one line: one with a line break in it is quoted as in Go.
func lineOf(path string) string {
	if strings.ContainsAny(path, "\n\r") {
		return strconv.Quote(path)
	}
	return path
}

// writeCSV writes a line of path and numbers for each row of dim. Numbers are as short as they can be and still read back to the same
// float32.
func writeCSV(w io.Writer, paths []string, data []float32, dim int) error {
	b := bufio.NewWriter(w)
	b.WriteString("path")
	for j := range dim {
		fmt.Fprintf(b, ",f%d", j)
	}
	b.WriteByte('\n')
	var number []byte
	for i, p := range paths {
		if strings.ContainsAny(p, ",\"\n\r") {
			p = `"` + strings.ReplaceAll(p, `"`, `""`) + `"`
		}
		b.WriteString(p)
		for _, v := range data[i*dim : (i+1)*dim] {
			number = strconv.AppendFloat(append(number[:0], ','), float64(v), 'g', -1, 32)
			b.Write(number)
		}
		b.WriteByte('\n')
	}
	return b.Flush() // reports the first error of all writes
}
