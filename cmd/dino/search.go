package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"image/jpeg"
	"io"
	"path/filepath"
	"runtime"
	"text/tabwriter"

	"github.com/godino-ml/godino/dino"
	"github.com/godino-ml/godino/dino/augment"
	"github.com/godino-ml/godino/dino/dataset"
	"github.com/godino-ml/godino/dino/search"
	"github.com/godino-ml/godino/dino/viz"
	"github.com/godino-ml/godino/nn/weights"
	"github.com/godino-ml/godino/tensor"
)

type searchCommand struct {
	Index    searchIndexCommand    `cmd:"" help:"Make an index of the images of a folder or tar, or bring it up to date."`
	Query    searchQueryCommand    `cmd:"" help:"Find the images most similar to others."`
	Dups     searchDupsCommand     `cmd:"" help:"Group images that are nearly the same, and copies."`
	Outliers searchOutliersCommand `cmd:"" help:"List the images that are least like any others."`
}

type searchIndexCommand struct {
	Path string `arg:"" help:"Images: a folder or an uncompressed tar, or a folder inside a tar."`
	networkFlags
	Index      string `default:"./runs/search" group:"Run" placeholder:"DIR" help:"Folder of the index; one that is there is brought up to date."`
	Rebuild    bool   `group:"Run" help:"Forget the index that is there."`
	Checksum   bool   `group:"Run" help:"Read all files to see what has changed, not only those whose size or time has."`
	Tokens     string `default:"cls" group:"Run" placeholder:"cls|mean" help:"cls: the class token; mean: the mean of the patch tokens."`
	ImageSize  int    `group:"Data" placeholder:"PX" help:"Size that images are seen at; as trained if not given."`
	MaxPixels  int    `default:"${maxPixels}" group:"Data" placeholder:"N" help:"Refuse larger pictures by their header."`
	BatchSize  int    `name:"batch_size_per_gpu" aliases:"batch_size" default:"64" group:"Machine" placeholder:"N" help:"Images of one pass."`
	Precision  string `default:"float32" group:"Machine" placeholder:"NAME" help:"Numbers that the layers multiply: float32, or bf16, faster on CPUs that have it."`
	NumWorkers int    `group:"Machine" placeholder:"N" help:"Threads that decode images; 0 chooses."`
	JSON       bool   `name:"json" group:"Run" help:"Print one JSON object."`
}

func (*searchIndexCommand) Help() string {
	return `Example:
  dino search index photos --pretrained_weights runs/photos/checkpoint.safetensors --index photos.index

The index remembers where the images and the weights are. Run again, it computes the features of images that are new or have changed, and drops
those that are gone; interrupted (Ctrl-C), it goes on where it was. Images that cannot be read are named and left out.`
}

// indexResult is what search index prints.
type indexResult struct {
	Index string `json:"index"`
	Dim   int    `json:"dim"`
	search.UpdateStats
	Unreadable []string `json:"unreadable,omitempty"`
}

