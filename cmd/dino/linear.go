package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/godino-ml/godino/dino"
	"github.com/godino-ml/godino/dino/dataset"
)

type linearCommand struct {
	networkFlags
	dataFlags
	clusterFlags
	labelFlags
	ValPath   string  `placeholder:"PATH" group:"Data" help:"Images that are judged, if not inside --data_path."`
	ImageSize int     `group:"Data" placeholder:"PX" help:"Size that images are seen at; as trained if not given."`
	MaxBad    float64 `default:"0.01" name:"max_bad" group:"Data" placeholder:"SHARE" help:"Stop when more than this share of the images cannot be read."`
	NumLabels int     `name:"num_labels" hidden:""`

	NLastBlocks        int       `name:"n_last_blocks" group:"Probe" placeholder:"N" help:"Class tokens of the last N blocks, one after the other; 4, or as many as there are, if not given. The reference takes 4 for small networks, 1 for vit_base."`
	AvgpoolPatchtokens bool      `name:"avgpool_patchtokens" group:"Probe" help:"After them the mean of the last block's patch tokens; the reference does so for vit_base."`
	LR                 []float64 `name:"lr" default:"0.001" sep:"," group:"Probe" placeholder:"LR" help:"Learning rate for 256 images a step; several, as in 0.01,0.1,1, train a classifier each on the same features."`
	Epochs             int       `default:"100" group:"Probe" help:"Epochs."`
	BatchSize          int       `name:"batch_size_per_gpu" aliases:"batch_size" default:"128" group:"Probe" placeholder:"N" help:"Images of a step."`
	CacheFeatures      bool      `name:"cache_features" group:"Probe" help:"Compute the features once, of whole pictures, instead of those of a random crop each epoch: faster by the number of epochs, without the reference's augmentation."`
	ValFreq            int       `name:"val_freq" default:"1" group:"Run" placeholder:"N" help:"Epochs between scores."`
	OutputDir          string    `default:"./runs/linear" group:"Run" placeholder:"DIR" help:"Where the best classifier, head.safetensors, and log.jsonl go."`
	Evaluate           bool      `group:"Run" help:"Train nothing: score the classifier that --head names."`
	Head               string    `placeholder:"FILE" group:"Run" help:"With --evaluate: the classifier; that in output_dir if not given."`
	JSON               bool      `name:"json" group:"Run" help:"Print JSON objects, one a line."`
	Precision          string    `default:"float32" group:"Machine" placeholder:"NAME" help:"Numbers that the layers multiply: float32, or bf16, faster on CPUs that have it."`
	NumWorkers         int       `group:"Machine" placeholder:"N" help:"Threads that decode images; 0 chooses. Results do not depend on it."`
}

func (*linearCommand) Help() string {
	return `Examples:
  dino linear --pretrained_weights runs/cifar/checkpoint.safetensors --data_path cifar10.tar --lr 0.01,0.1,1 --output_dir runs/cifar-linear
  dino linear --pretrained_weights runs/cifar/checkpoint.safetensors --data_path cifar10.tar --output_dir runs/cifar-linear --evaluate
  dino classify --pretrained_weights runs/cifar/checkpoint.safetensors --head runs/cifar-linear/head.safetensors --data_path photos

The network stays as it is; a linear layer learns the classes from its features, by SGD with momentum 0.9 and a cosine schedule, on random crops
and their mirror images. Judged are whole pictures, every --val_freq epochs; the best classifier is kept. Ctrl-C ends with the best so far.`
}

func (c *linearCommand) Run(ctx context.Context, t *terminal) error {
	dev, err := device(c.Device)
	if err == nil {
		dev, err = inPrecision(dev, c.Precision)
	}
	if err == nil {
		err = c.labelFlags.check()
	}
	if err != nil {
		return err
	}
	train, val, err := c.openLabelled(c.ValPath)
	if err != nil {
		return err
	}
	defer train.Close()
	defer val.Close()
	n, err := c.load(dev, t.log)
	if err != nil {
		return err
	}
	if c.Evaluate {
		return c.evaluate(ctx, t, n, val)
	}
	if c.Head != "" {
		return usageError("--head %s goes with --evaluate", c.Head)
	}
	g := c.config(n)
	if err := g.Validate(); err != nil {
		return usageError("%w", err)
	}
	if depth := n.Config().Depth; g.Blocks > depth {
		return usageError("--n_last_blocks %d: %s has %d", g.Blocks, n.Name, depth)
	}
	if g.ImageSize < n.Config().PatchSize {
		return usageError("--image_size %d: choose %d, a patch, to 4096", g.ImageSize, n.Config().PatchSize)
	}
	begin := time.Now()
	p := newProgress(t.out, c.JSON)
	if !c.JSON {
		p.line("network   %s (%s)", c.PretrainedWeights, n.Name)
		p.line("data      %s, %g %% of each class; judged on %s", describe(train), 100*c.LabelFraction, describe(val))
	}
	run, err := dino.TrainLinear(ctx, dino.LinearOptions{
		Config: g, OutputDir: c.OutputDir, Device: dev, Backbone: n.VisionTransformer, Train: train, Val: val, Workers: workers(c.NumWorkers),
		OnBad: func(b dino.BadSample) { t.log.Warn(b.Err.Error()) }, Progress: t.counter, Epoch: p.linear,
	})
	if errors.Is(err, context.Canceled) {
		if c.JSON {
			p.object("interrupted", map[string]any{})
			return nil
		}
		p.line("stopped   the best until now, if there is one, is %s", filepath.Join(c.OutputDir, dino.HeadName))
		return nil
	}
	if err != nil {
		return runError(err)
	}
	r := linearScores{Weights: fmt.Sprintf("%s (%s)", c.PretrainedWeights, n.Name), Head: filepath.Join(c.OutputDir, dino.HeadName),
		Train: run.Train, Test: run.Test, Classes: len(train.Classes()), Best: &run.Best, Last: run.Last}
	if c.JSON {
		p.object("result", r)
		return nil
	}
	for _, s := range run.Last {
		p.line("lr %-7g top-1 %.2f %%  top-5 %.2f %%  after the last epoch", s.LR, s.Top1, s.Top5)
	}
	p.line("done      %s, %s, %s in %s: top-1 %.2f %%, the best, after epoch %d with lr %g: %s", plural(r.Train, "image"), plural(r.Classes, "class"),
		plural(g.Epochs, "epoch"), durationText(time.Since(begin)), run.Best.Top1, run.Best.Epoch+1, run.Best.LR, r.Head)
	return nil
}

