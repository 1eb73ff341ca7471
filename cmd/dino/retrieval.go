package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/godino-ml/godino/dino"
	"github.com/godino-ml/godino/dino/augment"
	"github.com/godino-ml/godino/dino/dataset"
	"github.com/godino-ml/godino/dino/eval"
)

type retrievalCommand struct {
	networkFlags
	clusterFlags
	DataPath    string `required:"" placeholder:"PATH" group:"Data" help:"Folder or tar that holds DATASET/jpg and DATASET/gnd_DATASET.pkl; with --gnd, the images."`
	Dataset     string `default:"roxford5k" placeholder:"NAME" group:"Data" help:"roxford5k or rparis6k."`
	Gnd         string `placeholder:"FILE" group:"Data" help:"Ground truth of other images: a .pkl of the same form, or .json as docs/evaluation.md has it."`
	MaxPixels   int    `default:"${maxPixels}" group:"Data" placeholder:"N" help:"Refuse larger pictures by their header."`
	Imsize      int    `name:"imsize" default:"224" group:"Data" placeholder:"PX" help:"Images are shrunk to fit a square of this side, their shape kept."`
	Multiscale  bool   `group:"Run" help:"Mean of the features at sizes 1, 1/√2 and 1/2."`
	CropQueries bool   `group:"Run" help:"Cut queries to their boxes, as the revisited protocol asks and the reference's script does not."`
	NumWorkers  int    `group:"Machine" placeholder:"N" help:"Threads that decode images; 0 chooses."`
	JSON        bool   `name:"json" group:"Run" help:"Print one JSON object, with the average precision of each query."`
}

// clusterFlags are those of the reference's scripts that say where to run, which mean nothing here.
type clusterFlags struct {
	UseCUDA   string `name:"use_cuda" hidden:""`
	DistURL   string `name:"dist_url" hidden:""`
	LocalRank string `name:"local_rank" hidden:""`
}

func (*retrievalCommand) Help() string {
	return `Examples:
  dino retrieval --pretrained_weights w.pth --data_path revisited --dataset roxford5k --imsize 512 --multiscale true
  dino retrieval --pretrained_weights runs/photos/checkpoint.safetensors --data_path photos --gnd truth.json

The images are ranked by their cosine to each query. Medium counts easy and hard images as right, Hard the hard ones alone and takes the easy
ones out; junk is always taken out. Printed are the mean average precision and the mean precision of the first 1, 5 and 10 images.`
}

// retrievalAt are the ranks at which precision is printed.
var retrievalAt = []int{1, 5, 10}

// retrievalResult is what retrieval prints.
type retrievalResult struct {
	Weights string           `json:"weights"`
	Dataset string           `json:"dataset"`
	Images  int              `json:"images"`
	Queries int              `json:"queries"`
	Unread  int              `json:"unread"`
	Imsize  int              `json:"imsize"`
	Scales  int              `json:"scales"`
	Medium  retrievalScores  `json:"medium"`
	Hard    retrievalScores  `json:"hard"`
	PerQ    []retrievalQuery `json:"per_query"`
}

type retrievalScores struct {
	Queries int                `json:"queries"` // that have positives
	MAP     *float64           `json:"map"`     // per cent; null without queries
	MP      map[string]float64 `json:"mp"`      // by rank
}

type retrievalQuery struct {
	Image  string   `json:"image"`
	Medium *float64 `json:"ap_medium"`
	Hard   *float64 `json:"ap_hard"`
}

