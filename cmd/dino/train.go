package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"github.com/godino-ml/godino/dino"
	"github.com/godino-ml/godino/dino/dataset"
	"github.com/godino-ml/godino/dino/report"
	"github.com/godino-ml/godino/internal/measure"
	"github.com/godino-ml/godino/nn/weights"
	"github.com/godino-ml/godino/tensor"
)

type trainCommand struct {
	dataFlags
	OutputDir string  `default:"./runs/train" group:"Run" placeholder:"DIR" help:"Where checkpoints, log.jsonl and config.json go."`
	ValPath   string  `group:"Data" placeholder:"PATH" help:"Images that the k-NN score is measured on; without it test/ or val/ beside train/, else a share held out."`
	ValShare  float64 `default:"0.1" group:"Data" placeholder:"SHARE" help:"That share, held out of the training images; 0 trains on all and scores nothing."`
	MaxImages int     `name:"max_images" default:"0" group:"Data" placeholder:"N" help:"Train on N of the images, drawn at random, the same whatever the seed; 0 takes all."`
	KNNMax    int     `name:"knn_max" default:"20000" group:"Data" placeholder:"N" help:"Most images that vote, and that are judged, in the k-NN score; 0 takes all."`

	Preset      string   `group:"Run" placeholder:"NAME" help:"Start from a named set of settings instead of choosing by the data: reference is facebookresearch/dino's defaults."`
	Config      string   `group:"Run" placeholder:"FILE" help:"JSON file of settings, such as the config.json of another run; flags overrule it."`
	Resume      optional `group:"Run" help:"Go on bit for bit from output_dir's latest checkpoint, if there is one, or from a FILE named as value. Settings are the checkpoint's."`
	Init        string   `group:"Run" placeholder:"FILE" help:"Start from these weights instead of random ones."`
	DryRun      bool     `group:"Run" help:"Print what would be done and stop before training."`
	Report      bool     `default:"true" group:"Run" help:"Keep report.html in output_dir, rewritten after every epoch; it has thumbnails of some pictures. --report false writes none."`
	TensorBoard bool     `name:"tensorboard" group:"Run" help:"Also write event files for TensorBoard, into tensorboard/ in output_dir."`
	JSON        bool     `name:"json" group:"Run" help:"Print JSON objects, one a line."`

	OnCollapse string `default:"warn" group:"Run" placeholder:"warn|adapt|stop" help:"What to do when the features collapse: warn; adapt, by changing teacher temperature, momentum or learning rate from there on; or stop with exit status 3."`
	NumWorkers int    `group:"Machine" placeholder:"N" help:"Threads that decode and crop images; 0 chooses. Results do not depend on it."`
	Device     string `default:"auto" group:"Machine" placeholder:"NAME" help:"cpu, cuda, cuda:N for the GPU of that number, or auto: a GPU if there is one."`
	UseFP16    *bool  `name:"use_fp16" group:"Machine" help:"Accepted for the reference's sake: float16 is not used; see --precision."`
	DistURL    string `name:"dist_url" hidden:""`
	LocalRank  string `name:"local_rank" hidden:""`

	Settings settingFlags `embed:""`
}

func (*trainCommand) Help() string {
	return `Examples:
  dino train --data_path photos --output_dir runs/photos
  dino train --data_path imagenet/train --preset reference --arch vit_small
  dino train --data_path cifar10.tar --epochs 20 --output_dir runs/cifar --resume

Settings that are not given are chosen by the number and size of the images, and printed with the reason. Flags have the names of the
reference implementation; hyphens do for underscores. Ctrl-C finishes the step, saves, and exits with 0; --resume goes on.`
}

