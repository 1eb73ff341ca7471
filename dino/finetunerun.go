package dino

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/godino-ml/godino/dino/dataset"
	"github.com/godino-ml/godino/nn"
	"github.com/godino-ml/godino/nn/weights"
	"github.com/godino-ml/godino/tensor"
)

// A FinetuneRun keeps its directory as a [Run] does, with the same log, lock and way of saving; its loop is its own, as there is no teacher, no
// collapse, and another score.

// BestName is the file of the best network of a fine-tuning run, with its classifier.
const BestName = "best.safetensors"

// FinetuneOptions is what a run needs beside its configuration.
type FinetuneOptions struct {
	Config     FinetuneConfig
	OutputDir  string
	Device     *tensor.Device
	From       *nn.VisionTransformer // where a new run starts from; nil is fresh weights
	Train, Val *dataset.Dataset      // the labels of both index the same classes; Config.LabelFraction is drawn from Train here
	Resume     string                // "" starts anew, ResumeLatest, or the path of a checkpoint
	Workers    int
	CacheBytes int64         // see LoaderOptions
	SaveEvery  time.Duration // as Options has it
}

// FinetuneRun is a fine-tuning run with its directory. OpenFinetune makes one, Run trains, Close gives the directory free.
type FinetuneRun struct {
	Finetuner *Finetuner
	Started   string // where the weights come from, for people

	o        FinetuneOptions
	data     DataID
	dir      runDir
	events   FinetuneEvents
	progress finetuneProgress
	bad      int
	pace     pace
}

// finetuneProgress is the state of a run beside its tensors; it is part of a checkpoint.
type finetuneProgress struct {
	Loss    float64        `json:"loss"` // sums over the epoch so far
	Correct int            `json:"correct"`
	Images  int            `json:"images"`
	Skipped int            `json:"skipped"`
	InRow   int            `json:"in_row"` // skipped steps since the last good one
	Best    *FinetuneScore `json:"best,omitempty"`
}

// OpenFinetune prepares a run: it locks and fills its directory, and makes the network or loads it.
func OpenFinetune(o FinetuneOptions) (_ *FinetuneRun, err error) {
	if err := o.Config.Validate(); err != nil {
		return nil, err
	}
	if o.Device == nil {
		o.Device = tensor.CPU()
	}
	r := &FinetuneRun{o: o}
	defer func() {
		if err != nil {
			r.Close()
		}
	}()
	if r.o.Train, r.o.Val, err = labelledPair(o.Train, o.Val, o.Config.LabelFraction, o.Config.Seed); err != nil {
		return nil, err
	}
	r.data = identify(r.o.Train)
	if r.dir, err = openDir(o.OutputDir, o.SaveEvery); err != nil {
		return nil, err
	}
	if err := r.begin(); err != nil {
		return nil, err
	}
	return r, r.dir.start(r.Finetuner.step, o.Config)
}

// begin makes the network: from a checkpoint, from given weights, or fresh.
func (r *FinetuneRun) begin() (err error) {
	latest := filepath.Join(r.o.OutputDir, CheckpointName)
	switch path := r.o.Resume; {
	case path == ResumeLatest && exists(latest):
		return r.resume(latest)
	case path != "" && path != ResumeLatest:
		return r.resume(path)
	case exists(latest):
		return &RunExistsError{Dir: r.o.OutputDir, Path: latest}
	}
	for _, name := range []string{BestName, HeadName} {
		if path := filepath.Join(r.o.OutputDir, name); exists(path) {
			return &DirInUseError{Dir: r.o.OutputDir, Path: path}
		}
	}
	if r.o.From == nil && !r.o.Config.FromScratch {
		return errors.New("dino: fine-tuning needs the weights of a backbone, or FromScratch")
	}
	from := r.o.From
	if r.Started = "given weights"; r.o.Config.FromScratch {
		from, r.Started = nil, "fresh weights"
	}
	r.Finetuner, err = NewFinetuner(r.o.Device, r.o.Config, r.data.Images, len(r.o.Train.Classes()), from)
	return err
}

