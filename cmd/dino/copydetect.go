package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/godino-ml/godino/dino"
	"github.com/godino-ml/godino/dino/augment"
	"github.com/godino-ml/godino/dino/dataset"
	"github.com/godino-ml/godino/dino/eval"
)

type copyDetectCommand struct {
	PretrainedWeights string `placeholder:"FILE" group:"Network" help:"Weights: a checkpoint of train, a .pth of the reference, or safetensors."`
	CheckpointKey     string `default:"teacher" group:"Network" placeholder:"KEY" help:"Which network of a checkpoint: teacher or student."`
	Arch              string `group:"Network" placeholder:"NAME" help:"Backbone; read from the file where it says so."`
	PatchSize         int    `group:"Network" placeholder:"PX" help:"Side of a patch; read from the file if not given."`
	clusterFlags

	DataPath        string `required:"" placeholder:"PATH" group:"Data" help:"Folder or tar laid out as Copydays: original/, strong/, crops/50/, …; with --make_attacks, any images."`
	DistractorsPath string `placeholder:"PATH" group:"Data" help:"Images that are searched too and are copies of nothing; distractors/ of --data_path if it is there."`
	WhiteningPath   string `placeholder:"PATH" group:"Data" help:"Images to learn a whitening of the features from: other ones, and more than a feature has numbers."`
	MaxPixels       int    `default:"${maxPixels}" group:"Data" placeholder:"N" help:"Refuse larger pictures by their header."`
	Imsize          int    `name:"imsize" default:"320" group:"Data" placeholder:"PX" help:"Images are resized to a square of this side, whatever their shape."`
	BatchSize       int    `name:"batch_size_per_gpu" aliases:"batch_size" default:"16" group:"Machine" placeholder:"N" help:"Images of one pass."`
	NumWorkers      int    `group:"Machine" placeholder:"N" help:"Threads that decode images; 0 chooses."`
	Device          string `default:"auto" group:"Machine" placeholder:"NAME" help:"cpu, cuda, cuda:N for the GPU of that number, or auto."`
	JSON            bool   `name:"json" group:"Run" help:"Print one JSON object."`

	MakeAttacks string `placeholder:"DIR" group:"Making a set" help:"Write images of --data_path and altered copies of them into a new folder, and stop."`
	Originals   int    `default:"157" placeholder:"N" group:"Making a set" help:"How many images are copied."`
	Distractors int    `default:"1000" placeholder:"N" group:"Making a set" help:"How many others are put beside them, if there are so many."`
	Seed        uint64 `default:"0" placeholder:"N" group:"Making a set" help:"Seed of the choice of images and of the attacks."`
}

func (*copyDetectCommand) Help() string {
	return `Examples:
  dino copydetect --make_attacks copies --data_path photos.tar
  dino copydetect --pretrained_weights w.safetensors --data_path copies
  dino copydetect --pretrained_weights w.pth --data_path copydays --distractors_path yfcc10k --whitening_path yfcc20k

A feature is the class token beside the generalised mean (power 4) of the patch tokens. Each copy searches the originals and distractors; its
score is the average precision of its original among the 20 nearest. A copy and its original share the first four letters of their names.
--make_attacks writes JPEG qualities, crops, rotations, brush strokes, blurs, and mixes of them (strong), the same for the same seed.`
}

// copyScores is what copydetect prints.
type copyScores struct {
	Weights   string      `json:"weights"`
	Originals int         `json:"originals"`
	Others    int         `json:"distractors"`
	Whitening int         `json:"whitening"` // images that it was learnt from
	Imsize    int         `json:"imsize"`
	Blocks    []copyBlock `json:"blocks"`
	Mean      float64     `json:"mean"` // of the blocks' mAP
}

type copyBlock struct {
	Name    string  `json:"name"`
	Queries int     `json:"queries"`
	MAP     float64 `json:"map"` // per cent
}