// config is the evaluation that the flags ask for.
func (c *linearCommand) config(n *network) dino.LinearConfig {
	g := dino.LinearConfig{Tokens: dino.ClassToken, Blocks: c.NLastBlocks, LRs: c.LR, Epochs: c.Epochs, BatchSize: c.BatchSize, ValFreq: c.ValFreq,
		CacheFeatures: c.CacheFeatures, ImageSize: c.ImageSize, LabelFraction: c.LabelFraction, Seed: c.Seed, MaxBad: c.MaxBad}
	if c.AvgpoolPatchtokens {
		g.Tokens = dino.ClassAndMean
	}
	if g.Blocks == 0 {
		g.Blocks = min(dino.DefaultLinear().Blocks, n.Config().Depth)
	}
	if g.ImageSize == 0 {
		g.ImageSize = n.Side
	}
	return g
}

// linearScores is what linear prints at the end.
type linearScores struct {
	Weights string             `json:"weights"`
	Head    string             `json:"head"`
	Train   int                `json:"train,omitempty"`
	Test    int                `json:"test"`
	Classes int                `json:"classes"`
	Best    *dino.LinearScore  `json:"best,omitempty"` // of all epochs and learning rates
	Last    []dino.LinearScore `json:"last,omitempty"` // of the last epoch, by learning rate
	Top1    *float64           `json:"top1,omitempty"` // of --evaluate
	Top5    *float64           `json:"top5,omitempty"`
}

// evaluate scores a classifier that is there.
func (c *linearCommand) evaluate(ctx context.Context, t *terminal, n *network, val *dataset.Dataset) error {
	path := c.Head
	if path == "" {
		path = filepath.Join(c.OutputDir, dino.HeadName)
	}
	k, err := loadClassifier(n, path)
	if err != nil {
		return err
	}
	if val, err = val.WithClasses(k.Classes); err != nil {
		return dataError(fmt.Errorf("%w: the classifier of %s does not know them", err, path))
	}
	x := extractor{network: n, t: t, size: k.ImageSize, batch: min(c.BatchSize, 256), workers: c.NumWorkers, tokens: k.Tokens, blocks: k.Blocks}
	f, err := x.labelled(ctx, val)
	if err != nil {
		return err
	}
	s, err := k.Head.Score(f)
	if err != nil {
		return err
	}
	if c.JSON {
		return json.NewEncoder(t.out).Encode(linearScores{Weights: c.PretrainedWeights, Head: path, Test: f.Len(), Classes: len(k.Classes), Top1: &s.Top1, Top5: &s.Top5})
	}
	fmt.Fprintf(t.out, "%s: %s of %s: top-1 %.2f %%, top-%d %.2f %%\n", path, plural(f.Len(), "image"), plural(len(k.Classes), "class"), s.Top1, s.Ranks, s.Top5)
	return nil
}

// loadClassifier reads a classifier and refuses one that was trained on another network.
func loadClassifier(n *network, path string) (*dino.Classifier, error) {
	k, err := dino.LoadClassifier(n.dev, path)
	if err != nil {
		return nil, checkpointError(err)
	}
	if err := k.Fits(n.VisionTransformer); err != nil {
		return nil, checkpointError(fmt.Errorf("%s: %w", path, err))
	}
	return k, nil
}

// linear prints an epoch of a linear evaluation.
func (p *progress) linear(e dino.LinearEpoch) {
	if p.json {
		p.object("epoch", e)
		return
	}
	now := time.Now()
	if last := e.Epoch+1 == e.Epochs; !last && (len(e.Scores) == 0 || now.Sub(p.lastLine) < p.every) && !p.lastLine.IsZero() {
		return
	}
	p.lastLine = now
	losses := make([]string, len(e.Loss))
	for i, l := range e.Loss {
		losses[i] = fmt.Sprintf("%.3f", l)
	}
	text := fmt.Sprintf("epoch %d/%d  loss %s", e.Epoch+1, e.Epochs, strings.Join(losses, " "))
	if len(e.Scores) > 0 {
		tops := make([]string, len(e.Scores))
		for i, s := range e.Scores {
			tops[i] = fmt.Sprintf("%.1f", s.Top1)
		}
		text += fmt.Sprintf("  top-1 %s %%  (best %.1f, epoch %d)", strings.Join(tops, " "), e.Best.Top1, e.Best.Epoch+1)
	}
	p.line("%s", text)
}
