package dino

import (
	"fmt"
	"math"
	"strings"

	"github.com/godino-ml/godino/autograd"
	"github.com/godino-ml/godino/nn"
	"github.com/godino-ml/godino/tensor"
)

// Trainer is the state of a training run and its step. It is not for concurrent use. [Run] drives one.
type Trainer struct {
	Student, Teacher *Network
	Loss             *Loss
	Optimizer        nn.Optimizer

	config        Config
	images        int
	stepsPerEpoch int
	schedule      Schedule
	step          int // the next one, over the whole run

	dev   *tensor.Device
	arena *tensor.Arena  // memory of one pass: the teacher's, then the student's
	still *autograd.Tape // records nothing: the teacher's
	tape  *autograd.Tape
	// trained are the student's parameters that gradients reach.
	trained []nn.Param
	clip    nn.Clip
	average *nn.Average // the teacher's parameters, which follow the student's

	feeds    map[kindOfBatch]*feeds // of crops
	count    *tensor.Scalars        // the number of the step
	figures  *tensor.Tensor         // (stepFigures), on a GPU
	recorder *tensor.Recorder
	underWay *underWay // the step that was started and not finished
	// inspect, if set, is called when gradients are complete and not yet clipped: for tests.
	inspect func()
}

// NewTrainer makes a run at its start, for that many images: initialised by c.Seed, the teacher a copy of the student.
func NewTrainer(dev *tensor.Device, c Config, images int) (*Trainer, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	n := c.StepsPerEpoch(images)
	if n < 1 {
		return nil, fmt.Errorf("%d images do not fill one step of %d (batch_size_per_gpu %d × accum %d): lower batch_size_per_gpu, or give more images",
			images, c.ImagesPerStep(), c.BatchSize, c.Accum)
	}
	vit, err := c.ViT()
	if err != nil {
		return nil, err
	}
	precision, err := tensor.ParsePrecision(c.Precision)
	if err != nil {
		return nil, err
	}
	if dev, err = dev.WithPrecision(precision); err != nil {
		return nil, err
	}
	head := c.Head(vit.Dim)
	t := &Trainer{
		Student: NewNetwork(dev, vit, head, c.Seed), Loss: NewLoss(dev, c.OutDim, c.Views()),
		config: c, images: images, stepsPerEpoch: n, schedule: c.Schedule(n), dev: dev, arena: tensor.NewArena(dev),
	}
	vit.DropPathRate = 0
	t.Teacher = NewNetwork(dev, vit, head, c.Seed)
	t.Teacher.follow(t.Student)
	t.average = nn.NewAverage(t.Teacher.Params(), t.Student.Params())
	t.feeds, t.count, t.recorder = map[kindOfBatch]*feeds{}, tensor.NewScalars(dev, 2), tensor.NewRecorder(dev)
	t.prepareFigures()
	t.still, t.tape = autograd.NewEvalTape(t.arena), autograd.NewTape(t.arena)
	for _, p := range t.Student.Params() {
		if p.NeedsGrad() {
			t.trained = append(t.trained, p)
		}
	}
	t.Optimizer, err = nn.NewOptimizer(c.Optimizer, t.trained)
	return t, err
}

// Config is the run's configuration.
func (t *Trainer) Config() Config { return t.config }

// Steps is how many steps are done; the next one has this number. Epoch is the epoch it belongs to.
func (t *Trainer) Steps() int { return t.step }

// Epoch is the epoch of the next step, from 0.
func (t *Trainer) Epoch() int { return t.step / t.stepsPerEpoch }

// StepsPerEpoch is how many steps an epoch has.
func (t *Trainer) StepsPerEpoch() int { return t.stepsPerEpoch }

// TotalSteps is how many steps the run has.
func (t *Trainer) TotalSteps() int { return t.config.Epochs * t.stepsPerEpoch }

// adapt changes the schedules from the next step on.
func (t *Trainer) adapt(a adaptation) {
	t.schedule = a.schedule(t.config.Schedule(t.stepsPerEpoch))
}

// Step trains on one batch or, to accumulate gradients, on config.Accum of them. When something is not finite it returns a *NonFiniteError and
// changes nothing but the number of steps done.
//
// On a GPU a step is what changes from step to step, which is sent there; the work, which the GPU does by itself (train), recorded and run again;
// and the figures, which are brought back. Start and Finish are its halves: in between the program is free to Prefetch the batches of the next step.
func (t *Trainer) Step(batches ...*Batch) (StepStats, error) {
	t.Start(batches...)
	return t.Finish()
}

