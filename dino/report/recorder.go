package report

import (
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/klauspost/cpuid/v2"
	xdraw "golang.org/x/image/draw"

	"github.com/godino-ml/godino/dino"
	"github.com/godino-ml/godino/dino/augment"
	"github.com/godino-ml/godino/dino/dataset"
	"github.com/godino-ml/godino/dino/eval"
	"github.com/godino-ml/godino/dino/tensorboard"
	"github.com/godino-ml/godino/dino/viz"
)

// Options says what a report tells beside the run itself. The zero value is usable.
type Options struct {
	Version string      // of the program
	OnError func(error) // a part could not be made or written; the run goes on

	NoPage      bool // record nothing but what TensorBoard reads
	TensorBoard bool // write event files in tensorboard/
}

// Recorder keeps the report of a run that goes on. Nothing that it does ends the run or changes what it learns: it draws no random numbers of
// the run's, and its errors and panics go to OnError.
type Recorder struct {
	run      *dino.Run
	o        Options
	about    about
	log      *Log
	pictures []*dataset.RGB // the fixed ones, as the network is shown them
	cell     int            // pixels of the drawing a patch
	queries  []int          // images of the judged ones whose neighbours are drawn
	board    *tensorboard.Writer
}

const (
	fixedPictures = 6
	drawnSide     = 96 // of a picture on the page
	thumbSide     = 56
	queryCount    = 8
	neighbourhood = 8
	mistakeCount  = 8
)

// NewRecorder makes the recorder of a run.
func NewRecorder(run *dino.Run, o Options) *Recorder {
	return &Recorder{run: run, o: o, log: &Log{path: filepath.Join(run.Dir(), dino.LogName)}}
}

// Events are the callbacks that record, each before the one of next.
func (r *Recorder) Events(next dino.Events) dino.Events {
	if r.o.TensorBoard {
		next = r.boardEvents(next)
	}
	if r.o.NoPage {
		return next
	}
	e := next
	e.Start = func(s dino.Start) {
		r.guard(func() error { return r.start(s) })
		if next.Start != nil {
			next.Start(s)
		}
	}
	e.KNN = func(j *dino.KNNJudgement) {
		r.guard(func() error { return r.judged(j) })
		if next.KNN != nil {
			next.KNN(j)
		}
	}
	e.Epoch = func(s dino.EpochStats) {
		if done := s.Epoch + 1; done > 0 && (done%max(1, s.Epochs/epochRecords) == 0 || done == s.Epochs) {
			r.guard(func() error { return r.attention(done) })
		}
		r.guard(r.write)
		if next.Epoch != nil {
			next.Epoch(s)
		}
	}
	e.Warning = func(w dino.Warning) {
		if w.Kind == "collapse" { // it comes after the epoch that shows it
			r.guard(r.write)
		}
		if next.Warning != nil {
			next.Warning(w)
		}
	}
	return e
}

// boardEvents write event files: what the log has of a run that is resumed, then each line as it comes.
func (r *Recorder) boardEvents(next dino.Events) dino.Events {
	e := next
	write := func(line event) {
		if r.board == nil {
			return // it could not be opened, which was said
		}
		r.guard(func() error { return line.scalars(r.board, time.Now()) })
	}
	e.Start = func(s dino.Start) {
		r.guard(func() (err error) { r.board, err = openTensorBoard(r.run.Dir()); return err })
		if next.Start != nil {
			next.Start(s)
		}
	}
	e.Step = func(s dino.StepStats) {
		write(event{step: &s})
		if next.Step != nil {
			next.Step(s)
		}
	}
	e.Epoch = func(s dino.EpochStats) {
		write(event{epoch: &s})
		if next.Epoch != nil {
			next.Epoch(s)
		}
	}
	return e
}

// Finish writes how the run ended: the error of [dino.Run.Run].
func (r *Recorder) Finish(err error) {
	switch {
	case err == nil:
		r.about.State = "done"
	case errors.Is(err, dino.ErrInterrupted):
		r.about.State = "interrupted and saved"
	case errors.Is(err, dino.ErrCollapsed):
		r.about.State = "stopped: collapsed"
	case errors.Is(err, dino.ErrDiverged):
		r.about.State = "stopped: diverged"
	default:
		r.about.State = "failed"
	}
	if err != nil && !errors.Is(err, dino.ErrInterrupted) {
		r.about.Error = err.Error()
	}
	if !r.o.NoPage {
		r.guard(r.write)
	}
	if r.board != nil {
		r.guard(r.board.Close)
	}
}