func (c *searchIndexCommand) Run(ctx context.Context, t *terminal) error {
	if c.Tokens != "cls" && c.Tokens != "mean" {
		return usageError("--tokens %q: choose cls or mean", c.Tokens)
	}
	if c.ImageSize < 0 || c.ImageSize > 1<<13 || c.BatchSize < 1 {
		return usageError("--image_size %d, --batch_size_per_gpu %d: choose 0 to %d, and 1 or more", c.ImageSize, c.BatchSize, 1<<13)
	}
	dev, err := device(c.Device)
	if err == nil {
		dev, err = inPrecision(dev, c.Precision)
	}
	if err != nil {
		return err
	}
	ds, err := openData(c.Path, dataset.Options{MaxPixels: c.MaxPixels})
	if err != nil {
		return err
	}
	defer ds.Close()
	n, err := c.load(dev, t.log)
	if err != nil {
		return err
	}
	transform := n.EvalTransform(c.ImageSize)
	if transform.Size() < n.Config().PatchSize {
		return usageError("--image_size %d is less than a patch of %d", c.ImageSize, n.Config().PatchSize)
	}
	if c.NumWorkers <= 0 {
		c.NumWorkers = runtime.GOMAXPROCS(0)
	}
	source, err := c.source(n)
	if err != nil {
		return err
	}
	r := indexResult{Index: c.Index, Dim: n.Config().Dim}
	stats, err := search.Update(ctx, c.Index, ds, search.UpdateOptions{
		Settings: search.NewSettings(n.VisionTransformer, transform, c.Tokens, c.Precision), Source: source, Dim: r.Dim,
		Rebuild: c.Rebuild, Checksum: c.Checksum, Workers: c.NumWorkers,
		Compute: func(ctx context.Context, missing *dataset.Dataset, emit func([]int, []float32) error) error {
			o := dino.FeatureOptions{Tokens: dino.Tokens(c.Tokens), Progress: t.counter("features of " + missing.Root())}
			o.Batch, o.Workers, o.MaxBad = c.BatchSize, c.NumWorkers, 1
			o.OnBad = func(b dino.BadSample) {
				t.log.Warn("left out: " + b.Err.Error())
				r.Unreadable = append(r.Unreadable, b.Path)
			}
			return dino.EachFeature(ctx, dev, n.VisionTransformer, missing, transform, o, emit)
		},
	})
	switch {
	case errors.Is(err, search.ErrInterrupted):
		fmt.Fprintf(t.out, "%s: interrupted; run the command again to go on\n", c.Index)
		return nil
	case errors.Is(err, search.ErrOtherSettings):
		return usageError("%w: give --rebuild to make it anew, or another --index", err)
	case err != nil:
		return dataError(err)
	}
	r.UpdateStats = *stats
	if c.JSON {
		return json.NewEncoder(t.out).Encode(r)
	}
	fmt.Fprintf(t.out, "%s: %s of %s in %d dimensions, by %s\n", c.Index, plural(r.Rows, "image"), ds.Root(), r.Dim, n.Name)
	fmt.Fprintf(t.out, "computed %s, kept %s, taken up %s, removed %s\n", count(r.Computed), count(r.Kept), count(r.Resumed), count(r.Removed))
	if r.Left > 0 {
		fmt.Fprintf(t.out, "left out: %s that cannot be read\n", plural(r.Left, "image"))
	}
	return nil
}

// source is where everything is, in paths that hold from every folder.
func (c *searchIndexCommand) source(n *network) (s search.Source, err error) {
	s = search.Source{CheckpointKey: c.CheckpointKey, Arch: c.Arch, PatchSize: c.PatchSize, Network: n.Name}
	if s.Data, err = filepath.Abs(c.Path); err != nil {
		return s, err
	}
	s.Weights, err = filepath.Abs(c.PretrainedWeights)
	return s, err
}

// indexFlags say which index is searched, and how what is found is shown.
type indexFlags struct {
	Index     string `default:"./runs/search" group:"Run" placeholder:"DIR" help:"Folder of the index."`
	HTML      string `name:"html" placeholder:"FILE" group:"Run" help:"Also write a page with thumbnails: one file, which needs no network."`
	DataPath  string `placeholder:"PATH" group:"Data" help:"Where the images are now, for the page; where they were indexed if not given."`
	MaxPixels int    `default:"${maxPixels}" group:"Data" placeholder:"N" help:"Refuse larger pictures by their header."`
	Device    string `default:"auto" group:"Machine" placeholder:"NAME" help:"cpu, cuda or auto."`
	JSON      bool   `name:"json" group:"Run" help:"Print one JSON object."`
}