// resume loads the checkpoint at path if it is of this run.
func (r *FinetuneRun) resume(path string) error {
	damaged := func(err error) error {
		e := &CheckpointError{Path: path, Err: err}
		if other := filepath.Join(filepath.Dir(path), PreviousCheckpointName); other != path {
			if _, err := ReadFinetuneCheckpoint(other); err == nil {
				e.Previous = other
			}
		}
		return e
	}
	f, err := weights.Open(path)
	if err != nil {
		return damaged(err)
	}
	defer f.Close()
	head, err := readFinetuneHead(f)
	if err != nil {
		return damaged(err)
	}
	if d := r.differences(head); len(d) > 0 {
		return &ResumeError{Path: path, Differences: d}
	}
	if r.Finetuner, err = NewFinetuner(r.o.Device, r.o.Config, r.data.Images, len(r.o.Train.Classes()), nil); err != nil {
		return err
	}
	if err := r.Finetuner.load(f, head); err != nil {
		return damaged(err)
	}
	r.progress, r.dir.last = head.Progress, path
	r.Started = fmt.Sprintf("%s, step %d", path, head.Step)
	return nil
}

func (r *FinetuneRun) differences(head *FinetuneCheckpoint) []string {
	d := append(head.Config.Differences(&r.o.Config), head.Data.differences(r.data, "")...)
	if !slices.Equal(head.Classes, r.o.Train.Classes()) {
		d = append(d, fmt.Sprintf("classes: %q, now %q", head.Classes, r.o.Train.Classes()))
	}
	return d
}

// Close gives the directory free. It does not save.
func (r *FinetuneRun) Close() error {
	return r.dir.close()
}

// Best is the best score so far; nil before the first.
func (r *FinetuneRun) Best() *FinetuneScore { return r.progress.Best }

// Run trains to the last epoch and returns nil. When ctx ends it finishes the step, saves and returns ErrInterrupted.
func (r *FinetuneRun) Run(ctx context.Context, events FinetuneEvents) error {
	r.events = events
	f := r.Finetuner
	if events.Start != nil {
		events.Start(Start{Images: r.data.Images, StepsPerEpoch: f.stepsPerEpoch, Step: f.step, Params: nn.NumParams(f.params),
			BackboneParams: nn.NumParams(f.Backbone.Params())})
	}
	crop := f.config.Crop()
	loader, err := NewLoader(r.o.Train, LoaderOptions{Batch: f.config.BatchSize, Crop: &crop, Seed: f.config.Seed, Workers: r.o.Workers, KeepLast: true,
		MaxBad: f.config.MaxBad, CacheBytes: r.o.CacheBytes,
		OnBad: func(b BadSample) {
			r.bad++
			r.warn("bad image", fmt.Sprintf("%v; another image takes its place", b.Err))
		}})
	if err != nil {
		return err
	}
	defer loader.Close()
	if f.step < f.TotalSteps() {
		if err := loader.Start(context.WithoutCancel(ctx), f.Epoch(), f.step%f.stepsPerEpoch); err != nil {
			return err
		}
	}
	r.dir.saved = time.Now()
	// What a run that was interrupted between an epoch's last step and its evaluation still owes comes first.
	for owed := f.step > 0 && f.step%f.stepsPerEpoch == 0 && r.dir.finished < f.step; ; owed = f.step%f.stepsPerEpoch == 0 {
		if owed {
			if err := r.finishEpoch(ctx); err != nil {
				return r.interrupted(ctx, err)
			}
			if err := r.save(); err != nil {
				return err
			}
		} else if r.dir.due() {
			if err := r.save(); err != nil {
				return err
			}
		}
		if f.step >= f.TotalSteps() {
			return nil
		}
		if err := r.step(ctx, loader); err != nil {
			return r.interrupted(ctx, err)
		}
	}
}

// interrupted turns the end of ctx into a save and ErrInterrupted; other errors pass.
func (r *FinetuneRun) interrupted(ctx context.Context, err error) error {
	if ctx.Err() == nil || !errors.Is(err, ctx.Err()) {
		return err
	}
	if r.Finetuner.step > 0 && r.Finetuner.step != r.dir.savedAt {
		if err := r.save(); err != nil {
			return err
		}
	}
	return ErrInterrupted
}

