package dino

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/godino-ml/godino/dino/dataset"
	"github.com/godino-ml/godino/nn"
	"github.com/godino-ml/godino/tensor"
)

// How a run ends before its last epoch.
var (
	// ErrInterrupted is returned when the context ended: the step was finished and the state saved, and the run can be resumed.
	ErrInterrupted = errors.New("interrupted and saved")
	// ErrDiverged is wrapped when three steps in a row were not finite. The last checkpoint is from before them.
	ErrDiverged = errors.New("training diverged")
)

// RunExistsError is a new run in a directory that holds one.
type RunExistsError struct {
	Dir  string
	Path string // its latest checkpoint
}

func (e *RunExistsError) Error() string {
	return fmt.Sprintf("%s already holds a run (%s): go on from it with --resume, or choose another --output_dir", e.Dir, filepath.Base(e.Path))
}

// ResumeError is a checkpoint of another run than the one asked for.
type ResumeError struct {
	Path        string
	Differences []string // one line each: "lr: 0.0005, now 0.001"
}

func (e *ResumeError) Error() string {
	return fmt.Sprintf("%s cannot be resumed with other settings or data, the run would not be what it began as:\n  %s\nresume without them, or start a new run from its weights with --init %s",
		e.Path, strings.Join(e.Differences, "\n  "), e.Path)
}

// ResumeLatest as Options.Resume goes on from the directory's latest checkpoint, or starts anew if there is none.
const ResumeLatest = "latest"

// maxSkipped is how many steps in a row may be skipped for numbers that are not finite.
const maxSkipped = 3

// Options is what a run needs beside its configuration.
type Options struct {
	Config    Config
	OutputDir string // checkpoints, log.jsonl, config.json, lock
	Device    *tensor.Device

	Train *dataset.Dataset
	// Val is what k-NN judges. Without it, HoldOut is the share of Train that is not trained on and judged instead; 0 is none.
	Val     *dataset.Dataset
	HoldOut float64
	// KNNTrain and KNNTest are how many images vote and are judged at most, drawn once by the seed; 0 is all.
	KNNTrain, KNNTest int

	Resume  string // "" starts anew, ResumeLatest, or the path of a checkpoint
	Init    string // weights to start from; "" is a fresh network. See Trainer.Init
	InitKey string // "teacher" or "student"; "" is teacher

	Workers    int           // goroutines that decode and crop; 0 means 1
	CacheBytes int64         // see LoaderOptions
	SaveEvery  time.Duration // the longest time between checkpoints within an epoch; 0 means 15 minutes, below 0 never
	OnCollapse OnCollapse
}

// OnCollapse is what a run does when the features collapse, besides saying so.
type OnCollapse string

const (
	WarnOnCollapse  OnCollapse = "warn"  // nothing; the zero OnCollapse is this too
	AdaptOnCollapse OnCollapse = "adapt" // change the teacher's temperature, its momentum or the learning rate from there on
	StopOnCollapse  OnCollapse = "stop"  // end with ErrCollapsed
)

// Run is a training run with its directory. Open makes one, Run trains, Close gives the directory free.
type Run struct {
	Trainer *Trainer
	// Started says where the weights come from, for people.
	Started string

	o        Options
	data     DataID
	dir      runDir
	events   Events
	knn      *knnEvaluation // nil without
	progress progress
	bad      int
	collapse collapseDetector
	pace     pace
	ahead    *batchesAhead // nil if none were taken
}

// progress is the state of a run beside its tensors; it is part of a checkpoint.
type progress struct {
	// Sums over the steps of the epoch so far.
	Loss    float64 `json:"loss"`
	Entropy float64 `json:"entropy"`
	KL      float64 `json:"kl"`
	// Prototypes is the sum of the numbers used by each batch.
	Prototypes float64 `json:"prototypes,omitempty"`
	Steps      int     `json:"steps"`
	Skipped    int     `json:"skipped"`
	// InRow counts the skipped steps since the last good one.
	InRow int `json:"in_row"`
	// Adapted is what collapses have changed.
	Adapted adaptation `json:"adapted,omitzero"`
	// Baselines of k-NN, per cent; nil if not measured.
	Untrained *float64 `json:"untrained,omitempty"`
	Pixels    *float64 `json:"pixels,omitempty"`
}