func (c *indexFlags) open() (*search.Index, *tensor.Device, error) {
	dev, err := device(c.Device)
	if err != nil {
		return nil, nil, err
	}
	x, err := search.Open(c.Index)
	if errors.Is(err, search.ErrNoIndex) {
		return nil, nil, dataError(fmt.Errorf("--index %w: make one with dino search index", err))
	}
	if err != nil {
		return nil, nil, dataError(fmt.Errorf("--index: %w: make it anew with dino search index --rebuild", err))
	}
	return x, dev, nil
}

type searchQueryCommand struct {
	Images []string `arg:"" optional:"" name:"image" help:"Images to look for."`
	indexFlags
	Row               []int  `sep:"," group:"Run" placeholder:"N" help:"Look for images of the index, by their rows, which --json prints."`
	Top               int    `default:"10" group:"Run" placeholder:"K" help:"How many to find for each."`
	PretrainedWeights string `placeholder:"FILE" group:"Network" help:"Where the weights are now; where they were when the index was made if not given."`
}

func (*searchQueryCommand) Help() string {
	return `Examples:
  dino search query cat.jpg --index photos.index --top 20 --html cat.html
  dino search query --row 17,42 --index photos.index --json

Found are the images with the largest cosine to each query: exactly, all of them are compared. Equal ones come in the order of their paths.`
}

// queryResult is what search query prints.
type queryResult struct {
	Index   string       `json:"index"`
	Images  int          `json:"images"`
	Queries []queryFound `json:"queries"`
}

type queryFound struct {
	Query string       `json:"query"`
	Row   *int         `json:"row,omitempty"` // of a query that is in the index
	Found []queryMatch `json:"found"`
}

type queryMatch struct {
	Row        int     `json:"row"`
	Path       string  `json:"path"`
	Similarity float64 `json:"similarity"`
}

func (c *searchQueryCommand) Run(ctx context.Context, t *terminal) error {
	if len(c.Images) == 0 && len(c.Row) == 0 {
		return usageError("name an image to look for, or a row of the index with --row")
	}
	if c.Top < 1 {
		return usageError("--top %d: choose 1 or more", c.Top)
	}
	x, dev, err := c.open()
	if err != nil {
		return err
	}
	defer x.Close()
	queries := search.Rows{Dim: x.Rows().Dim}
	r := queryResult{Index: c.Index, Images: len(x.Images)}
	var pictures []*dataset.RGB
	if len(c.Images) > 0 {
		if pictures, queries, err = c.imageFeatures(ctx, t, dev, x); err != nil {
			return err
		}
		for _, path := range c.Images {
			r.Queries = append(r.Queries, queryFound{Query: path})
		}
	}
	for _, row := range c.Row {
		if row < 0 || row >= len(x.Images) {
			return usageError("--row %d: the index has rows 0 to %d", row, len(x.Images)-1)
		}
		r.Queries = append(r.Queries, queryFound{Query: x.Images[row].Path, Row: &row})
		queries.Data = append(queries.Data, x.Rows().Row(row)...)
	}
	found, err := search.Nearest(dev, x.Rows(), queries, c.Top)
	if err != nil {
		return dataError(err)
	}
	for i, matches := range found {
		r.Queries[i].Found = []queryMatch{}
		for _, m := range matches {
			r.Queries[i].Found = append(r.Queries[i].Found, queryMatch{m.Row, x.Images[m.Row].Path, m.Similarity})
		}
	}
	if c.HTML != "" {
		if err := c.page(ctx, t, x, &r, pictures); err != nil {
			return err
		}
	}
	if c.JSON {
		return json.NewEncoder(t.out).Encode(r)
	}
	for _, q := range r.Queries {
		fmt.Fprintf(t.out, "%s among %s:\n", lineOf(q.Query), plural(r.Images, "image"))
		for _, m := range q.Found {
			fmt.Fprintf(t.out, "  %.4f  %s\n", m.Similarity, lineOf(m.Path))
		}
	}
	return c.said(t)
}

