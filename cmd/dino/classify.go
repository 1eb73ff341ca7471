package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/godino-ml/godino/dino"
)

type classifyCommand struct {
	networkFlags
	dataFlags
	Head       string `placeholder:"FILE" group:"Network" help:"Classifier that dino linear wrote; that inside --pretrained_weights, as dino finetune writes it, if not given."`
	Top        int    `default:"1" group:"Run" placeholder:"N" help:"Name the N most probable classes."`
	BatchSize  int    `name:"batch_size_per_gpu" aliases:"batch_size" default:"64" group:"Machine" placeholder:"N" help:"Images of one pass."`
	Precision  string `default:"float32" group:"Machine" placeholder:"NAME" help:"Numbers that the layers multiply: float32, or bf16, faster on CPUs that have it."`
	NumWorkers int    `group:"Machine" placeholder:"N" help:"Threads that decode images; 0 chooses."`
	JSON       bool   `name:"json" group:"Run" help:"Print JSON objects, one an image."`
}

func (*classifyCommand) Help() string {
	return `Examples:
  dino classify --pretrained_weights runs/cifar/checkpoint.safetensors --head runs/linear/head.safetensors --data_path photos
  dino classify --pretrained_weights runs/finetune/best.safetensors --data_path photos.tar --top 3 > classes.tsv

A line for each image, in sorted order of their paths: the path, then class and probability, between tabs. Images that cannot be read are named
on standard error and have no line.`
}

// guess is a class and its probability.
type guess struct {
	Class       string  `json:"class"`
	Probability float64 `json:"probability"`
}

func (c *classifyCommand) Run(ctx context.Context, t *terminal) error {
	dev, err := device(c.Device)
	if err == nil {
		dev, err = inPrecision(dev, c.Precision)
	}
	if err != nil {
		return err
	}
	if c.Top < 1 {
		return usageError("--top %d: choose 1 or more", c.Top)
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
	path := c.Head
	if path == "" {
		path = dino.WeightsPath(c.PretrainedWeights)
	}
	k, err := loadClassifier(n, path)
	if err != nil {
		return err
	}
	x := extractor{network: n, t: t, size: k.ImageSize, batch: c.BatchSize, workers: c.NumWorkers, tokens: k.Tokens, blocks: k.Blocks}
	f, err := x.features(ctx, ds)
	if err != nil {
		return err
	}
	out := bufio.NewWriter(t.out)
	objects := json.NewEncoder(out)
	for row, i := range f.Index {
		guesses := mostProbable(k.Head.Probabilities(f.Data[row*f.Dim:(row+1)*f.Dim]), k.Classes, c.Top)
		if c.JSON {
			if err := objects.Encode(map[string]any{"path": ds.Path(i), "classes": guesses}); err != nil {
				return err
			}
			continue
		}
		out.WriteString(lineOf(ds.Path(i)))
		for _, g := range guesses {
			fmt.Fprintf(out, "\t%s\t%.4f", g.Class, g.Probability)
		}
		out.WriteByte('\n')
	}
	return out.Flush() // reports the first error of all writes
}

// mostProbable are the n classes of the highest probability, highest first; of equal ones the lower number.
func mostProbable(probabilities []float32, classes []string, n int) []guess {
	order := make([]int, len(classes))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		switch {
		case probabilities[a] > probabilities[b]:
			return -1
		case probabilities[a] < probabilities[b]:
			return 1
		}
		return 0
	})
	guesses := make([]guess, min(n, len(order)))
	for i := range guesses {
		guesses[i] = guess{classes[order[i]], float64(probabilities[order[i]])}
	}
	return guesses
}
