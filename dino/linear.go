package dino

import (
	"context"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"slices"

	"github.com/godino-ml/godino/autograd"
	"github.com/godino-ml/godino/dino/augment"
	"github.com/godino-ml/godino/dino/dataset"
	"github.com/godino-ml/godino/dino/eval"
	"github.com/godino-ml/godino/nn"
	"github.com/godino-ml/godino/tensor"
)

// HeadName is the file of the best classifier in the directory of a linear evaluation.
const HeadName = "head.safetensors"

// LinearConfig is every setting of a linear evaluation: a classifier is trained on the features of a backbone that stays as it is.
type LinearConfig struct {
	Tokens    Tokens    `json:"tokens"` // ClassToken, or ClassAndMean
	Blocks    int       `json:"n_last_blocks"`
	LRs       []float64 `json:"lr"` // for 256 images a step: scaled by BatchSize / 256. One classifier is trained for each, all on the same features
	Epochs    int       `json:"epochs"`
	BatchSize int       `json:"batch_size_per_gpu"`
	ValFreq   int       `json:"val_freq"` // epochs between scores; the last epoch has one always
	// CacheFeatures computes the features of every picture once, as for evaluation, instead of those of another random crop each epoch.
	CacheFeatures bool    `json:"cache_features"`
	ImageSize     int     `json:"image_size"`     // pixels
	LabelFraction float64 `json:"label_fraction"` // share of each class that is trained on; 0 and 1 are all
	Seed          uint64  `json:"seed"`
	MaxBad        float64 `json:"max_bad"`
}

// DefaultLinear is the reference's eval_linear.py: 4 blocks, lr 0.001, 100 epochs, 128 images a step.
func DefaultLinear() LinearConfig {
	return LinearConfig{Tokens: ClassToken, Blocks: 4, LRs: []float64{0.001}, Epochs: 100, BatchSize: 128, ValFreq: 1, ImageSize: 224, LabelFraction: 1, MaxBad: 0.01}
}

// Validate says everything that is wrong with the configuration, or returns nil.
func (c *LinearConfig) Validate() error {
	var all []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			all = append(all, fmt.Errorf(format, args...))
		}
	}
	check(c.Tokens == ClassToken || c.Tokens == ClassAndMean, "tokens %q: a classifier reads cls or cls+mean", c.Tokens)
	check(c.Blocks >= 1, "n_last_blocks is %d: it must be at least 1", c.Blocks)
	check(len(c.LRs) > 0 && len(c.LRs) <= 100, "lr: choose 1 to 100 learning rates")
	for _, lr := range c.LRs {
		check(lr > 0 && lr <= 1e6, "lr is %g: it must be above 0", lr)
	}
	check(c.Epochs >= 1 && c.Epochs <= 1<<20, "epochs is %d: it must be at least 1", c.Epochs)
	check(c.BatchSize >= 1 && c.BatchSize <= 1<<16, "batch_size_per_gpu is %d: it must be from 1 to 65536", c.BatchSize)
	check(c.ValFreq >= 1, "val_freq is %d: it must be at least 1", c.ValFreq)
	check(c.ImageSize >= 1 && c.ImageSize <= 4096, "image_size is %d: it must be from 1 to 4096", c.ImageSize)
	check(c.LabelFraction >= 0 && c.LabelFraction <= 1, "label_fraction is %g: it must be from 0 to 1", c.LabelFraction)
	check(c.MaxBad >= 0 && c.MaxBad <= 1, "max_bad is %g: it must be from 0 to 1", c.MaxBad)
	return errors.Join(all...)
}

// LinearOptions is what a linear evaluation needs beside its configuration.
type LinearOptions struct {
	Config     LinearConfig
	OutputDir  string // of log.jsonl and the best classifier; "" keeps neither
	Device     *tensor.Device
	Backbone   *nn.VisionTransformer
	Train, Val *dataset.Dataset // the labels of both index the same classes
	Workers    int
	CacheBytes int64 // see LoaderOptions
	OnBad      func(BadSample)
	// Progress tells how far the features of a set are.
	Progress func(what string) func(done, of int)
	// Epoch is called after every epoch.
	Epoch func(LinearEpoch)
}