func (c *copyDetectCommand) Run(ctx context.Context, t *terminal) error {
	if c.NumWorkers <= 0 {
		c.NumWorkers = runtime.GOMAXPROCS(0)
	}
	if c.Originals < 1 || c.Originals > 10000 || c.Distractors < 0 {
		return usageError("--originals %d --distractors %d: choose 1 to 10000 originals, and 0 or more distractors", c.Originals, c.Distractors)
	}
	if c.MakeAttacks != "" {
		return c.makeAttacks(ctx, t)
	}
	if c.PretrainedWeights == "" {
		return usageError("needs --pretrained_weights; or --make_attacks DIR, to make a set")
	}
	if c.Imsize < 1 || c.Imsize > 1<<12 {
		return usageError("--imsize %d: choose 1 to %d", c.Imsize, 1<<12)
	}
	if c.BatchSize < 1 || c.BatchSize > 1<<16 {
		return usageError("--batch_size_per_gpu %d: choose 1 to 65536", c.BatchSize)
	}
	dev, err := device(c.Device)
	if err != nil {
		return err
	}
	blocks, err := c.blocks()
	if err != nil {
		return err
	}
	n, err := (&networkFlags{PretrainedWeights: c.PretrainedWeights, CheckpointKey: c.CheckpointKey, Arch: c.Arch, PatchSize: c.PatchSize}).load(dev, t.log)
	if err != nil {
		return err
	}
	if n.Config().PatchSize > c.Imsize {
		return usageError("--imsize %d is less than a patch of %d", c.Imsize, n.Config().PatchSize)
	}
	x := copyExtractor{c, n, t}

	originals, names, err := x.features(ctx, blocks.original)
	if err != nil {
		return err
	}
	s := copyScores{Weights: fmt.Sprintf("%s (%s)", c.PretrainedWeights, n.Name), Originals: originals.Len(), Imsize: c.Imsize}
	database := originals
	if blocks.distractors != "" {
		others, _, err := x.features(ctx, blocks.distractors)
		if err != nil {
			return err
		}
		s.Others = others.Len()
		database.Data = append(slices.Clip(database.Data), others.Data...)
	}
	whiten := func(f eval.Features) (eval.Features, error) { return f, nil }
	if c.WhiteningPath != "" {
		f, _, err := x.features(ctx, c.WhiteningPath)
		if err != nil {
			return err
		}
		w, err := eval.LearnWhitening(f)
		if err != nil {
			return dataError(err)
		}
		if s.Whitening = f.Len(); s.Whitening < f.Dim {
			t.log.Warn(fmt.Sprintf("--whitening_path: %d images for features of %d numbers: %d directions are guesswork; use more images", s.Whitening, f.Dim, w.Floored))
		}
		whiten = w.Apply
	}
	if database, err = whiten(database); err != nil {
		return err
	}
	for _, b := range blocks.copies {
		queries, files, err := x.features(ctx, blocks.root+"/"+b)
		if err != nil {
			return err
		}
		positives := dino.CopiesOf(files, names)
		queries, positives, orphans := withOriginals(queries, positives)
		if orphans > 0 {
			t.log.Warn(fmt.Sprintf("%s: no original has the first four letters of %s: left out", b, plural(orphans, "copy")))
		}
		if len(positives) == 0 {
			return dataError(fmt.Errorf("%s/%s: none of its images has an original in original/: the first four letters of their names must be the same", blocks.root, b))
		}
		if queries, err = whiten(queries); err != nil {
			return err
		}
		_, mean, err := eval.CopyDetection(dev, queries, database, positives)
		if err != nil {
			return dataError(err)
		}
		s.Blocks = append(s.Blocks, copyBlock{b, len(positives), 100 * mean})
		s.Mean += 100 * mean / float64(len(blocks.copies))
	}
	if c.JSON {
		return json.NewEncoder(t.out).Encode(s)
	}
	fmt.Fprintf(t.out, "%s: copies of %s among %s, %d px", s.Weights, plural(s.Originals, "original"), plural(s.Others, "distractor"), s.Imsize)
	if s.Whitening > 0 {
		fmt.Fprintf(t.out, ", whitened by %s", plural(s.Whitening, "image"))
	}
	fmt.Fprintln(t.out)
	w := tabwriter.NewWriter(t.out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "copies\tqueries\tmAP %\t")
	for _, b := range s.Blocks {
		fmt.Fprintf(w, "%s\t%d\t%.2f\t\n", b.Name, b.Queries, b.MAP)
	}
	fmt.Fprintf(w, "mean\t\t%.2f\t\n", s.Mean)
	return w.Flush()
}

// withOriginals drops the copies without an original.
func withOriginals(f eval.Features, positives [][]int) (eval.Features, [][]int, int) {
	kept := eval.Features{Dim: f.Dim}
	var lists [][]int
	for i, p := range positives {
		if len(p) > 0 {
			kept.Data = append(kept.Data, f.Data[i*f.Dim:(i+1)*f.Dim]...)
			lists = append(lists, p)
		}
	}
	return kept, lists, len(positives) - len(lists)
}

// copyBlocks are the folders of a set.
type copyBlocks struct {
	root, original, distractors string
	copies                      []string // below root
}

