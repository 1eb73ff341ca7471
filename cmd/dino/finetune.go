package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"time"

	"github.com/godino-ml/godino/dino"
	"github.com/godino-ml/godino/dino/dataset"
)

type finetuneCommand struct {
	PretrainedWeights string `placeholder:"FILE" group:"Network" help:"Weights to start from: a checkpoint of train; a .pth or safetensors of DINO, DINOv2, DeiT, timm; a folder of transformers or timm."`
	FromScratch       bool   `group:"Network" help:"Start from fresh weights instead: what the labels alone are worth."`
	CheckpointKey     string `default:"teacher" group:"Network" placeholder:"KEY" help:"Which network of a checkpoint: ${default}, or student."`
	Arch              string `group:"Network" placeholder:"NAME" help:"Backbone; read from the file where it says so, chosen by the number of images with --from_scratch: vit_tiny, vit_small, vit_base, vit:dim=96,depth=4,heads=3."`
	PatchSize         int    `group:"Network" placeholder:"PX" help:"Side of a patch; read from the file if not given, chosen by the size of the images with --from_scratch."`
	dataFlags
	ValPath    string   `placeholder:"PATH" group:"Data" help:"Images that are judged, if not inside --data_path."`
	OutputDir  string   `default:"./runs/finetune" group:"Run" placeholder:"DIR" help:"Where checkpoint.safetensors, best.safetensors, log.jsonl and config.json go."`
	Resume     optional `group:"Run" help:"Go on bit for bit from output_dir's latest checkpoint, if there is one, or from a FILE named as value. Settings are the checkpoint's."`
	JSON       bool     `name:"json" group:"Run" help:"Print JSON objects, one a line."`
	NumWorkers int      `group:"Machine" placeholder:"N" help:"Threads that decode and crop images; 0 chooses. Results do not depend on it."`
	Device     string   `default:"auto" group:"Machine" placeholder:"NAME" help:"cpu, cuda or auto."`

	Settings finetuneSettings `embed:""`
}

// finetuneSettings are the flags that set a field of dino.FinetuneConfig. Their JSON names are those of the fields; a flag that was not given is nil
// and leaves its field alone.
type finetuneSettings struct {
	DropPathRate   *float64  `json:"drop_path_rate,omitempty" group:"Network" placeholder:"P" help:"Share of samples that skip the last block's branches (0.1)."`
	LabelFraction  *float64  `json:"label_fraction,omitempty" group:"Data" placeholder:"SHARE" help:"Use this share of each class's images, rounded, at least one, drawn by --seed: 0.01, 0.1, 1."`
	ImageSize      *int      `json:"image_size,omitempty" group:"Data" placeholder:"PX" help:"Side of crops, and of pictures that are judged; as trained if not given."`
	CropsScale     *interval `json:"crops_scale,omitempty" group:"Data" placeholder:"A B" help:"A crop's share of the picture's area, from A to B (0.08 1)."`
	Flip           *float64  `json:"flip,omitempty" group:"Data" placeholder:"P" help:"Share of crops that are mirrored (0.5)."`
	ColorJitter    *float64  `json:"color_jitter,omitempty" group:"Data" placeholder:"P" help:"Share of crops whose brightness, contrast, saturation and hue are changed (0)."`
	MaxBad         *float64  `json:"max_bad,omitempty" name:"max_bad" group:"Data" placeholder:"SHARE" help:"Stop when more than this share of the images cannot be read (0.01)."`
	LR             *float64  `json:"lr,omitempty" name:"lr" group:"Optimisation" help:"Learning rate for 256 images a step (0.001)."`
	MinLR          *float64  `json:"min_lr,omitempty" name:"min_lr" group:"Optimisation" placeholder:"LR" help:"At the end (1e-6)."`
	WarmupEpochs   *float64  `json:"warmup_epochs,omitempty" group:"Optimisation" placeholder:"N" help:"Epochs in which it rises from 0; may be a fraction (a tenth of the epochs, at most 5)."`
	WeightDecay    *float64  `json:"weight_decay,omitempty" group:"Optimisation" help:"Weight decay (0.05)."`
	LayerDecay     *float64  `json:"layer_decay,omitempty" group:"Optimisation" placeholder:"R" help:"A block learns at the rate of the one after it times this (0.75; 1 with --from_scratch)."`
	LabelSmoothing *float64  `json:"label_smoothing,omitempty" group:"Optimisation" placeholder:"S" help:"Share of the target that is spread over all classes (0.1)."`
	ClipGrad       *float64  `json:"clip_grad,omitempty" group:"Optimisation" placeholder:"NORM" help:"Largest norm of each tensor's gradient; 0 is off (3)."`
	BatchSize      *int      `json:"batch_size_per_gpu,omitempty" name:"batch_size_per_gpu" aliases:"batch_size" group:"Optimisation" placeholder:"N" help:"Images of a step (64)."`
	Epochs         *int      `json:"epochs,omitempty" group:"Optimisation" help:"Epochs (50)."`
	ValFreq        *int      `json:"val_freq,omitempty" name:"val_freq" group:"Run" placeholder:"N" help:"Epochs between scores (1)."`
	Seed           *uint64   `json:"seed,omitempty" group:"Run" placeholder:"N" help:"Seed of every random choice (0)."`
	Precision      *string   `json:"precision,omitempty" group:"Machine" placeholder:"NAME" help:"Numbers that the layers multiply: float32, or bf16, faster on CPUs that have it."`
}