func (c *trainCommand) Run(ctx context.Context, t *terminal) error {
	dev, err := device(c.Device)
	if err != nil {
		return err
	}
	if err := c.check(); err != nil {
		return err
	}
	train, err := c.openTraining()
	if err != nil {
		return err
	}
	defer train.Close()
	train = train.Sample(c.MaxImages, 0)
	val, err := c.openHeldOut(c.ValPath, train)
	if err != nil {
		return err
	}
	if val != nil {
		defer val.Close()
	}
	o := dino.Options{
		OutputDir: c.OutputDir, Device: dev, Train: train, Val: val, KNNTrain: c.KNNMax, KNNTest: c.KNNMax, Resume: string(c.Resume), Init: c.Init,
		Workers: workers(c.NumWorkers), OnCollapse: dino.OnCollapse(c.OnCollapse),
	}
	if val == nil && len(train.Classes()) > 1 {
		o.HoldOut = c.ValShare
	}
	var reasons []dino.Reason
	if o.Config, reasons, err = c.settings(train, dev); err != nil {
		return err
	}
	if n := train.Len() - int(math.Round(o.HoldOut*float64(train.Len()))); o.Config.StepsPerEpoch(n) < 1 {
		return usageError("%s to train on do not fill one step of %d (batch_size_per_gpu %d × accum %d): lower them, or give more images",
			plural(n, "image"), o.Config.ImagesPerStep(), o.Config.BatchSize, o.Config.Accum)
	}
	if o.Device, err = inPrecision(dev, o.Config.Precision); err != nil {
		return err
	}
	if !c.JSON {
		c.announce(t, train, val, &o, reasons)
	}
	if c.DryRun {
		if c.JSON {
			newProgress(t.out, true).object("settings", o.Config)
		} else {
			fmt.Fprintln(t.out, "dry run   nothing was trained or written")
		}
		return nil
	}
	return train1(ctx, t, o, report.Options{NoPage: !c.Report, TensorBoard: c.TensorBoard}, c.JSON)
}

// train1 opens the run, trains it and says how it ended.
func train1(ctx context.Context, t *terminal, o dino.Options, ro report.Options, asJSON bool) error {
	run, err := dino.Open(o)
	if err != nil {
		return runError(err)
	}
	defer run.Close()
	// Nearly all that lives are a few large tensors without pointers, cheap to look through: collect garbage, which decoding makes, before it
	// grows to as much again.
	defer debug.SetGCPercent(debug.SetGCPercent(25))
	p := newProgress(t.out, asJSON)
	if !asJSON {
		p.line("start     %s, into %s", run.Started, o.OutputDir)
	}
	begin := time.Now()
	ro.Version = version()
	ro.OnError = func(err error) { t.log.Warn(err.Error()) }
	recorder := report.NewRecorder(run, ro)
	err = run.Run(ctx, recorder.Events(p.events()))
	p.finish()
	recorder.Finish(err)
	took := durationText(time.Since(begin))
	switch {
	case errors.Is(err, dino.ErrInterrupted):
		if asJSON {
			p.object("interrupted", map[string]any{"steps": run.Trainer.Steps()})
		} else if run.Trainer.Steps() == 0 {
			p.line("stopped   before the first step, %s; nothing to save", took)
		} else {
			p.line("stopped   after %s of %s steps, %s; saved: go on with --resume", count(run.Trainer.Steps()), count(run.Trainer.TotalSteps()), took)
		}
		return nil
	case err != nil:
		return runError(err)
	case !asJSON:
		p.line("done      %s in %s: %s", plural(run.Trainer.Steps(), "step"), took, o.OutputDir)
		if p.lastStep.ImagesPerSecond > 0 { // else there was nothing left to do
			p.line("speed     %s", speedText(run, p.lastStep))
		}
	}
	log, err := report.ReadLog(o.OutputDir)
	if err != nil {
		return err
	}
	return drawCurves(o.OutputDir, log.Epochs, run.Trainer.Config().OutDim)
}