// Open prepares a run: it locks and fills its directory, and makes the trainer or loads it.
func Open(o Options) (_ *Run, err error) {
	if err := o.Config.Validate(); err != nil {
		return nil, err
	}
	if o.Device == nil {
		o.Device = tensor.CPU()
	}
	r := &Run{o: o, collapse: newCollapseDetector(&o.Config)}
	defer func() {
		if err != nil {
			r.Close()
		}
	}()
	if r.o.Val == nil && o.HoldOut > 0 {
		r.o.Train, r.o.Val = o.Train.HoldOut(o.HoldOut, o.Config.Seed)
	}
	r.data = identify(r.o.Train)
	if r.dir, err = openDir(o.OutputDir, o.SaveEvery); err != nil {
		return nil, err
	}
	if err := r.begin(); err != nil {
		return nil, err
	}
	return r, r.dir.start(r.Trainer.Steps(), o.Config)
}

// begin makes the trainer: from a checkpoint, from weights, or fresh.
func (r *Run) begin() (err error) {
	latest := filepath.Join(r.o.OutputDir, CheckpointName)
	switch path := r.o.Resume; {
	case path == ResumeLatest && exists(latest):
		return r.resume(latest)
	case path != "" && path != ResumeLatest:
		return r.resume(path)
	case exists(latest):
		return &RunExistsError{Dir: r.o.OutputDir, Path: latest}
	}
	if r.Trainer, err = NewTrainer(r.o.Device, r.o.Config, r.data.Images); err != nil {
		return err
	}
	r.Started = "fresh weights"
	if r.o.Init != "" {
		key := r.o.InitKey
		if key == "" {
			key = "teacher"
		}
		if r.Started, err = r.Trainer.Init(r.o.Init, key); err != nil {
			return &CheckpointError{Path: r.o.Init, Err: err}
		}
	}
	return nil
}

// resume loads the checkpoint at path if it is of this run.
func (r *Run) resume(path string) error {
	head, err := ReadCheckpoint(path)
	if err != nil {
		return &CheckpointError{Path: path, Err: err, Previous: otherCheckpoint(path)}
	}
	if d := r.differences(head); len(d) > 0 {
		return &ResumeError{Path: path, Differences: d}
	}
	if r.Trainer, head, err = LoadTrainer(r.o.Device, path); err != nil {
		return &CheckpointError{Path: path, Err: err, Previous: otherCheckpoint(path)}
	}
	r.Trainer.config = r.o.Config // differs in what has no effect on the weights
	r.progress, r.dir.last = head.Progress, path
	r.Trainer.adapt(r.progress.Adapted)
	r.Started = fmt.Sprintf("%s, step %d", path, head.Step)
	return nil
}

// differences lists what the checkpoint was trained with and this run is not.
func (r *Run) differences(head *Checkpoint) []string {
	return append(head.Config.Differences(&r.o.Config),
		head.Data.differences(r.data, "; --val_path, --val_share and --max_images must be as they were")...)
}

// Config is the run's configuration.
func (r *Run) Config() Config { return r.o.Config }

// Dir is the run's directory.
func (r *Run) Dir() string { return r.o.OutputDir }

// Data are the images that are trained on and those that are judged, nil without.
func (r *Run) Data() (train, val *dataset.Dataset) { return r.o.Train, r.o.Val }

// Close gives the directory free. It does not save.
func (r *Run) Close() error {
	return r.dir.close()
}

