package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"text/tabwriter"

	"github.com/godino-ml/godino/dino"
	"github.com/godino-ml/godino/dino/dataset"
	"github.com/godino-ml/godino/dino/eval"
	"github.com/godino-ml/godino/tensor"
)

type knnCommand struct {
	PretrainedWeights string `xor:"features" placeholder:"FILE" group:"Network" help:"Weights: a checkpoint of train, a .pth of the reference, or safetensors."`
	LoadFeatures      string `xor:"features" placeholder:"FILE" group:"Run" help:"Score features that --dump_features wrote, without network and images."`
	CheckpointKey     string `default:"teacher" group:"Network" placeholder:"KEY" help:"Which network of a checkpoint: teacher or student."`
	Arch              string `group:"Network" placeholder:"NAME" help:"Backbone; read from the file where it says so."`
	PatchSize         int    `group:"Network" placeholder:"PX" help:"Side of a patch; read from the file if not given."`

	DataPath  string `placeholder:"PATH" group:"Data" help:"Images that vote, in class folders: a folder or tar; or one with train/ and val/ (or test/) inside."`
	ValPath   string `placeholder:"PATH" group:"Data" help:"Images that are judged, if not inside --data_path."`
	MaxPixels int    `default:"${maxPixels}" group:"Data" placeholder:"N" help:"Refuse larger pictures by their header."`
	ImageSize int    `group:"Data" placeholder:"PX" help:"Size that images are seen at; as trained if not given."`

	NbKNN       []int   `name:"nb_knn" default:"10,20,100,200" sep:"," group:"Run" placeholder:"K" help:"How many neighbours vote; one score for each."`
	Temperature float64 `default:"0.07" group:"Run" help:"Temperature of the votes."`
	labelFlags
	DumpFeatures string `group:"Run" placeholder:"FILE" help:"Also write the features and labels, as safetensors."`
	BatchSize    int    `name:"batch_size_per_gpu" aliases:"batch_size" default:"64" group:"Machine" placeholder:"N" help:"Images of one pass."`
	Precision    string `default:"float32" group:"Machine" placeholder:"NAME" help:"Numbers that the layers multiply: float32, or bf16, faster on CPUs that have it."`
	NumWorkers   int    `group:"Machine" placeholder:"N" help:"Threads that decode images; 0 chooses."`
	Device       string `default:"auto" group:"Machine" placeholder:"NAME" help:"cpu, cuda or auto."`
	JSON         bool   `name:"json" group:"Run" help:"Print one JSON object."`
}

func (*knnCommand) Help() string {
	return `Examples:
  dino knn --pretrained_weights runs/cifar/checkpoint.safetensors --data_path cifar10.tar
  dino knn --pretrained_weights dino_deitsmall16_pretrain.pth --data_path imagenet/train --val_path imagenet/val

For each image that is judged, the k most similar of the others vote for their class, weighted by exp(cosine / temperature). Printed is the
share of images whose class comes first (top-1) and among the first five (top-5).`
}

// knnScores is what knn prints.
type knnScores struct {
	Weights string     `json:"weights"`
	Train   int        `json:"train"`
	Test    int        `json:"test"`
	Classes int        `json:"classes"`
	Scores  []knnScore `json:"scores"`
}

type knnScore struct {
	K    int     `json:"k"`
	Top1 float64 `json:"top1"`
	Top5 float64 `json:"top5"`
	Note string  `json:"note,omitempty"`
}