// imageFeatures are the features of the images that are looked for, by the network of the index.
func (c *searchQueryCommand) imageFeatures(ctx context.Context, t *terminal, dev *tensor.Device, x *search.Index) (pictures []*dataset.RGB, rows search.Rows, err error) {
	for _, path := range c.Images {
		img, err := dataset.ReadFile(path, dataset.Options{MaxPixels: c.MaxPixels})
		if err != nil {
			return nil, rows, dataError(fmt.Errorf("query: %w", err))
		}
		pictures = append(pictures, img)
	}
	n, err := indexNetwork(t, dev, x, c.PretrainedWeights)
	if err != nil {
		return nil, rows, err
	}
	rows, err = indexFeatures(ctx, n, x, pictures)
	return pictures, rows, err
}

// indexNetwork is the network that an index was made by, from file, or from where it was when that is "".
func indexNetwork(t *terminal, dev *tensor.Device, x *search.Index, file string) (*network, error) {
	dev, err := inPrecision(dev, x.Settings.Precision)
	if err != nil {
		return nil, err
	}
	from := networkFlags{PretrainedWeights: x.Source.Weights, CheckpointKey: x.Source.CheckpointKey, Arch: x.Source.Arch, PatchSize: x.Source.PatchSize}
	if file != "" {
		from.PretrainedWeights = file
	}
	n, err := from.load(dev, t.log)
	if err != nil {
		return nil, fmt.Errorf("the weights of the index: %w: say where they are with --pretrained_weights", err)
	}
	s := x.Settings
	s.Params = search.ParamsSum(n.VisionTransformer)
	if err := x.Fits(s); err != nil {
		return nil, checkpointError(fmt.Errorf("%s: %w: they have changed since; name the right ones with --pretrained_weights, or make the index anew", from.PretrainedWeights, err))
	}
	return n, nil
}

// indexFeatures are the features of pictures by the network of an index.
func indexFeatures(ctx context.Context, n *network, x *search.Index, pictures []*dataset.RGB) (rows search.Rows, err error) {
	ds := dataset.FromFunc("query", len(pictures), nil, nil, func(i int) (*dataset.RGB, error) { return pictures[i], nil })
	o := dino.FeatureOptions{Tokens: dino.Tokens(x.Settings.Tokens)}
	o.Workers = runtime.GOMAXPROCS(0)
	f, err := dino.Features(ctx, n.dev, n.VisionTransformer, ds, x.Settings.Transform(), o)
	if err != nil {
		return rows, err
	}
	if f.Dim != x.Rows().Dim {
		return rows, dataError(fmt.Errorf("%s: features of %d dimensions; the network's have %d: the index is damaged", x.Dir, x.Rows().Dim, f.Dim))
	}
	rows = search.Rows{Data: f.Data, Dim: f.Dim}
	return rows, rows.Normalize()
}

func (c *searchQueryCommand) page(ctx context.Context, t *terminal, x *search.Index, r *queryResult, pictures []*dataset.RGB) error {
	g := &viz.Gallery{Title: "Nearest images", Notes: []string{fmt.Sprintf("%s of %s, by %s", plural(r.Images, "image"), filepath.Base(x.Source.Data), x.Source.Network)}}
	var p pageRows
	for i, q := range r.Queries {
		group := viz.GalleryGroup{Heading: q.Query, Query: &viz.GalleryPicture{Name: q.Query, Note: "query"}}
		if q.Row == nil {
			src, err := thumbnail(pictures[i])
			if err != nil {
				return err
			}
			group.Query.Src = src
		} else {
			p.add(*q.Row, group.Query)
		}
		group.Pictures = make([]viz.GalleryPicture, len(q.Found))
		for j, m := range q.Found {
			group.Pictures[j] = viz.GalleryPicture{Name: m.Path, Note: fmt.Sprintf("%.4f", m.Similarity)}
			p.add(m.Row, &group.Pictures[j])
		}
		g.Groups = append(g.Groups, group)
	}
	return c.write(ctx, t, x, g, p)
}