// Run trains to the last epoch and returns nil. When ctx ends it finishes the step, saves and returns ErrInterrupted. Other errors: one that
// wraps ErrDiverged or ErrCollapsed, a *BadDataError, or one of the disk.
func (r *Run) Run(ctx context.Context, events Events) error {
	r.events = events
	t := r.Trainer
	if events.Start != nil {
		events.Start(Start{Images: r.data.Images, StepsPerEpoch: t.stepsPerEpoch, Step: t.step,
			Params: nn.NumParams(t.Student.Params()), BackboneParams: nn.NumParams(t.Student.Backbone.Params())})
	}
	if err := r.prepareKNN(); err != nil {
		return err
	}
	// What a run that was killed between an epoch's last step and its evaluation still owes.
	if t.step%t.stepsPerEpoch == 0 && r.dir.finished < t.step {
		if err := r.finishEpoch(ctx); err != nil {
			return r.interrupted(ctx, err)
		}
	}
	loader, err := r.loader()
	if err != nil {
		return err
	}
	defer loader.Close()
	r.dir.saved = time.Now()
	for t.step < t.TotalSteps() {
		if err := r.step(ctx, loader); err != nil {
			return r.interrupted(ctx, err)
		}
		if t.step%t.stepsPerEpoch != 0 {
			if r.dir.due() {
				if err := r.save(); err != nil {
					return err
				}
			}
			continue
		}
		if err := r.save(); err != nil {
			return err
		}
		if err := r.finishEpoch(ctx); err != nil {
			return r.interrupted(ctx, err)
		}
	}
	return nil
}

// interrupted turns the end of ctx into a save and ErrInterrupted; other errors pass.
func (r *Run) interrupted(ctx context.Context, err error) error {
	if ctx.Err() == nil || !errors.Is(err, ctx.Err()) {
		return err
	}
	if r.Trainer.step == 0 || r.Trainer.step == r.dir.savedAt {
		return ErrInterrupted // nothing new to save
	}
	if err := r.save(); err != nil {
		return err
	}
	return ErrInterrupted
}

// loader starts to make batches where the run is.
func (r *Run) loader() (*Loader, error) {
	t := r.Trainer
	l, err := NewLoader(r.o.Train, LoaderOptions{
		Batch: t.config.BatchSize, Crops: t.config.Crops(), Seed: t.config.Seed, Uncropped: t.dev.GPU() != nil,
		Workers: r.o.Workers, Prefetch: 2 * t.config.Accum, MaxBad: t.config.MaxBad, CacheBytes: r.o.CacheBytes,
		OnBad: func(b BadSample) {
			r.bad++
			r.warn("bad image", fmt.Sprintf("%v; another image takes its place", b.Err))
		},
	})
	if err != nil || t.step >= t.TotalSteps() {
		return l, err
	}
	return l, l.Start(context.Background(), t.Epoch(), t.step%t.stepsPerEpoch*t.config.Accum)
}

// step takes the batches of one step and trains on them.
func (r *Run) step(ctx context.Context, loader *Loader) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	t := r.Trainer
	begin := time.Now()
	if t.step%t.stepsPerEpoch == 0 {
		r.progress.Loss, r.progress.Entropy, r.progress.KL, r.progress.Prototypes, r.progress.Steps, r.progress.Skipped = 0, 0, 0, 0, 0, 0
	}
	batches, waited, err := r.take(ctx, loader)
	if err != nil {
		return err
	}
	t.Start(batches...)
	r.fetchAhead(ctx, loader)
	s, err := t.Finish()
	for _, b := range batches {
		loader.Recycle(b)
	}
	var bad *NonFiniteError
	if err != nil && !errors.As(err, &bad) {
		return err
	}
	r.count(&s)
	s.Seconds = time.Since(begin).Seconds()
	r.pace.add(s.Images, s.Seconds, waited.Seconds())
	s.ImagesPerSecond, s.Wait, s.ETA = r.pace.figures(t.TotalSteps() - t.step)
	s.Memory = memoryInUse()
	if err := r.dir.log.write(stepLine{"step", s}); err != nil {
		return fmt.Errorf("writing %s: %w", LogName, err)
	}
	if r.events.Step != nil {
		r.events.Step(s)
	}
	if bad != nil {
		return r.skipped(bad)
	}
	return nil
}