// speedText is how fast the last steps were and how near to what the CPU can do: the multiply-add ceiling, measured now.
func speedText(run *dino.Run, last dino.StepStats) string {
	dev := run.Trainer.Student.Backbone.ClassToken.Value.Device()
	if g := dev.GPU(); g != nil {
		return fmt.Sprintf("%s images/s over the last steps, %.3g GFLOP an image: %.1f TFLOP/s on %s (%s)", rateText(last.ImagesPerSecond), run.Trainer.FLOPs()/1e9,
			last.ImagesPerSecond*run.Trainer.FLOPs()/1e12, g.Info().Name, dev.Precision())
	}
	ceiling := dev.Ceiling() * float64(dev.Threads())
	rate := last.ImagesPerSecond * run.Trainer.FLOPs() / 1e9
	text := fmt.Sprintf("%s images/s over the last steps, %.3g GFLOP an image: %.0f GFLOP/s, %.0f %% of the ceiling of %.0f (%s multiply-adds alone, %s)",
		rateText(last.ImagesPerSecond), run.Trainer.FLOPs()/1e9, rate, 100*rate/ceiling, ceiling, dev.Precision(), plural(dev.Threads(), "thread"))
	if peak := measure.PeakMemory(); peak > 0 {
		text += "; peak memory " + shortBytes(peak)
	}
	return text
}

// check refuses values that do not depend on the data.
func (c *trainCommand) check() error {
	switch {
	case c.Preset != "" && c.Preset != "reference" && c.Preset != "auto":
		return usageError("--preset %q: choose reference or auto", c.Preset)
	case c.OnCollapse != "warn" && c.OnCollapse != "adapt" && c.OnCollapse != "stop":
		return usageError("--on_collapse %q: choose warn, adapt or stop", c.OnCollapse)
	case !(c.ValShare >= 0 && c.ValShare < 1):
		return usageError("--val_share %g: choose a share from 0 to below 1", c.ValShare)
	case c.NumWorkers < 0:
		return usageError("--num_workers %d: choose 0 or more", c.NumWorkers)
	case c.MaxImages < 0:
		return usageError("--max_images %d: choose 0 or more", c.MaxImages)
	case c.KNNMax < 0:
		return usageError("--knn_max %d: choose 0 or more", c.KNNMax)
	case c.Resume != "" && c.Init != "":
		return usageError("--resume goes on with a run and --init starts one: choose one of them")
	}
	return nil
}

// workers is how many goroutines decode images: as many as asked for, or as the machine has use for.
func workers(asked int) int {
	if asked > 0 {
		return asked
	}
	return runtime.GOMAXPROCS(0)
}

// resumed is the checkpoint that the run goes on from; nil if there is none, or it does not read, which dino.Open will say.
func (c *trainCommand) resumed() *dino.Checkpoint {
	path := string(c.Resume)
	switch path {
	case "":
		return nil
	case dino.ResumeLatest:
		path = filepath.Join(c.OutputDir, dino.CheckpointName)
	}
	head, err := dino.ReadCheckpoint(path)
	if err != nil {
		return nil
	}
	return head
}

// settings are the run's: those of the checkpoint that it goes on from, or chosen by a preset or the data; then the file's, then the flags'.
func (c *trainCommand) settings(train *dataset.Dataset, dev *tensor.Device) (dino.Config, []dino.Reason, error) {
	config, reasons := dino.Reference(), []dino.Reason{{Settings: "preset reference", Why: "the defaults of facebookresearch/dino"}}
	if c.Preset != "reference" {
		config, reasons = dino.AutoConfig(dino.DataInfo{Images: train.Len(), ShortSide: shortSide(train)})
	}
	if dev.GPU() != nil {
		config.Precision = tensor.BF16.String()
		reasons = append(reasons, dino.Reason{Settings: "precision bf16", Why: "what a GPU multiplies fastest; --precision float32 is the reference's arithmetic without its mixed precision"})
	}
	if was := c.resumed(); was != nil {
		config, reasons = was.Config, []dino.Reason{{Settings: "all settings", Why: fmt.Sprintf("those of the checkpoint, step %d", was.Step)}}
	}
	if c.Config != "" {
		if err := readConfig(c.Config, &config); err != nil {
			return config, nil, err
		}
	}
	if err := c.Settings.apply(&config); err != nil {
		return config, nil, usageError("%w", err)
	}
	if unsaid := c.resumed() == nil && c.Settings.WarmupEpochs == nil && c.Config == "" && c.Preset != "reference"; unsaid && config.WarmupEpochs > float64(config.Epochs)/10 {
		config.WarmupEpochs = float64(config.Epochs) / 10
		reasons = append(reasons, dino.Reason{Settings: fmt.Sprintf("warmup_epochs %g", config.WarmupEpochs), Why: fmt.Sprintf("a tenth of %s", plural(config.Epochs, "epoch"))})
	}
	if err := config.Validate(); err != nil {
		return config, nil, usageError("%w", err)
	}
	return config, reasons, nil
}