type searchDupsCommand struct {
	indexFlags
	MinSimilarity float64 `default:"0.98" group:"Run" placeholder:"COSINE" help:"Images that are at least so similar belong together."`
}

func (*searchDupsCommand) Help() string {
	return `Example:
  dino search dups --index photos.index --min_similarity 0.97 --html dups.html

Every pair of images is compared. A group is what pairs connect, so two of its images may be less similar than asked for; printed is the
similarity to its first. Copies, files of the same bytes, are marked. What counts as nearly the same depends on the network: look at the page and
choose --min_similarity by it.`
}

// dupsResult is what search dups prints.
type dupsResult struct {
	Index         string      `json:"index"`
	Images        int         `json:"images"`
	MinSimilarity float64     `json:"min_similarity"`
	Surplus       int         `json:"surplus"` // images beyond the first of each group
	Copies        int         `json:"copies"`  // of them, files of the same bytes as another
	Groups        []dupsGroup `json:"groups"`
}

type dupsGroup []dupsImage

type dupsImage struct {
	queryMatch
	CopyOf *int `json:"copy_of,omitempty"` // row
}

func (c *searchDupsCommand) Run(ctx context.Context, t *terminal) error {
	if !(c.MinSimilarity > -1 && c.MinSimilarity <= 1) {
		return usageError("--min_similarity %g: choose a cosine above -1, to 1; 0.98 is a start", c.MinSimilarity)
	}
	x, dev, err := c.open()
	if err != nil {
		return err
	}
	defer x.Close()
	groups, err := search.Duplicates(ctx, dev, x.Rows(), x.Sums(), c.MinSimilarity, t.counter("images compared"))
	if err != nil {
		return dataError(err)
	}
	r := dupsResult{Index: c.Index, Images: len(x.Images), MinSimilarity: c.MinSimilarity, Groups: []dupsGroup{}}
	for _, g := range groups {
		var list dupsGroup
		for _, m := range g.Rows {
			img := dupsImage{queryMatch: queryMatch{m.Row, x.Images[m.Row].Path, m.Similarity}}
			if m.CopyOf >= 0 {
				img.CopyOf = &m.CopyOf
				r.Copies++
			}
			list = append(list, img)
		}
		r.Groups = append(r.Groups, list)
		r.Surplus += len(list) - 1
	}
	if c.HTML != "" {
		if err := c.page(ctx, t, x, &r); err != nil {
			return err
		}
	}
	if c.JSON {
		return json.NewEncoder(t.out).Encode(r)
	}
	fmt.Fprintf(t.out, "%s: %s of %s that are alike from %g on; %s could go, %s of them of the same bytes as another\n", c.Index, plural(len(r.Groups), "group"),
		plural(r.Images, "image"), c.MinSimilarity, plural(r.Surplus, "image"), count(r.Copies))
	for i, g := range r.Groups {
		fmt.Fprintf(t.out, "group %d, %s\n", i+1, plural(len(g), "image"))
		for _, m := range g {
			fmt.Fprintf(t.out, "  %.4f  %s%s\n", m.Similarity, lineOf(m.Path), m.copyNote(x))
		}
	}
	if len(r.Groups) > 0 && 2*len(r.Groups[0]) > r.Images {
		fmt.Fprintln(t.out, "note: more than half of the images are in one group: a larger --min_similarity tells them apart")
	}
	return c.said(t)
}

func (m *dupsImage) copyNote(x *search.Index) string {
	if m.CopyOf == nil {
		return ""
	}
	return "  copy of " + lineOf(x.Images[*m.CopyOf].Path)
}