// batchesAhead are those of the next step, and the time that was waited for them.
type batchesAhead struct {
	batches []*Batch
	waited  time.Duration
	err     error
}

// take is the batches of the step at hand.
func (r *Run) take(ctx context.Context, loader *Loader) (batches []*Batch, waited time.Duration, err error) {
	if a := r.ahead; a != nil {
		r.ahead = nil
		return a.batches, a.waited, a.err
	}
	return r.next(ctx, loader, r.Trainer.step)
}

// fetchAhead sends the batches of the next step to a GPU while it works on the step at hand, whose own batches are there.
func (r *Run) fetchAhead(ctx context.Context, loader *Loader) {
	t := r.Trainer
	if t.dev.GPU() == nil || t.step+1 == t.TotalSteps() {
		return
	}
	a := &batchesAhead{}
	if a.batches, a.waited, a.err = r.next(ctx, loader, t.step+1); a.err == nil {
		t.Prefetch(a.batches...)
	}
	r.ahead = a
}

// next takes the loader's batches of a step. With accum, the last batches of an epoch may fill no step: they are passed over.
func (r *Run) next(ctx context.Context, loader *Loader, step int) (batches []*Batch, waited time.Duration, err error) {
	t := r.Trainer
	for len(batches) < t.config.Accum {
		b, err := loader.Next(ctx)
		if err != nil {
			return nil, 0, err
		}
		waited += b.Waited
		if b.Epoch != step/t.stepsPerEpoch || b.Step/t.config.Accum != step%t.stepsPerEpoch {
			loader.Recycle(b)
			continue
		}
		batches = append(batches, b)
	}
	return batches, waited, nil
}

// count adds a step to the epoch's sums.
func (r *Run) count(s *StepStats) {
	p := &r.progress
	if s.Skipped != "" {
		p.Skipped++
		p.InRow++
		return
	}
	p.InRow = 0
	p.Steps++
	p.Loss += s.Loss
	p.Entropy += s.Entropy
	p.KL += s.KL
	p.Prototypes += float64(s.Prototypes)
}

// skipped decides what a step that was not taken means.
func (r *Run) skipped(bad *NonFiniteError) error {
	if r.progress.InRow < maxSkipped {
		r.warn("skipped", bad.Error())
		return nil
	}
	where := "there is no checkpoint yet"
	if r.dir.last != "" {
		t, head, err := LoadTrainer(r.o.Device, r.dir.last)
		if err != nil {
			return fmt.Errorf("%w, and its last checkpoint does not load: %w", ErrDiverged, err)
		}
		r.Trainer, r.progress = t, head.Progress
		t.adapt(head.Progress.Adapted)
		where = fmt.Sprintf("the last good state is %s, step %d", r.dir.last, head.Step)
	}
	return fmt.Errorf("%w: %d steps in a row were not finite, the last because of %s; %s. Lower lr, or raise warmup_epochs, or lower clip_grad",
		ErrDiverged, maxSkipped, bad.Tensor, where)
}

// save writes the latest checkpoint, keeping the one before, and at the end of some epochs one that stays.
func (r *Run) save() error {
	t, dir := r.Trainer, r.o.OutputDir
	latest, previous := filepath.Join(dir, CheckpointName), filepath.Join(dir, PreviousCheckpointName)
	// A second name for the old file: the new one replaces only the first. Not every file system can, and then there is no previous one.
	if err := linkOver(latest, previous); err != nil && !errors.Is(err, os.ErrNotExist) {
		os.Remove(previous)
	}
	s, err := t.save(latest, r.data, r.progress)
	if err != nil {
		return err
	}
	r.dir.wrote(latest, t.step)
	if r.events.Save != nil {
		r.events.Save(s)
	}
	epoch := t.Epoch() - 1
	if t.step%t.stepsPerEpoch == 0 && t.config.SaveCkpFreq > 0 && epoch%t.config.SaveCkpFreq == 0 {
		kept := filepath.Join(dir, keptCheckpointName(epoch))
		if linkOver(latest, kept) != nil {
			if _, err := t.save(kept, r.data, r.progress); err != nil {
				return err
			}
		}
	}
	return nil
}