func (c *retrievalCommand) Run(ctx context.Context, t *terminal) error {
	if c.Imsize < 1 || c.Imsize > 1<<14 {
		return usageError("--imsize %d: choose 1 to %d", c.Imsize, 1<<14)
	}
	if c.Gnd == "" && c.Dataset != "roxford5k" && c.Dataset != "rparis6k" {
		return usageError("--dataset %q: choose roxford5k or rparis6k, or give the ground truth of your own images with --gnd", c.Dataset)
	}
	dev, err := device(c.Device)
	if err != nil {
		return err
	}
	files, err := openFiles("--data_path", c.DataPath)
	if err != nil {
		return err
	}
	defer files.Close()
	truth, err := c.groundTruth(files)
	if err != nil {
		return dataError(err)
	}
	images, err := newImageIndex(files).find(truth.Images)
	if err != nil {
		return dataError(err)
	}
	names := make([]string, len(truth.Queries))
	for i, q := range truth.Queries {
		names[i] = q.Image
	}
	queryFiles, err := newImageIndex(files).find(names)
	if err != nil {
		return dataError(err)
	}
	n, err := c.load(dev, t.log)
	if err != nil {
		return err
	}
	if n.Config().PatchSize > c.Imsize {
		return usageError("--imsize %d is less than a patch of %d", c.Imsize, n.Config().PatchSize)
	}
	o := dino.PyramidOptions{Workers: c.NumWorkers}
	if o.Workers <= 0 {
		o.Workers = runtime.GOMAXPROCS(0)
	}
	if c.Multiscale {
		o.Scales = dino.PyramidScales
	}

	o.Progress = t.counter("queries")
	var broken error
	o.OnBad = func(i int, err error) { broken = errors.Join(broken, fmt.Errorf("query %s: %w", queryFiles[i], err)) }
	queries, err := dino.PyramidFeatures(ctx, dev, n.VisionTransformer, len(queryFiles), func(i int) (*dataset.RGB, error) {
		img, err := files.Load(queryFiles[i], c.MaxPixels)
		if err != nil {
			return nil, err
		}
		return c.prepareQuery(img, truth.Queries[i])
	}, o)
	if err != nil {
		return err
	}
	if broken != nil {
		return dataError(broken)
	}
	o.Progress = t.counter("images")
	o.OnBad = func(i int, err error) { t.log.Warn("ranked last: " + err.Error()) }
	bank, err := dino.PyramidFeatures(ctx, dev, n.VisionTransformer, len(images), func(i int) (*dataset.RGB, error) {
		img, err := files.Load(images[i], c.MaxPixels)
		if err != nil {
			return nil, err
		}
		return augment.Thumbnail(img, c.Imsize), nil
	}, o)
	if err != nil {
		return err
	}
	if bank.Len() == 0 {
		return dataError(fmt.Errorf("%s: none of %s can be read", files.Root(), plural(len(images), "image")))
	}
	medium, hard, err := eval.Retrieval(dev, truth, queries.Features, bank.Features, bank.Index, retrievalAt)
	if err != nil {
		return dataError(err)
	}
	r := retrievalResult{Weights: fmt.Sprintf("%s (%s)", c.PretrainedWeights, n.Name), Dataset: c.Dataset, Images: len(images), Queries: len(names),
		Unread: len(images) - bank.Len(), Imsize: c.Imsize, Scales: max(1, len(o.Scales)), Medium: scoresOf(medium), Hard: scoresOf(hard)}
	if c.Gnd != "" {
		r.Dataset = filepath.Base(c.Gnd)
	}
	for i, name := range names {
		r.PerQ = append(r.PerQ, retrievalQuery{name, perCent(medium.AP[i]), perCent(hard.AP[i])})
	}
	if c.JSON {
		return json.NewEncoder(t.out).Encode(r)
	}
	return r.print(t)
}

func scoresOf(s *eval.RetrievalScores) retrievalScores {
	r := retrievalScores{Queries: s.Evaluated, MP: map[string]float64{}}
	if s.Evaluated > 0 {
		r.MAP = perCent(s.MAP)
		for j, k := range s.Ks {
			r.MP[fmt.Sprint(k)] = 100 * s.MeanP[j]
		}
	}
	return r
}

// perCent is 100·v, nil for NaN, which JSON does not know.
func perCent(v float64) *float64 {
	if math.IsNaN(v) {
		return nil
	}
	v *= 100
	return &v
}