// LinearEpoch sums up an epoch of a linear evaluation. Lists are by learning rate, in LinearConfig's order.
type LinearEpoch struct {
	Epoch  int           `json:"epoch"` // from 0
	Epochs int           `json:"epochs"`
	Loss   []float64     `json:"loss"` // mean over the epoch's images, nats
	LR     []float64     `json:"lr"`   // of the epoch's steps
	Scores []LinearScore `json:"scores,omitempty"`
	Best   *LinearScore  `json:"best,omitempty"` // so far
}

// LinearScore is a classifier's score on the images that it was not trained on.
type LinearScore struct {
	LR    float64 `json:"lr"` // as LinearConfig has it
	Epoch int     `json:"epoch"`
	Top1  float64 `json:"top1"` // per cent
	Top5  float64 `json:"top5"`
	Loss  float64 `json:"loss"` // nats
}

// LinearRun is the outcome of a linear evaluation.
type LinearRun struct {
	Train, Test int           // images
	Best        LinearScore   // the highest top-1; of equal ones the first
	Last        []LinearScore // of the last epoch, by learning rate
	Classifier  *Classifier   // the best
}

// TrainLinear is the reference's linear evaluation: classifiers are trained by SGD with momentum 0.9 on the features of random crops, with a
// learning rate that follows a cosine from epoch to epoch, and judged on val. It ends with ctx's error when ctx ends; what was best until
// then is in OutputDir.
func TrainLinear(ctx context.Context, o LinearOptions) (*LinearRun, error) {
	p, err := newLinearProbe(&o)
	if err != nil {
		return nil, err
	}
	if o.OutputDir != "" {
		done, err := p.claim()
		if err != nil {
			return nil, err
		}
		defer done()
	}
	if err := p.prepare(ctx); err != nil {
		return nil, err
	}
	if p.loader != nil {
		defer p.loader.Close()
	}
	for epoch := range o.Config.Epochs {
		if err := p.epoch(ctx, epoch); err != nil {
			return nil, err
		}
	}
	return &p.run, nil
}

// linearProbe is a linear evaluation under way.
type linearProbe struct {
	*LinearOptions
	features FeatureOptions
	tape     *autograd.Tape
	heads    []*eval.Linear
	test     *FeatureSet
	train    *FeatureSet // with CacheFeatures, else
	loader   *Loader
	order    []int
	rows     []float32 // features of a batch
	labels   []int
	log      *runLog
	run      LinearRun
}

func newLinearProbe(o *LinearOptions) (*linearProbe, error) {
	c := &o.Config
	if err := c.Validate(); err != nil {
		return nil, err
	}
	if o.Device == nil {
		o.Device = tensor.CPU()
	}
	p := &linearProbe{LinearOptions: o, features: FeatureOptions{Tokens: c.Tokens, Blocks: c.Blocks}, tape: autograd.NewEvalTape(tensor.NewArena(o.Device))}
	vit := o.Backbone.Config()
	side := c.ImageSize / vit.PatchSize
	if side < 1 {
		return nil, fmt.Errorf("image_size %d is smaller than the backbone's patches of %d px", c.ImageSize, vit.PatchSize)
	}
	dim, err := p.features.dim(vit, side*side)
	if err != nil {
		return nil, err
	}
	if o.Train, o.Val, err = labelledPair(o.Train, o.Val, c.LabelFraction, c.Seed); err != nil {
		return nil, err
	}
	for range c.LRs { // all start alike
		p.heads = append(p.heads, eval.NewLinear(o.Device.Host(), dim, len(o.Train.Classes()), c.Seed))
	}
	p.run.Train, p.run.Test, p.run.Best.Top1 = o.Train.Len(), o.Val.Len(), -1
	return p, nil
}