// linkOver gives the file at path a second name, replacing what had it.
func linkOver(path, name string) error {
	temporary := name + ".tmp"
	os.Remove(temporary) // of a run that was killed here
	if err := os.Link(path, temporary); err != nil {
		return err
	}
	return os.Rename(temporary, name)
}

// finishEpoch evaluates the epoch whose last step is done and tells of it; at step 0 that is the untrained network.
func (r *Run) finishEpoch(ctx context.Context) error {
	t, p := r.Trainer, &r.progress
	begin := time.Now()
	epoch := t.Epoch() - 1
	last := t.step == t.TotalSteps()
	s := EpochStats{Epoch: epoch, Epochs: t.config.Epochs, Step: t.step, BadFiles: r.bad, Skipped: p.Skipped}
	if n := float64(p.Steps); n > 0 && epoch >= 0 {
		s.Loss, s.Entropy, s.KL = p.Loss/n, p.Entropy/n, p.KL/n
	}
	if r.knn != nil && ((epoch+1)%t.config.KNNFreq == 0 || last) {
		k, err := r.knn.evaluate(ctx, r)
		if err != nil {
			return err
		}
		s.KNN = k
	}
	if epoch < 0 && s.KNN == nil {
		return nil
	}
	c, figures, err := r.judge(s)
	if err != nil {
		return err
	}
	s.Seconds = time.Since(begin).Seconds()
	if err := r.dir.log.write(epochLine{"epoch", s}); err != nil {
		return fmt.Errorf("writing %s: %w", LogName, err)
	}
	r.dir.finished = t.step
	if r.events.Epoch != nil {
		r.events.Epoch(s)
	}
	if c == "" {
		return nil
	}
	m := fmt.Sprintf("%s: %s. %s", c, figures, c.remedy())
	if adapted := r.progress.Adapted; adapted.Step == t.step {
		m = fmt.Sprintf("%s: %s. Adapted: %s", c, figures, adapted.text(t.config.Schedule(t.stepsPerEpoch), t.Epoch()))
	}
	r.warn("collapse", m)
	if r.o.OnCollapse == StopOnCollapse {
		return fmt.Errorf("%w: %s", ErrCollapsed, m)
	}
	return nil
}

// judge names the collapse that an epoch shows, and adapts the run to it if that was asked for. What has changed is saved before the log says that the
// epoch is done: a run that is killed in between adapts once.
func (r *Run) judge(s EpochStats) (c collapse, figures string, err error) {
	t, p := r.Trainer, &r.progress
	if p.Steps == 0 || s.Epoch < 0 {
		return "", "", nil
	}
	c, figures = r.collapse.judge(s.Epoch, s.Entropy, s.KL, p.Prototypes/float64(p.Steps))
	if c == "" || r.o.OnCollapse != AdaptOnCollapse || p.Adapted.Step == t.step || t.step == t.TotalSteps() {
		return c, figures, nil
	}
	p.Adapted = p.Adapted.against(c, t.step)
	t.adapt(p.Adapted)
	return c, figures, r.save()
}

func (r *Run) warn(kind, message string) {
	w := Warning{Kind: kind, Epoch: r.Trainer.Epoch(), Step: r.Trainer.step, Message: message}
	r.dir.log.write(warningLine{"warning", w}) // a log that cannot be written stops the run at the next step
	if r.events.Warning != nil {
		r.events.Warning(w)
	}
}