// step takes a batch and trains on it.
func (r *FinetuneRun) step(ctx context.Context, loader *Loader) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	f, p := r.Finetuner, &r.progress
	begin := time.Now()
	if f.step%f.stepsPerEpoch == 0 {
		p.Loss, p.Correct, p.Images, p.Skipped = 0, 0, 0, 0
	}
	b, err := loader.Next(ctx)
	if err != nil {
		return err
	}
	s, err := f.Step(b)
	waited := b.Waited
	loader.Recycle(b)
	var bad *NonFiniteError
	switch {
	case errors.As(err, &bad):
		p.Skipped++
		p.InRow++
	case err != nil:
		return err
	default:
		p.InRow = 0
		p.Loss += s.Loss * float64(s.Images)
		p.Correct += s.Correct
		p.Images += s.Images
	}
	s.Seconds = time.Since(begin).Seconds()
	r.pace.add(s.Images, s.Seconds, waited.Seconds())
	s.ImagesPerSecond, s.Wait, s.ETA = r.pace.figures(f.TotalSteps() - f.step)
	s.Memory = memoryInUse()
	if err := r.write(finetuneStepLine{"step", s}); err != nil {
		return err
	}
	if r.events.Step != nil {
		r.events.Step(s)
	}
	if bad == nil {
		return nil
	}
	if p.InRow < maxSkipped {
		r.warn("skipped", bad.Error())
		return nil
	}
	where := "there is no checkpoint yet"
	if r.dir.last != "" {
		where = "the last good state is " + r.dir.last
	}
	return fmt.Errorf("%w: %d steps in a row were not finite, the last because of %s; %s. Lower lr, or raise warmup_epochs", ErrDiverged, maxSkipped, bad.Tensor, where)
}

type finetuneStepLine struct {
	Event string `json:"event"`
	FinetuneStep
}

type finetuneEpochLine struct {
	Event string `json:"event"`
	FinetuneEpoch
}

func (r *FinetuneRun) write(v any) error {
	if err := r.dir.log.write(v); err != nil {
		return fmt.Errorf("writing %s: %w", LogName, err)
	}
	return nil
}

// finishEpoch judges the epoch whose last step is done, and tells of it.
func (r *FinetuneRun) finishEpoch(ctx context.Context) error {
	f, p := r.Finetuner, &r.progress
	begin := time.Now()
	epoch := f.step/f.stepsPerEpoch - 1
	s := FinetuneEpoch{Epoch: epoch, Epochs: f.config.Epochs, Step: f.step, Skipped: p.Skipped, BadFiles: r.bad}
	if p.Images > 0 {
		s.Loss, s.TrainTop1 = p.Loss/float64(p.Images), 100*float64(p.Correct)/float64(p.Images)
	}
	if (epoch+1)%f.config.ValFreq == 0 || f.step == f.TotalSteps() {
		score, err := r.evaluate(ctx, epoch)
		if err != nil {
			return err
		}
		s.Score = score
		if p.Best == nil || score.Top1 > p.Best.Top1 {
			if err := r.keep(score); err != nil {
				return err
			}
			p.Best = score
		}
	}
	s.Best = p.Best
	s.Seconds = time.Since(begin).Seconds()
	if err := r.write(finetuneEpochLine{"epoch", s}); err != nil {
		return err
	}
	r.dir.finished = f.step
	if r.events.Epoch != nil {
		r.events.Epoch(s)
	}
	return nil
}

// evaluate scores the network on whole pictures.
func (r *FinetuneRun) evaluate(ctx context.Context, epoch int) (*FinetuneScore, error) {
	f := r.Finetuner
	x, err := Features(ctx, f.dev, f.Backbone, r.o.Val, f.config.transform(),
		FeatureOptions{EvalOptions: EvalOptions{Workers: r.o.Workers, Batch: min(max(f.config.BatchSize, 16), 256), MaxBad: f.config.MaxBad}})
	if err != nil {
		return nil, err
	}
	s, err := f.Head.Score(x.Features)
	if err != nil {
		return nil, err
	}
	return &FinetuneScore{Epoch: epoch, Top1: s.Top1, Top5: s.Top5, Loss: s.Loss, Test: x.Len()}, nil
}