func (r *retrievalResult) print(t *terminal) error {
	fmt.Fprintf(t.out, "%s: %s searched for %s of %s, %d px, %s\n", r.Weights, plural(r.Images, "image"), plural(r.Queries, "query"), r.Dataset, r.Imsize, plural(r.Scales, "scale"))
	w := tabwriter.NewWriter(t.out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(w, "\tmAP %\t")
	for _, k := range retrievalAt {
		fmt.Fprintf(w, "mP@%d %%\t", k)
	}
	fmt.Fprintln(w, "queries\t")
	for _, row := range []struct {
		name string
		s    retrievalScores
	}{{"Medium", r.Medium}, {"Hard", r.Hard}} {
		fmt.Fprintf(w, "%s\t", row.name)
		if row.s.MAP == nil {
			fmt.Fprintln(w, "-\t-\t-\t-\t0\t")
			continue
		}
		fmt.Fprintf(w, "%.2f\t", *row.s.MAP)
		for _, k := range retrievalAt {
			fmt.Fprintf(w, "%.2f\t", row.s.MP[fmt.Sprint(k)])
		}
		fmt.Fprintf(w, "%d\t\n", row.s.Queries)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if r.Unread > 0 {
		fmt.Fprintf(t.out, "note: %s that cannot be read rank last\n", plural(r.Unread, "image"))
	}
	return nil
}

// groundTruth reads --gnd, or the file of the revisited layout.
func (c *retrievalCommand) groundTruth(files *dataset.Files) (*eval.GroundTruth, error) {
	if c.Gnd != "" {
		f, err := os.Open(c.Gnd)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("--gnd %s: no such file", c.Gnd)
		}
		if err != nil {
			return nil, fmt.Errorf("--gnd: %w", err)
		}
		defer f.Close()
		p, err := readAtMost(f, eval.MaxGroundTruth)
		if err != nil {
			return nil, fmt.Errorf("--gnd %s: %w", c.Gnd, err)
		}
		truth, err := eval.ReadGroundTruth(p)
		if err != nil {
			return nil, fmt.Errorf("--gnd %s: %w", c.Gnd, err)
		}
		return truth, nil
	}
	file := "gnd_" + c.Dataset + ".pkl"
	for _, name := range []string{path.Join(c.Dataset, file), file} {
		if !files.Has(name) {
			continue
		}
		p, err := files.Read(name, eval.MaxGroundTruth)
		if err != nil {
			return nil, err
		}
		truth, err := eval.ReadGroundTruth(p)
		if err != nil {
			return nil, fmt.Errorf("%s/%s: %w", files.Root(), name, err)
		}
		return truth, nil
	}
	return nil, fmt.Errorf("%s: neither %s/%s nor %s is there: give the folder that holds %s, or name another ground truth with --gnd", files.Root(), c.Dataset, file, file, c.Dataset)
}

// prepareQuery cuts a query to its box if asked for, and shrinks it by what the whole image would be shrunk by.
func (c *retrievalCommand) prepareQuery(img *dataset.RGB, q eval.Query) (*dataset.RGB, error) {
	size := c.Imsize
	if c.CropQueries && q.Box != nil {
		whole := max(img.W, img.H)
		x, y := int(math.RoundToEven(q.Box[0])), int(math.RoundToEven(q.Box[1]))
		box := augment.Box{X: x, Y: y, W: int(math.RoundToEven(q.Box[2])) - x, H: int(math.RoundToEven(q.Box[3])) - y}
		cut := augment.CropTo(img, box)
		if cut == nil {
			return nil, fmt.Errorf("the box %v lies outside its %d×%d pixels", *q.Box, img.W, img.H)
		}
		img = cut
		size = max(1, c.Imsize*max(img.W, img.H)/whole)
	}
	return augment.Thumbnail(img, size), nil
}

// imageIndex finds images by the names that a ground truth has for them: with or without folders, with or without ending.
type imageIndex struct {
	root  string
	files map[string][]string
}

func newImageIndex(files *dataset.Files) *imageIndex {
	x := &imageIndex{files.Root(), map[string][]string{}}
	for _, name := range files.Names() {
		if !dataset.IsImageName(name) {
			continue
		}
		bare := strings.TrimSuffix(name, path.Ext(name))
		known := map[string]bool{}
		for _, key := range []string{name, bare, path.Base(name), path.Base(bare)} {
			if !known[key] {
				known[key] = true
				x.files[key] = append(x.files[key], name)
			}
		}
	}
	return x
}

func (x *imageIndex) find(names []string) ([]string, error) {
	found := make([]string, len(names))
	var missing []string
	for i, name := range names {
		switch f := x.files[path.Clean(name)]; {
		case slices.Contains(f, name):
			found[i] = name
		case len(f) == 1:
			found[i] = f[0]
		case len(f) > 1:
			return nil, fmt.Errorf("%s: %s may be %s or %s: name images by their whole path", x.root, name, f[0], f[1])
		default:
			missing = append(missing, name)
		}
	}
	if n := len(missing); n > 0 {
		return nil, fmt.Errorf("%s: %s of %d that the ground truth names %s not there: %s", x.root, plural(n, "image"), len(names),
			map[bool]string{true: "is", false: "are"}[n == 1], strings.Join(missing[:min(n, 5)], ", "))
	}
	return found, nil
}