func (c *searchDupsCommand) page(ctx context.Context, t *terminal, x *search.Index, r *dupsResult) error {
	g := &viz.Gallery{Title: "Nearly the same", Notes: []string{fmt.Sprintf("%s of %s that are alike from %g on, in %s", plural(len(r.Groups), "group"),
		plural(r.Images, "image"), r.MinSimilarity, filepath.Base(x.Source.Data))}}
	var p pageRows
	for i, list := range r.Groups {
		if len(p) >= mostThumbnails {
			g.Notes = append(g.Notes, fmt.Sprintf("Shown are the first %s.", plural(i, "group")))
			break
		}
		group := viz.GalleryGroup{Heading: plural(len(list), "image")}
		list = list[:min(len(list), mostThumbnails)]
		group.Pictures = make([]viz.GalleryPicture, len(list))
		for j, m := range list {
			note := fmt.Sprintf("%.4f", m.Similarity)
			if m.CopyOf != nil {
				note += ", copy"
			}
			group.Pictures[j] = viz.GalleryPicture{Name: m.Path, Note: note}
			p.add(m.Row, &group.Pictures[j])
		}
		g.Groups = append(g.Groups, group)
	}
	return c.write(ctx, t, x, g, p)
}

type searchOutliersCommand struct {
	indexFlags
	Top       int `default:"20" group:"Run" placeholder:"N" help:"How many to list; 0 lists all."`
	Neighbors int `default:"10" group:"Run" placeholder:"K" help:"Mean of the similarity to how many of its nearest."`
}

func (*searchOutliersCommand) Help() string {
	return `Example:
  dino search outliers --index photos.index --top 50 --html outliers.html

Images by the mean of their cosine to the nearest others, the least first: what does not belong, damaged scans, rare things.`
}

// outliersResult is what search outliers prints.
type outliersResult struct {
	Index     string         `json:"index"`
	Images    int            `json:"images"`
	Neighbors int            `json:"neighbors"`
	Median    float64        `json:"median"` // of all images
	Outliers  []outlierImage `json:"outliers"`
}

type outlierImage struct {
	queryMatch
	Nearest string `json:"nearest"`
}