// labelledPair are the images that have a class, of train the share of each class that seed draws.
func labelledPair(train, val *dataset.Dataset, share float64, seed uint64) (*dataset.Dataset, *dataset.Dataset, error) {
	if n := len(train.Classes()); n < 2 {
		return nil, nil, &LabelError{fmt.Sprintf("%s has %d class folders: training with labels needs two or more", train.Root(), n)}
	}
	val, err := val.WithClasses(train.Classes())
	if err != nil {
		return nil, nil, &LabelError{err.Error()}
	}
	train, val = labelled(train), labelled(val)
	if share > 0 && share < 1 {
		train = train.Fraction(share, seed)
	}
	for _, ds := range []*dataset.Dataset{train, val} {
		if ds.Len() == 0 {
			return nil, nil, &LabelError{fmt.Sprintf("%s: no image lies in a class folder", ds.Root())}
		}
	}
	return train, val, nil
}

// LabelError says that images have no classes to learn, or other ones than those they are judged by.
type LabelError struct{ msg string }

func (e *LabelError) Error() string { return e.msg }

// claim locks OutputDir and begins its log; the result ends both.
func (p *linearProbe) claim() (done func(), err error) {
	d, err := openDir(p.OutputDir, -1)
	if err != nil {
		return nil, err
	}
	for _, name := range []string{HeadName, CheckpointName} {
		if path := filepath.Join(p.OutputDir, name); exists(path) {
			d.close()
			return nil, &DirInUseError{Dir: p.OutputDir, Path: path}
		}
	}
	if d.log, _, err = openLog(filepath.Join(p.OutputDir, LogName), -1); err != nil {
		d.close()
		return nil, err
	}
	p.log = d.log
	return func() { d.close() }, nil
}

// DirInUseError is a directory that already holds the result of another run.
type DirInUseError struct{ Dir, Path string }

func (e *DirInUseError) Error() string {
	return fmt.Sprintf("%s already holds %s: choose another --output_dir, or move it away", e.Dir, filepath.Base(e.Path))
}

// transform is how pictures are shown for evaluation.
func (c *LinearConfig) transform() augment.Eval {
	return (&Config{GlobalCropsSize: c.ImageSize}).EvalTransform()
}

// prepare computes the features that stay the same: those of val, and with CacheFeatures of train; else it starts to load crops.
func (p *linearProbe) prepare(ctx context.Context) (err error) {
	c := &p.Config
	of := func(what string, ds *dataset.Dataset) (*FeatureSet, error) {
		f := p.features
		f.EvalOptions = EvalOptions{Workers: p.Workers, Batch: min(max(c.BatchSize, 16), 256), MaxBad: c.MaxBad, OnBad: p.OnBad}
		if p.Progress != nil {
			f.Progress = p.Progress(what)
		}
		return Features(ctx, p.Device, p.Backbone, ds, c.transform(), f)
	}
	if p.test, err = of("images to judge", p.Val); err != nil {
		return err
	}
	p.run.Test = p.test.Len()
	if c.CacheFeatures {
		p.train, err = of("images to train on", p.Train)
		return err
	}
	crop := augment.ResizedCropAt(c.ImageSize)
	p.loader, err = NewLoader(p.Train, LoaderOptions{Batch: c.BatchSize, Crop: &crop, Seed: c.Seed, Workers: p.Workers, KeepLast: true,
		MaxBad: c.MaxBad, CacheBytes: p.CacheBytes, OnBad: p.OnBad})
	if err != nil {
		return err
	}
	return p.loader.Start(context.WithoutCancel(ctx), 0, 0)
}

// batches calls f with the features and classes of the epoch's batches in turn.
func (p *linearProbe) batches(ctx context.Context, epoch int, f func(rows []float32, labels []int)) error {
	c := &p.Config
	if p.train != nil {
		n, dim := p.train.Len(), p.train.Dim
		p.order = slices.Grow(p.order[:0], n)[:n]
		epochOrder(p.order, c.Seed, epoch)
		for at := 0; at < n; at += c.BatchSize {
			if err := ctx.Err(); err != nil {
				return err
			}
			p.rows, p.labels = p.rows[:0], p.labels[:0]
			for _, i := range p.order[at:min(at+c.BatchSize, n)] {
				p.rows = append(p.rows, p.train.Data[i*dim:(i+1)*dim]...)
				p.labels = append(p.labels, p.train.Labels[i])
			}
			f(p.rows, p.labels)
		}
		return nil
	}
	for range p.loader.StepsPerEpoch() {
		b, err := p.loader.Next(ctx)
		if err != nil {
			return err
		}
		x := p.tape.Arena().Of(b.Global, len(b.Indices), 3, c.ImageSize, c.ImageSize)
		p.rows = p.features.appendFeatures(p.rows[:0], p.tape, p.Backbone, x)
		f(p.rows, b.Labels)
		p.loader.Recycle(b)
	}
	return nil
}