// keep writes the network as the best so far: a bare state dict with its classifier, for every command that takes weights.
func (r *FinetuneRun) keep(score *FinetuneScore) error {
	f := r.Finetuner
	path := filepath.Join(r.o.OutputDir, BestName)
	k := &Classifier{Classes: r.o.Train.Classes(), Tokens: ClassToken, Blocks: 1, ImageSize: f.config.ImageSize, Backbone: BackboneID(f.Backbone),
		Epoch: score.Epoch + 1, LR: f.config.LR, Top1: score.Top1, LabelFraction: f.config.LabelFraction, Head: f.Head}
	c, err := k.contents()
	if err != nil {
		return fmt.Errorf("not saving %s: %w", path, err)
	}
	for _, p := range f.Backbone.Params() {
		if !allFinite(p.Value) {
			return fmt.Errorf("not saving %s: %s is not finite (NaN or infinity)", path, p.Name)
		}
		c.Arrays = append(c.Arrays, weights.Array{Name: "backbone." + p.Name, Shape: p.Value.Shape(), Data: p.Value.Floats()})
	}
	if err := r.Finetuner.dev.Err(); err != nil {
		return fmt.Errorf("not saving %s: %w", path, err)
	}
	args, err := json.Marshal(f.config)
	if err != nil {
		return err
	}
	c.Metadata["args"] = string(args)
	return weights.Save(path, c)
}

// save writes the latest checkpoint, keeping the one before.
func (r *FinetuneRun) save() error {
	f, dir := r.Finetuner, r.o.OutputDir
	if f.step == r.dir.savedAt {
		return nil
	}
	begin := time.Now()
	latest, previous := filepath.Join(dir, CheckpointName), filepath.Join(dir, PreviousCheckpointName)
	if err := linkOver(latest, previous); err != nil && !errors.Is(err, os.ErrNotExist) {
		os.Remove(previous)
	}
	c := &weights.Contents{}
	for _, n := range f.tensors() {
		if !allFinite(n.Value) {
			return fmt.Errorf("not saving %s: %s is not finite (NaN or infinity)", latest, n.Name)
		}
		c.Arrays = append(c.Arrays, weights.Array{Name: n.Name, Shape: n.Value.Shape(), Data: n.Value.Floats()})
	}
	if err := f.dev.Err(); err != nil { // what was read may be nothing
		return fmt.Errorf("not saving %s: %w", latest, err)
	}
	head := FinetuneCheckpoint{Format: finetuneFormat, Config: f.config, Step: f.step, Classes: r.o.Train.Classes(), Data: r.data,
		OptimizerSteps: map[string]int64{}, Progress: r.progress}
	for _, l := range f.layers {
		for _, s := range l.optimizer.State() {
			head.OptimizerSteps[s.Name] = s.Steps
		}
	}
	state, err := json.Marshal(head)
	if err != nil {
		return err
	}
	args, err := json.Marshal(f.config)
	if err != nil {
		return err
	}
	c.Metadata = map[string]string{"finetune": string(state), "args": string(args)}
	if err := weights.Save(latest, c); err != nil {
		return err
	}
	r.dir.wrote(latest, f.step)
	if r.events.Save != nil {
		s := SaveStats{Path: latest, Step: f.step, Seconds: time.Since(begin).Seconds()}
		if info, err := os.Stat(latest); err == nil {
			s.Bytes = info.Size()
		}
		r.events.Save(s)
	}
	return nil
}

func (r *FinetuneRun) warn(kind, message string) {
	w := Warning{Kind: kind, Epoch: r.Finetuner.Epoch(), Step: r.Finetuner.step, Message: message}
	r.dir.log.write(warningLine{"warning", w}) // a log that cannot be written stops the run at the next step
	if r.events.Warning != nil {
		r.events.Warning(w)
	}
}