// guard keeps what goes wrong in f from the run.
func (r *Recorder) guard(f func() error) {
	defer func() {
		if p := recover(); p != nil {
			r.failed(fmt.Errorf("panic: %v", p))
		}
	}()
	if err := f(); err != nil {
		r.failed(err)
	}
}

func (r *Recorder) failed(err error) {
	if r.o.OnError != nil {
		r.o.OnError(fmt.Errorf("report: %w", err))
	}
}

func (r *Recorder) write() error {
	r.about.Written = time.Now().UTC().Truncate(time.Second)
	if err := writeJSON(r.run.Dir(), aboutName, &r.about); err != nil {
		return err
	}
	if err := r.log.Update(); err != nil {
		return err
	}
	return write(r.run.Dir(), r.log)
}

// start draws what does not change, and where the untrained network looks.
func (r *Recorder) start(s dino.Start) error {
	dir := r.run.Dir()
	if s.Step == 0 { // whatever lies there is of a run that was never saved
		if err := removeParts(dir); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(filepath.Join(dir, partsName), 0o777); err != nil {
		return err
	}
	train, _ := r.run.Data()
	r.about = about{Version: r.o.Version, Machine: machine(r.run), Data: train.Root(), Images: s.Images, Classes: len(train.Classes()),
		StepsPerEpoch: s.StepsPerEpoch, Params: s.Params, Backbone: s.BackboneParams, From: r.run.Started,
		Began: time.Now().UTC().Truncate(time.Second), State: "training"}
	if was, err := readJSON[about](dir, aboutName); err == nil && was != nil && s.Step > 0 {
		r.about.Began = was.Began
	}
	r.guard(r.crops)
	r.guard(r.choose)
	if s.Step == 0 {
		r.guard(func() error { return r.attention(0) })
	}
	return r.write()
}

func removeParts(dir string) error {
	names := []string{aboutName, cropsName, picturesName, neighboursName, untrainedName, mistakesName}
	for _, prefix := range []string{attentionPrefix, coloursPrefix} {
		epochs, err := recordedEpochs(dir, prefix)
		if err != nil {
			return err
		}
		for _, n := range epochs {
			names = append(names, recordName(prefix, n))
		}
	}
	for _, name := range names {
		if err := os.Remove(part(dir, name)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return nil
}

func machine(run *dino.Run) []string {
	dev := run.Trainer.Student.Backbone.ClassToken.Value.Device()
	cpu := strings.TrimSpace(cpuid.CPU.BrandName)
	if cpu == "" {
		cpu = "an unnamed CPU"
	}
	if g := dev.GPU(); g != nil {
		cpu = fmt.Sprintf("%v, %s; %s", g.Info(), dev.Precision(), cpu)
	}
	return []string{cpu, fmt.Sprintf("%s kernels, %s, %d threads", dev.Kernels().Name, dev.Host().Precision(), dev.Threads()),
		fmt.Sprintf("%s/%s, %s", runtime.GOOS, runtime.GOARCH, runtime.Version())}
}

// crops shows pictures, one a row, and after each its crops of the first epoch.
func (r *Recorder) crops() error {
	const rows = 4
	train, _ := r.run.Data()
	config := r.run.Config()
	m := config.Crops()
	var scratch augment.Scratch
	var images []image.Image
	for _, i := range spread(train, rows) {
		img, err := train.Load(i)
		if err != nil {
			continue // the loader tells of it
		}
		images = append(images, drawn(square(img, m.GlobalSize), drawnSide))
		for v := range m.Views() {
			crop := m.Picture(&scratch, img, v, augment.CropStream(config.Seed, 0, i, v))
			images = append(images, drawn(crop, max(1, drawnSide*crop.W/m.GlobalSize)))
		}
	}
	if len(images) == 0 {
		return errors.New("no picture for the sheet of crops could be read")
	}
	return writePicture(r.run.Dir(), cropsName, viz.Sheet(images, 1+m.Views(), 4))
}

// choose takes the fixed pictures: of those held out, if there are any, from as many classes as can be.
func (r *Recorder) choose() error {
	train, val := r.run.Data()
	if val == nil || val.Len() == 0 {
		val = train
	}
	config := r.run.Config()
	// More patches than in training give a finer map; how many more, the time that they take bounds.
	grid := config.GlobalCropsSize / config.PatchSize
	grid = max(grid, min(28, 3*grid))
	r.cell = max(1, drawnSide/grid)
	var shown []image.Image
	for _, i := range spread(val, fixedPictures) {
		img, err := val.Load(i)
		if err != nil {
			continue
		}
		img = square(img, grid*config.PatchSize)
		r.pictures = append(r.pictures, img)
		shown = append(shown, augment.Resize(img, grid*r.cell, grid*r.cell).Image())
	}
	if len(shown) == 0 {
		return errors.New("no picture to draw attention over could be read")
	}
	return writePicture(r.run.Dir(), picturesName, viz.Sheet(shown, 1, 4))
}

// attention draws where the teacher looks in the fixed pictures, the mean of the heads over the picture, and what its patch tokens tell apart,
// their first three principal components as colours; one picture below the other.
func (r *Recorder) attention(epochs int) error {
	if len(r.pictures) == 0 {
		return nil // said at the start
	}
	t := r.run.Trainer
	// Made anew each time: between epochs its memory is training's.
	encoder := dino.NewEncoder(t.Student.Backbone.ClassToken.Value.Device(), t.Teacher.Backbone)
	patches := eval.Features{Dim: t.Teacher.Backbone.Config().Dim}
	var grids []eval.PatchGrid
	var column []image.Image
	for _, img := range r.pictures {
		of, rows, cols := encoder.Patches(img, augment.ImageNetMean, augment.ImageNetStd)
		patches.Data, grids = append(patches.Data, of...), append(grids, eval.PatchGrid{Rows: rows, Cols: cols})
		grid := img.W / r.run.Config().PatchSize
		mean := viz.MeanOfHeads(encoder.Attention(img))
		shown := augment.Resize(img, grid*r.cell, grid*r.cell).Image()
		column = append(column, viz.Blend(shown, viz.AttentionMap(mean, grid, r.cell, viz.Viridis)))
	}
	if err := writePicture(r.run.Dir(), recordName(attentionPrefix, epochs), viz.Sheet(column, 1, 4)); err != nil {
		return err
	}
	colours, err := eval.ColourPatches(t.Student.Backbone.ClassToken.Value.Device(), patches, grids, eval.PatchColourOptions{})
	if err != nil {
		return err
	}
	for i, rgb := range colours.RGB {
		column[i] = viz.PatchColours(rgb, nil, grids[i].Cols, r.cell)
	}
	return writePicture(r.run.Dir(), recordName(coloursPrefix, epochs), viz.Sheet(column, 1, 4))
}

// judged draws neighbours and mistakes of an evaluation.
func (r *Recorder) judged(j *dino.KNNJudgement) error {
	if r.queries == nil {
		r.queries = spread(j.Test, queryCount)
	}
	var rows []int // of the queries' features
	for _, q := range r.queries {
		if row, ok := slices.BinarySearch(j.TestFeatures.Index, q); ok {
			rows = append(rows, row)
		}
	}
	if err := r.likenesses(neighboursName, j, rows, neighbourhood); err != nil {
		return err
	}
	if j.Step == 0 {
		if err := r.likenesses(untrainedName, j, rows, neighbourhood); err != nil {
			return err
		}
	}
	var wrong []int
	for i := range j.TestFeatures.Len() {
		if j.Result.Predicted[i] != j.TestFeatures.Labels[i] {
			wrong = append(wrong, i)
		}
	}
	// The worst are those that most votes were lost for.
	slices.SortStableFunc(wrong, func(a, b int) int {
		switch x, y := lost(j, a), lost(j, b); {
		case x > y:
			return -1
		case x < y:
			return 1
		}
		return 0
	})
	return r.likenesses(mistakesName, j, wrong[:min(len(wrong), mistakeCount)], neighbourhood)
}

// lost is by what share of all votes the winning class of row i is ahead of the true one.
func lost(j *dino.KNNJudgement, i int) float64 {
	votes := j.Result.VotesOf(i)
	return (votes[j.Result.Predicted[i]] - votes[j.TestFeatures.Labels[i]]) / sum(votes)
}

func sum(x []float64) (s float64) {
	for _, v := range x {
		s += v
	}
	return s
}

// likenesses draws test images, by the rows of their features, beside their k nearest training images.
func (r *Recorder) likenesses(name string, j *dino.KNNJudgement, rows []int, k int) error {
	list := []likeness{}
	if len(rows) > 0 {
		d := j.TestFeatures.Dim
		queries := eval.Features{Dim: d}
		for _, row := range rows {
			queries.Data = append(queries.Data, j.TestFeatures.Data[row*d:(row+1)*d]...)
		}
		found, err := eval.Nearest(r.run.Trainer.Student.Backbone.ClassToken.Value.Device(), queries, j.TrainFeatures.Features, k)
		if err != nil {
			return err
		}
		classes := j.Train.Classes()
		for i, row := range rows {
			label, predicted := j.TestFeatures.Labels[row], j.Result.Predicted[row]
			image0 := j.TestFeatures.Index[row]
			images := []image.Image{framed(thumbnail(j.Test, image0), color.RGBA{120, 120, 120, 255})}
			votes := j.Result.VotesOf(row)
			l := likeness{Path: j.Test.Path(image0), Class: classes[label], Predicted: classes[predicted], Share: votes[predicted] / sum(votes)}
			for _, n := range found.Index[i*found.K : (i+1)*found.K] {
				colour := color.RGBA{213, 94, 0, 255}
				if j.TrainFeatures.Labels[n] == label {
					colour = color.RGBA{0, 158, 115, 255}
				}
				images = append(images, framed(thumbnail(j.Train, j.TrainFeatures.Index[n]), colour))
				l.Votes = append(l.Votes, classes[j.TrainFeatures.Labels[n]])
			}
			if l.PNG, err = encoded(viz.Sheet(images, len(images), 2)); err != nil {
				return err
			}
			list = append(list, l)
		}
	}
	return writeJSON(r.run.Dir(), name, list)
}

// thumbnail is an image of ds in a small square, grey if it cannot be read.
func thumbnail(ds *dataset.Dataset, i int) *image.RGBA {
	img, err := ds.Load(i)
	if err != nil {
		grey := image.NewRGBA(image.Rect(0, 0, thumbSide, thumbSide))
		draw.Draw(grey, grey.Rect, image.NewUniform(color.Gray{200}), image.Point{}, draw.Src)
		return grey
	}
	return square(img, thumbSide).Image()
}

func framed(img *image.RGBA, colour color.Color) *image.RGBA {
	const line = 3
	out := image.NewRGBA(img.Rect.Inset(-line))
	draw.Draw(out, out.Rect, image.NewUniform(colour), image.Point{}, draw.Src)
	draw.Draw(out, img.Rect, img, img.Rect.Min, draw.Src)
	return out
}

// square is the middle of an image, side pixels wide and high.
func square(img *dataset.RGB, side int) *dataset.RGB {
	s := min(img.W, img.H)
	return augment.Resize(augment.CropTo(img, augment.Box{X: (img.W - s) / 2, Y: (img.H - s) / 2, W: s, H: s}), side, side)
}

// drawn is a square image at another size. A small one shows its pixels.
func drawn(img *dataset.RGB, side int) *image.RGBA {
	if side < img.W {
		return augment.Resize(img, side, side).Image()
	}
	out := image.NewRGBA(image.Rect(0, 0, side, side))
	xdraw.NearestNeighbor.Scale(out, out.Rect, img.Image(), image.Rect(0, 0, img.W, img.H), xdraw.Src, nil)
	return out
}

// spread are the numbers of n images of ds, in order: one of each class in turn as long as there are any, else at even distances.
func spread(ds *dataset.Dataset, n int) []int {
	n = min(n, ds.Len())
	classes := len(ds.Classes())
	byClass := make([][]int, max(classes, 1))
	for i := range ds.Len() {
		if l := ds.Label(i); l >= 0 || classes == 0 {
			byClass[max(l, 0)] = append(byClass[max(l, 0)], i)
		}
	}
	byClass = slices.DeleteFunc(byClass, func(of []int) bool { return len(of) == 0 })
	var chosen []int
	if len(byClass) < 2 {
		for i := range n {
			chosen = append(chosen, int(math.Floor((float64(i)+0.5)/float64(n)*float64(ds.Len()))))
		}
		return chosen
	}
	if len(byClass) > n {
		byClass = some(byClass, n)
	}
	for at := 0; len(chosen) < n; at++ {
		for _, of := range byClass {
			if at < len(of) && len(chosen) < n {
				chosen = append(chosen, of[at])
			}
		}
		if at == ds.Len() { // images without a class are none of these
			break
		}
	}
	slices.Sort(chosen)
	return chosen
}