// epoch trains every classifier for an epoch and, when it is time, judges them.
func (p *linearProbe) epoch(ctx context.Context, epoch int) error {
	c := &p.Config
	s := LinearEpoch{Epoch: epoch, Epochs: c.Epochs, Loss: make([]float64, len(p.heads))}
	for _, lr := range c.LRs {
		// Of PyTorch's CosineAnnealingLR, which steps once an epoch and ends at 0.
		s.LR = append(s.LR, Cosine{Base: lr * float64(c.BatchSize) / 256, Total: c.Epochs}.At(epoch))
	}
	images := 0
	err := p.batches(ctx, epoch, func(rows []float32, labels []int) {
		images += len(labels)
		for i, h := range p.heads {
			s.Loss[i] += h.Step(rows, labels, s.LR[i]) * float64(len(labels))
		}
	})
	if err != nil {
		return err
	}
	for i := range s.Loss {
		if s.Loss[i] /= float64(images); !finite(s.Loss[i]) {
			return fmt.Errorf("%w: with lr %g the loss of epoch %d is not finite: lower lr", ErrDiverged, c.LRs[i], epoch+1)
		}
	}
	if (epoch+1)%c.ValFreq == 0 || epoch+1 == c.Epochs {
		if err := p.judge(&s); err != nil {
			return err
		}
	}
	if p.log != nil {
		if err := p.log.write(linearLine{"epoch", s}); err != nil {
			return fmt.Errorf("writing %s: %w", LogName, err)
		}
	}
	if p.Epoch != nil {
		p.Epoch(s)
	}
	return nil
}

type linearLine struct {
	Event string `json:"event"`
	LinearEpoch
}

// judge scores every classifier and keeps the best so far.
func (p *linearProbe) judge(s *LinearEpoch) error {
	c, best := &p.Config, -1
	p.run.Last = nil
	for i, h := range p.heads {
		r, err := h.Score(p.test.Features)
		if err != nil {
			return err
		}
		score := LinearScore{LR: c.LRs[i], Epoch: s.Epoch, Top1: r.Top1, Top5: r.Top5, Loss: r.Loss}
		p.run.Last = append(p.run.Last, score)
		if score.Top1 > p.run.Best.Top1 {
			p.run.Best, best = score, i
		}
	}
	s.Scores, s.Best = p.run.Last, &LinearScore{}
	*s.Best = p.run.Best
	if best < 0 {
		return nil
	}
	p.keep(p.heads[best])
	if p.OutputDir == "" {
		return nil
	}
	return p.run.Classifier.Save(filepath.Join(p.OutputDir, HeadName))
}

// keep copies the best classifier, which goes on being trained.
func (p *linearProbe) keep(head *eval.Linear) {
	c := &p.Config
	if p.run.Classifier == nil {
		p.run.Classifier = &Classifier{Classes: p.Train.Classes(), Tokens: c.Tokens, Blocks: c.Blocks, ImageSize: c.ImageSize, Backbone: BackboneID(p.Backbone),
			LabelFraction: c.LabelFraction, Head: eval.NewLinear(p.Device.Host(), head.Dim(), head.Classes(), 0)}
	}
	k := p.run.Classifier
	k.Epoch, k.LR, k.Top1 = p.run.Best.Epoch+1, p.run.Best.LR, math.Round(p.run.Best.Top1*1e4)/1e4
	for i, to := range k.Head.Params() {
		tensor.Copy(to.Value, head.Params()[i].Value)
	}
}