func (c *knnCommand) Run(ctx context.Context, t *terminal) error {
	dev, err := device(c.Device)
	if err == nil {
		dev, err = inPrecision(dev, c.Precision)
	}
	if err != nil {
		return err
	}
	if !(c.Temperature >= 0.0015 && c.Temperature <= 1e3) {
		return usageError("--temperature %g: choose 0.0015 to 1000; 0.07 is usual", c.Temperature)
	}
	if len(c.NbKNN) == 0 || slices.Min(c.NbKNN) < 1 {
		return usageError("--nb_knn %v: choose numbers from 1 on", c.NbKNN)
	}
	if err := c.labelFlags.check(); err != nil {
		return err
	}
	if c.LoadFeatures != "" && c.LabelFraction < 1 {
		return usageError("--label_fraction chooses among images, --load_features has none: leave one of them out")
	}
	var f *featurePair
	if c.LoadFeatures != "" {
		if f, err = readFeatures(c.LoadFeatures); err != nil {
			return checkpointError(err)
		}
	} else if f, err = c.features(ctx, t, dev); err != nil {
		return err
	}
	if c.DumpFeatures != "" {
		if err := f.write(c.DumpFeatures); err != nil {
			return err
		}
	}
	results, err := eval.KNN(dev, f.Train, f.Test, len(f.Classes), c.NbKNN, c.Temperature)
	if err != nil {
		return dataError(err)
	}
	s := knnScores{Weights: f.Weights, Train: f.Train.Len(), Test: f.Test.Len(), Classes: len(f.Classes)}
	for _, r := range results {
		s.Scores = append(s.Scores, knnScore{r.K, r.Top1, r.Top5, r.Note})
	}
	if c.JSON {
		return json.NewEncoder(t.out).Encode(s)
	}
	fmt.Fprintf(t.out, "%s: %s vote on %s of %s\n", s.Weights, plural(s.Train, "image"), plural(s.Test, "image"), plural(s.Classes, "class"))
	w := tabwriter.NewWriter(t.out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "k\ttop-1 %\ttop-5 %\t")
	for _, r := range s.Scores {
		fmt.Fprintf(w, "%d\t%.2f\t%.2f\t\n", r.K, r.Top1, r.Top5)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for _, r := range s.Scores {
		if r.Note != "" {
			fmt.Fprintf(t.out, "note: %s\n", r.Note)
		}
	}
	return nil
}

// features computes the features of both sets.
func (c *knnCommand) features(ctx context.Context, t *terminal, dev *tensor.Device) (*featurePair, error) {
	if c.PretrainedWeights == "" || c.DataPath == "" {
		return nil, usageError("needs --pretrained_weights and --data_path, or --load_features")
	}
	d := dataFlags{DataPath: c.DataPath, MaxPixels: c.MaxPixels}
	train, test, err := d.openLabelled(c.ValPath)
	if err != nil {
		return nil, err
	}
	defer train.Close()
	defer test.Close()
	if c.LabelFraction < 1 {
		train = train.Fraction(c.LabelFraction, c.Seed)
	}
	n, err := (&networkFlags{PretrainedWeights: c.PretrainedWeights, CheckpointKey: c.CheckpointKey, Arch: c.Arch, PatchSize: c.PatchSize}).load(dev, t.log)
	if err != nil {
		return nil, err
	}
	x := extractor{network: n, t: t, size: c.ImageSize, batch: c.BatchSize, workers: c.NumWorkers}
	f := &featurePair{Weights: fmt.Sprintf("%s (%s)", c.PretrainedWeights, n.Name), Classes: train.Classes()}
	if f.Train, err = x.labelled(ctx, train); err != nil {
		return nil, err
	}
	if f.Test, err = x.labelled(ctx, test); err != nil {
		return nil, err
	}
	return f, nil
}

// extractor computes features for a command, naming images that cannot be read.
type extractor struct {
	*network
	t       *terminal
	tokens  dino.Tokens
	blocks  int // see dino.FeatureOptions
	size    int
	batch   int
	workers int
}

func (x *extractor) features(ctx context.Context, ds *dataset.Dataset) (*dino.FeatureSet, error) {
	transform := x.EvalTransform(x.size)
	if transform.Size() < x.Config().PatchSize || transform.Size() > 4096 {
		return nil, usageError("--image_size %d: choose %d, a patch, to 4096", x.size, x.Config().PatchSize)
	}
	if x.batch < 1 || x.batch > 1<<16 {
		return nil, usageError("--batch_size_per_gpu %d: choose 1 to 65536", x.batch)
	}
	f, err := dino.Features(ctx, x.dev, x.VisionTransformer, ds, transform, dino.FeatureOptions{
		Tokens: x.tokens, Blocks: x.blocks, Progress: x.t.counter("images of " + ds.Root()),
		EvalOptions: dino.EvalOptions{Batch: x.batch, Workers: workers(x.workers), MaxBad: 1,
			OnBad: func(b dino.BadSample) { x.t.log.Warn("left out: " + b.Err.Error()) }},
	})
	if err != nil {
		return nil, err
	}
	if f.Len() == 0 {
		return nil, dataError(fmt.Errorf("%s: none of %s can be read", ds.Root(), plural(ds.Len(), "image")))
	}
	return f, nil
}

// labelled are the features of the images that have a class.
func (x *extractor) labelled(ctx context.Context, ds *dataset.Dataset) (eval.Features, error) {
	var keep []int
	for i := range ds.Len() {
		if ds.Label(i) >= 0 {
			keep = append(keep, i)
		}
	}
	if len(keep) == 0 {
		return eval.Features{}, dataError(fmt.Errorf("%s: no image lies in a class folder", ds.Root()))
	}
	f, err := x.features(ctx, ds.Subset(keep))
	if err != nil {
		return eval.Features{}, err
	}
	return f.Features, nil
}