// announce prints what was found and what will be done, before anything is.
func (c *trainCommand) announce(t *terminal, train, val *dataset.Dataset, o *dino.Options, reasons []dino.Reason) {
	say := func(name, format string, args ...any) {
		fmt.Fprintf(t.out, "%-9s %s\n", name, fmt.Sprintf(format, args...))
	}
	say("data", "%s", describe(train))
	switch {
	case val != nil:
		say("k-NN", "judged on %s", describe(val))
	case o.HoldOut > 0:
		say("k-NN", "judged on %g %% of the images, held out of training (--val_share); labels are used for nothing else", 100*o.HoldOut)
	case len(train.Classes()) < 2:
		say("k-NN", "none: the images are in no class folders")
	default:
		say("k-NN", "none: no images are held out")
	}
	for _, r := range reasons {
		name := "chosen"
		if r.Warning {
			name = "warning"
		}
		say(name, "%s", r)
	}
	if c.Config != "" {
		say("from file", "%s", c.Config)
	}
	if given := c.Settings.given(); len(given) > 0 {
		say("given", "%s", strings.Join(given, ", "))
	}
	if c.UseFP16 != nil && *c.UseFP16 {
		say("note", "--use_fp16: float16 is not used; it trains in %s (--precision)", o.Config.Precision)
	}
	if c.DistURL != "" || c.LocalRank != "" {
		say("note", "--dist_url and --local_rank: training runs in one process; all cores are used")
	}
	g := &o.Config
	n := g.StepsPerEpoch(train.Len() - int(math.Round(o.HoldOut*float64(train.Len()))))
	say("plan", "%s of %s, %s of 2×%d + %d×%d crops a step, %s/%d, out_dim %s, %s at lr %g",
		plural(g.Epochs, "epoch"), plural(n, "step"), plural(g.ImagesPerStep(), "image"), g.GlobalCropsSize, g.LocalCropsNumber, g.LocalCropsSize,
		g.Arch, g.PatchSize, count(g.OutDim), g.Optimizer, g.LR)
	say("machine", "%s, %s to load images", deviceText(o.Device, o.Config.Precision), plural(o.Workers, "worker"))
}

// runError gives an error of package dino its exit status.
func runError(err error) error {
	var (
		exists     *dino.RunExistsError
		resume     *dino.ResumeError
		checkpoint *dino.CheckpointError
		match      *weights.MatchReport
		data       *dino.BadDataError
		inUse      *dino.DirInUseError
		labels     *dino.LabelError
	)
	switch {
	case errors.Is(err, dino.ErrDiverged), errors.Is(err, dino.ErrCollapsed):
		return withStatus(exitDiverged, err)
	case errors.As(err, &exists), errors.As(err, &inUse), errors.Is(err, dino.ErrLocked):
		return withStatus(exitUsage, err)
	case errors.As(err, &resume), errors.As(err, &checkpoint), errors.As(err, &match):
		return checkpointError(err)
	case errors.As(err, &data), errors.As(err, &labels):
		return dataError(err)
	}
	return err
}