// Start begins a step, Finish ends it.
func (t *Trainer) Start(batches ...*Batch) {
	if t.underWay != nil {
		panic("dino: Start of a step before the Finish of the last")
	}
	s := t.begin(batches)
	crops := t.take(batches)
	t.Loss.setTemp(s.TeacherTemp)
	t.count.SetCount(0, uint64(s.Step))
	t.count.Send()
	frozen := s.Epoch < t.config.FreezeLastLayer
	t.average.Momentum = s.Momentum
	changed := t.Optimizer.Prepare(s.LR, s.WeightDecay, func(name string) bool { return frozen && strings.Contains(name, "last_layer") }, t.average)
	if changed || t.inspect != nil {
		t.recorder.Forget()
	}
	t.underWay = &underWay{stats: s, crops: crops}
	t.recorder.Run(kindOfStep{crops[0].feeds, crops[0].slot, frozen}, func() {
		t.underWay.bad = t.train(&t.underWay.stats, crops)
	})
	for _, c := range crops {
		c.done()
	}
}

// train is Algorithm 1 of the paper, on crops and numbers that are where it works. It returns what is not finite, "" if all is, and then changes
// nothing. A GPU does not know here: it makes its step of it by itself (see nn.Clip), and Finish asks it.
func (t *Trainer) train(s *StepStats, batches []crops) (bad string) {
	nn.ZeroGrad(t.trained)
	t.zeroFigures()
	for i, b := range batches {
		target := t.teach(b)
		bottleneck := t.Student.Bottleneck(t.tape, b.views, t.dropPath(i))
		loss := t.Loss.Forward(t.tape, bottleneck, t.Student.Head, target, 1/float64(len(batches)))
		if t.addLoss(s, loss.Value); !finite(s.Loss) {
			return t.blame(b, target, bottleneck)
		}
		t.tape.Backward(loss)
		t.tape.Reset()
	}
	if t.inspect != nil {
		t.inspect()
	}
	clip := t.clip.PerTensor(t.trained, t.config.ClipGrad)
	if !t.judge(s, clip) {
		return t.blameGradient(clip.Norms)
	}
	t.updateCenter(s, clip)
	// θs = optimizer(θs, ∇θs); θt = λ·θt + (1 − λ)·θs, in one pass over their memory.
	t.Optimizer.Apply(clip)
	return ""
}

// Finish waits for the step that was started and says what it was.
func (t *Trainer) Finish() (StepStats, error) {
	u := t.underWay
	t.underWay = nil
	defer func() { t.step++ }()
	if err := t.fetchFigures(u); err != nil {
		return u.stats, err
	}
	if u.bad != "" {
		return t.skip(u.stats, u.bad)
	}
	return u.stats, nil
}

// begin is the step's place in the run and on the schedules.
func (t *Trainer) begin(batches []*Batch) StepStats {
	i, epoch := t.step, t.Epoch()
	s := StepStats{
		Epoch: epoch, Step: i, StepInEpoch: i % t.stepsPerEpoch, StepsPerEpoch: t.stepsPerEpoch, Epochs: t.config.Epochs, LnK: t.Loss.LnK(),
		LR: t.schedule.LR(i), WeightDecay: t.schedule.WeightDecay(i), Momentum: t.schedule.Momentum(i), TeacherTemp: t.schedule.TeacherTemp(epoch),
	}
	for _, b := range batches {
		s.Images += t.imagesOf(b)
	}
	return s
}

// teach is what the teacher says of the batch's large crops: probabilities (2B, K).
func (t *Trainer) teach(b crops) *tensor.Tensor {
	defer t.still.Reset() // its memory serves the student's pass
	logits := t.Teacher.Forward(t.still, b.views[:1], nil)
	return t.Loss.sharpen(logits.Value)
}

// dropPath keys the student's dropped paths of pass number micro of this step.
func (t *Trainer) dropPath(micro int) *nn.DropPath {
	const passes = 2 // at most: one for each size of crop
	return &nn.DropPath{Seed: t.config.Seed, Step: t.count.Count(0), Pass: uint64(passes * micro)}
}

// skip undoes what a step has begun.
func (t *Trainer) skip(s StepStats, bad string) (StepStats, error) {
	t.tape.Reset()
	t.Loss.Discard()
	s.Skipped, s.Loss, s.GradNorm = bad, 0, 0 // what is not finite is no figure
	return s, &NonFiniteError{Tensor: bad, Epoch: s.Epoch, Step: s.Step}
}

func finite(x float64) bool { return !math.IsNaN(x) && !math.IsInf(x, 0) }