func (c *searchOutliersCommand) Run(ctx context.Context, t *terminal) error {
	if c.Top < 0 || c.Neighbors < 1 {
		return usageError("--top %d, --neighbors %d: choose 0 or more, and 1 or more", c.Top, c.Neighbors)
	}
	x, dev, err := c.open()
	if err != nil {
		return err
	}
	defer x.Close()
	if len(x.Images) < 2 {
		return dataError(fmt.Errorf("%s has one image: there is nothing to compare it with", c.Index))
	}
	list, err := search.Outliers(ctx, dev, x.Rows(), c.Neighbors, t.counter("images compared"))
	if err != nil {
		return dataError(err)
	}
	r := outliersResult{Index: c.Index, Images: len(list), Neighbors: min(c.Neighbors, len(list)-1), Median: list[len(list)/2].Similarity}
	for _, o := range list[:topOf(c.Top, len(list))] {
		r.Outliers = append(r.Outliers, outlierImage{queryMatch{o.Row, x.Images[o.Row].Path, o.Similarity}, x.Images[o.Nearest].Path})
	}
	if c.HTML != "" {
		g := &viz.Gallery{Title: "Least like others", Notes: []string{fmt.Sprintf("Mean cosine to the %d nearest, of %s in %s; the median of all is %.4f", r.Neighbors,
			plural(r.Images, "image"), filepath.Base(x.Source.Data), r.Median)}}
		shown := r.Outliers[:min(len(r.Outliers), mostThumbnails)]
		pictures := make([]viz.GalleryPicture, len(shown))
		var p pageRows
		for i, o := range shown {
			pictures[i] = viz.GalleryPicture{Name: o.Path, Note: fmt.Sprintf("%.4f", o.Similarity)}
			p.add(o.Row, &pictures[i])
		}
		g.Groups = []viz.GalleryGroup{{Heading: plural(len(shown), "image"), Pictures: pictures}}
		if err := c.write(ctx, t, x, g, p); err != nil {
			return err
		}
	}
	if c.JSON {
		return json.NewEncoder(t.out).Encode(r)
	}
	fmt.Fprintf(t.out, "%s: mean cosine to the %d nearest of %s; the median is %.4f\n", c.Index, r.Neighbors, plural(r.Images, "image"), r.Median)
	w := tabwriter.NewWriter(t.out, 0, 0, 2, ' ', 0)
	for _, o := range r.Outliers {
		fmt.Fprintf(w, "  %.4f\t%s\tnearest: %s\n", o.Similarity, lineOf(o.Path), lineOf(o.Nearest))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return c.said(t)
}

func topOf(top, n int) int {
	if top == 0 {
		return n
	}
	return min(top, n)
}

const (
	// mostThumbnails keeps a page within some tens of megabytes.
	mostThumbnails = 2000
	thumbnailSide  = 160 // pixels
)

// pageRows are pictures of a page that show rows of the index.
type pageRows []pageRow

type pageRow struct {
	row     int
	picture *viz.GalleryPicture
}

func (p *pageRows) add(row int, picture *viz.GalleryPicture) { *p = append(*p, pageRow{row, picture}) }

// indexPictures are the images of an index, where they lie now.
type indexPictures struct {
	*dataset.Dataset
	x      *search.Index
	number map[string]int // in the Dataset, by path
}

// openIndexPictures opens them at path, or where they were indexed when that is "".
func openIndexPictures(x *search.Index, path string, maxPixels int) (*indexPictures, error) {
	if path == "" {
		path = x.Source.Data
	}
	ds, err := openData(path, dataset.Options{MaxPixels: maxPixels})
	if err != nil {
		return nil, fmt.Errorf("%w, or say where the images are with --data_path", err)
	}
	p := &indexPictures{ds, x, make(map[string]int, ds.Len())}
	for i := range ds.Len() {
		p.number[ds.Path(i)] = i
	}
	return p, nil
}

func (p *indexPictures) load(row int) (*dataset.RGB, error) {
	i, there := p.number[p.x.Images[row].Path]
	if !there {
		return nil, fmt.Errorf("%s: %s is gone", p.Root(), lineOf(p.x.Images[row].Path))
	}
	return p.Dataset.Load(i)
}

// write draws the thumbnails and writes the page.
func (c *indexFlags) write(ctx context.Context, t *terminal, x *search.Index, g *viz.Gallery, p pageRows) error {
	pictures, err := openIndexPictures(x, c.DataPath, c.MaxPixels)
	if err != nil {
		return fmt.Errorf("--html: thumbnails: %w", err)
	}
	defer pictures.Close()
	load := func(k int) (*dataset.RGB, error) {
		img, err := pictures.load(p[k].row)
		if err != nil {
			return nil, err
		}
		return augment.Thumbnail(img, thumbnailSide), nil
	}
	err = dino.Pictures(ctx, len(p), runtime.GOMAXPROCS(0), load, func(k int, img *dataset.RGB, err error) error {
		if err != nil {
			t.log.Warn("no thumbnail: " + err.Error())
			return nil
		}
		p[k].picture.Src, err = thumbnail(img)
		return err
	})
	if err != nil {
		return err
	}
	if err := weights.AtomicWrite(c.HTML, func(w io.Writer) error { return g.Write(w) }); err != nil {
		return fmt.Errorf("--html: %w", err)
	}
	return nil
}

// said tells where the page is.
func (c *indexFlags) said(t *terminal) error {
	if c.HTML != "" {
		fmt.Fprintf(t.out, "page: %s\n", c.HTML)
	}
	return nil
}

// thumbnail is a small picture as a data URI.
func thumbnail(img *dataset.RGB) (src template.URL, err error) {
	var b bytes.Buffer
	if err := jpeg.Encode(&b, augment.Thumbnail(img, thumbnailSide).Image(), &jpeg.Options{Quality: 80}); err != nil {
		return "", err
	}
	return viz.DataURI("image/jpeg", b.Bytes()), nil
}