func (c *copyDetectCommand) blocks() (*copyBlocks, error) {
	files, err := openFiles("--data_path", c.DataPath)
	if err != nil {
		return nil, err
	}
	defer files.Close()
	b := &copyBlocks{}
	folders := map[string]bool{}
	for _, name := range files.Names() {
		if dataset.IsImageName(name) {
			folders[path.Dir(name)] = true
		}
	}
	prefix, found := "", false
	for f := range folders {
		if path.Base(f) == "original" && (!found || len(f) < len(prefix)+len("original")) {
			prefix, found = strings.TrimSuffix(f, "original"), true
		}
	}
	if !found {
		return nil, dataError(fmt.Errorf("%s: no folder original/ with images: lay them out as Copydays, or make a set from any images with --make_attacks DIR", c.DataPath))
	}
	b.root = strings.TrimSuffix(strings.TrimSuffix(c.DataPath, "/")+"/"+prefix, "/")
	b.original = b.root + "/original"
	b.distractors = c.DistractorsPath
	for f := range folders {
		switch rest, ok := strings.CutPrefix(f, prefix); {
		case !ok || rest == "original":
		case rest == "distractors":
			if c.DistractorsPath == "" {
				b.distractors = b.root + "/distractors"
			}
		default:
			b.copies = append(b.copies, rest)
		}
	}
	if len(b.copies) == 0 {
		return nil, dataError(fmt.Errorf("%s: no folders of copies beside original/: strong/, crops/50/ and so on", b.root))
	}
	slices.SortFunc(b.copies, dataset.CompareNatural)
	if i := slices.Index(b.copies, "strong"); i > 0 { // what is published comes first
		b.copies = slices.Insert(slices.Delete(b.copies, i, i+1), 0, "strong")
	}
	return b, nil
}

// copyExtractor computes features for copy detection, naming images that cannot be read.
type copyExtractor struct {
	*copyDetectCommand
	n *network
	t *terminal
}

// features are those of the images at path, and the images' names.
func (x *copyExtractor) features(ctx context.Context, path string) (eval.Features, []string, error) {
	ds, err := openData(path, dataset.Options{MaxPixels: x.MaxPixels})
	if err != nil {
		return eval.Features{}, nil, err
	}
	defer ds.Close()
	f, err := dino.Features(ctx, x.n.dev, x.n.VisionTransformer, ds, augment.Square(x.Imsize), dino.FeatureOptions{
		Tokens: dino.ClassAndGeM, Progress: x.t.counter("images of " + ds.Root()),
		EvalOptions: dino.EvalOptions{Batch: x.BatchSize, Workers: x.NumWorkers, MaxBad: 1,
			OnBad: func(b dino.BadSample) { x.t.log.Warn("left out: " + b.Err.Error()) }},
	})
	if err != nil {
		return eval.Features{}, nil, err
	}
	if f.Len() == 0 {
		return eval.Features{}, nil, dataError(fmt.Errorf("%s: none of %s can be read", ds.Root(), plural(ds.Len(), "image")))
	}
	names := make([]string, f.Len())
	for row, i := range f.Index {
		names[row] = ds.Path(i)
	}
	return eval.Features{Data: f.Data, Dim: f.Dim}, names, nil
}

func (c *copyDetectCommand) makeAttacks(ctx context.Context, t *terminal) error {
	ds, err := openData(c.DataPath, dataset.Options{MaxPixels: c.MaxPixels})
	if err != nil {
		return err
	}
	defer ds.Close()
	set, err := dino.MakeCopySet(ctx, ds, c.MakeAttacks, dino.CopySetOptions{Originals: c.Originals, Distractors: c.Distractors, Seed: c.Seed, Workers: c.NumWorkers,
		Progress: t.counter("images"), OnBad: func(err error) { t.log.Warn("left out: " + err.Error()) }})
	if err != nil {
		err = fmt.Errorf("--make_attacks: %w", err)
		if folder := (*dino.FolderError)(nil); errors.As(err, &folder) {
			return usageError("%w", err)
		}
		return err
	}
	if c.JSON {
		return json.NewEncoder(t.out).Encode(map[string]any{"path": c.MakeAttacks, "originals": set.Originals, "distractors": set.Distractors, "blocks": set.Blocks})
	}
	fmt.Fprintf(t.out, "%s: %s of %s, %s of each, %s; names.csv says which is which\n", c.MakeAttacks, plural(set.Originals, "original"), ds.Root(),
		plural(len(set.Blocks), "copy"), plural(set.Distractors, "distractor"))
	return nil
}