func (*finetuneCommand) Help() string {
	return `Examples:
  dino finetune --pretrained_weights runs/cifar/checkpoint.safetensors --data_path cifar10.tar --output_dir runs/cifar-finetuned
  dino finetune --from_scratch --arch vit:dim=96,depth=4,heads=3 --patch_size 8 --image_size 64 --data_path photos --label_fraction 0.1
  dino classify --pretrained_weights runs/cifar-finetuned/best.safetensors --data_path new

Backbone and a linear layer on its class token learn the classes together, by AdamW on random crops. Judged are whole pictures. The best network
is kept in best.safetensors, which every command takes as --pretrained_weights. Ctrl-C finishes the step, saves, and exits with 0; --resume goes on.`
}

func (c *finetuneCommand) Run(ctx context.Context, t *terminal) error {
	dev, err := device(c.Device)
	if err != nil {
		return err
	}
	resumed, err := c.resumed()
	if err != nil {
		return err
	}
	if resumed == nil && (c.PretrainedWeights == "") == !c.FromScratch {
		return usageError("give --pretrained_weights FILE to start from, or --from_scratch, and not both")
	}
	train, val, err := c.openLabelled(c.ValPath)
	if err != nil {
		return err
	}
	defer train.Close()
	defer val.Close()
	o := dino.FinetuneOptions{OutputDir: c.OutputDir, Device: dev, Train: train, Val: val, Resume: string(c.Resume), Workers: workers(c.NumWorkers)}
	from := ""
	switch {
	case resumed != nil:
		o.Config, from = resumed.Config, fmt.Sprintf("settings of the checkpoint, step %d", resumed.Step)
	case c.FromScratch:
		o.Config, from = c.scratch(train), "fresh weights"
	default:
		flags := networkFlags{PretrainedWeights: c.PretrainedWeights, CheckpointKey: c.CheckpointKey, Arch: c.Arch, PatchSize: c.PatchSize}
		n, err := flags.load(dev, t.log)
		if err != nil {
			return err
		}
		o.From, from = n.VisionTransformer, fmt.Sprintf("%s (%s)", c.PretrainedWeights, n.Name)
		o.Config = dino.DefaultFinetune()
		v := n.Config()
		o.Config.Arch, o.Config.PatchSize, o.Config.ImageSize, o.Config.PosSize, o.Config.InterpolateOffset = v.Arch(), v.PatchSize, n.Side, v.ImageSize, *v.InterpolateOffset
	}
	if err := c.Settings.apply(&o.Config); err != nil {
		return usageError("%w", err)
	}
	if resumed == nil && c.Settings.WarmupEpochs == nil {
		o.Config.WarmupEpochs = min(o.Config.WarmupEpochs, float64(o.Config.Epochs)/10)
	}
	if c.FromScratch && resumed == nil {
		o.Config.PosSize = o.Config.ImageSize
	}
	if err := o.Config.Validate(); err != nil {
		return usageError("%w", err)
	}
	if _, err := inPrecision(dev, o.Config.Precision); err != nil {
		return err
	}
	if !c.JSON {
		c.announce(t, &o, from)
	}
	return finetune(ctx, t, o, c.JSON)
}

// resumed is the checkpoint that the run goes on from; nil if it starts anew.
func (c *finetuneCommand) resumed() (*dino.FinetuneCheckpoint, error) {
	path := string(c.Resume)
	switch path {
	case "":
		return nil, nil
	case dino.ResumeLatest:
		path = filepath.Join(c.OutputDir, dino.CheckpointName)
		if _, err := os.Stat(path); err != nil {
			return nil, nil
		}
	}
	head, err := dino.ReadFinetuneCheckpoint(path)
	if err != nil {
		e := &dino.CheckpointError{Path: path, Err: err}
		previous := filepath.Join(filepath.Dir(path), dino.PreviousCheckpointName)
		if _, err := dino.ReadFinetuneCheckpoint(previous); err == nil && previous != path {
			e.Previous = previous
		}
		return nil, checkpointError(e)
	}
	return head, nil
}

// scratch are the settings of a fresh network: its shape is that which dino train would choose for the images.
func (c *finetuneCommand) scratch(train *dataset.Dataset) dino.FinetuneConfig {
	chosen, _ := dino.AutoConfig(dino.DataInfo{Images: train.Len(), ShortSide: shortSide(train)})
	g := dino.DefaultFinetune()
	g.FromScratch, g.LayerDecay = true, 1
	g.Arch, g.PatchSize, g.ImageSize = chosen.Arch, chosen.PatchSize, chosen.GlobalCropsSize
	if c.Arch != "" {
		g.Arch = c.Arch
	}
	if c.PatchSize != 0 {
		g.PatchSize = c.PatchSize
	}
	return g
}

// apply sets the fields of g whose flags were given.
func (f *finetuneSettings) apply(g *dino.FinetuneConfig) error {
	text, err := json.Marshal(f)
	if err != nil {
		return fmt.Errorf("a setting is no finite number: %w", err)
	}
	return json.Unmarshal(text, g)
}

// announce prints what was found and what will be done, before anything is.
func (c *finetuneCommand) announce(t *terminal, o *dino.FinetuneOptions, from string) {
	say := func(name, format string, args ...any) {
		fmt.Fprintf(t.out, "%-9s %s\n", name, fmt.Sprintf(format, args...))
	}
	g := &o.Config
	say("start", "%s", from)
	say("data", "%s, %g %% of each class", describe(o.Train), 100*g.LabelFraction)
	say("judged", "on %s", describe(o.Val))
	say("plan", "%s, %s a step at lr %g, layers ×%g, %s/%d at %d px, drop path %g, weight decay %g, label smoothing %g", plural(g.Epochs, "epoch"),
		plural(g.BatchSize, "image"), g.LR, g.LayerDecay, g.Arch, g.PatchSize, g.ImageSize, g.DropPathRate, g.WeightDecay, g.LabelSmoothing)
	say("machine", "%s, %s to load images", deviceText(o.Device, g.Precision), plural(o.Workers, "worker"))
}

// finetune opens the run, trains it and says how it ended.
func finetune(ctx context.Context, t *terminal, o dino.FinetuneOptions, asJSON bool) error {
	run, err := dino.OpenFinetune(o)
	if err != nil {
		return runError(err)
	}
	defer run.Close()
	defer debug.SetGCPercent(debug.SetGCPercent(25)) // see train1
	p := newProgress(t.out, asJSON)
	begin := time.Now()
	err = run.Run(ctx, p.finetuneEvents())
	p.finish()
	f, took := run.Finetuner, durationText(time.Since(begin))
	switch {
	case errors.Is(err, dino.ErrInterrupted):
		switch {
		case asJSON:
			p.object("interrupted", map[string]any{"steps": f.Steps()})
		case f.Steps() == 0:
			p.line("stopped   before the first step, %s; nothing to save", took)
		default:
			p.line("stopped   after %s of %s steps, %s; saved: go on with --resume", count(f.Steps()), count(f.TotalSteps()), took)
		}
		return nil
	case err != nil:
		return runError(err)
	}
	best := run.Best()
	if asJSON {
		p.object("result", map[string]any{"steps": f.Steps(), "seconds": time.Since(begin).Seconds(), "best": best})
		return nil
	}
	p.line("done      %s in %s: top-1 %.2f %%, the best, after epoch %d: %s", plural(f.Steps(), "step"), took, best.Top1, best.Epoch+1,
		filepath.Join(o.OutputDir, dino.BestName))
	return nil
}

// finetuneEvents are the callbacks for dino.FinetuneRun. It saves after every epoch, which needs no line of its own.
func (p *progress) finetuneEvents() dino.FinetuneEvents {
	e := dino.FinetuneEvents{Start: p.start, Step: p.finetuneStep, Epoch: p.finetuneEpoch, Warning: p.warning}
	if p.json {
		e.Save = p.save
	}
	return e
}

func (p *progress) finetuneStep(s dino.FinetuneStep) {
	if p.json {
		p.object("step", s)
		return
	}
	parts := []string{fmt.Sprintf("epoch %d/%d [%d/%d]", s.Epoch+1, s.Epochs, s.StepInEpoch+1, s.StepsPerEpoch)}
	if s.Skipped != "" {
		parts = append(parts, "skipped: "+s.Skipped+" is not finite")
	} else {
		parts = append(parts, fmt.Sprintf("loss %.3f  right %d/%d", s.Loss, s.Correct, s.Images), fmt.Sprintf("lr %.1e  |g| %.2g", s.LR, s.GradNorm))
	}
	parts = append(parts, rateText(s.ImagesPerSecond)+" img/s", "eta "+durationText(s.ETA), fmt.Sprintf("wait %.0f%%", 100*s.Wait), "mem "+shortBytes(s.Memory))
	p.stepLine(s.StepInEpoch+1, s.StepsPerEpoch, parts)
}

func (p *progress) finetuneEpoch(e dino.FinetuneEpoch) {
	if p.json {
		p.object("epoch", e)
		return
	}
	text := fmt.Sprintf("epoch %d/%d done  loss %.3f  right %.1f%%", e.Epoch+1, e.Epochs, e.Loss, e.TrainTop1)
	if e.Score != nil {
		text += fmt.Sprintf("  top-1 %.1f%% (best %.1f, epoch %d)  top-5 %.1f%%", e.Score.Top1, e.Best.Top1, e.Best.Epoch+1, e.Score.Top5)
	}
	p.line("%s", p.withSave(text, e.Skipped, e.BadFiles))
	p.bar = nil
}
