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

// Step trains on one batch or, to accumulate gradients, on config.Accum of them: Algorithm 1 of the paper. When something is not finite it
// returns a *NonFiniteError and changes nothing but the number of steps done.
func (t *Trainer) Step(batches ...*Batch) (StepStats, error) {
	t.check(batches)
	s := t.begin(batches)
	defer func() { t.step++ }()

	nn.ZeroGrad(t.trained)
	for i, b := range batches {
		target := t.teach(b, s.TeacherTemp)
		bottleneck := t.Student.Bottleneck(t.tape, t.views(b), t.dropPath(i))
		loss := t.Loss.Forward(t.tape, bottleneck, t.Student.Head, target, 1/float64(len(batches)))
		s.Loss += float64(loss.Value.Floats()[0])
		if !finite(s.Loss) {
			return t.skip(s, t.blame(b, target, bottleneck))
		}
		t.tape.Backward(loss)
		t.tape.Reset()
	}
	if t.inspect != nil {
		t.inspect()
	}
	clip := t.clip.PerTensor(t.trained, t.config.ClipGrad)
	if s.GradNorm = clip.Norm(); !finite(s.GradNorm) {
		return t.skip(s, t.blameGradient(clip.Norms))
	}
	s.Entropy, s.Prototypes = t.Loss.Entropy(), t.Loss.Prototypes()
	s.KL = s.Loss - s.Entropy
	t.Loss.UpdateCenter()
	s.CenterNorm = t.Loss.CenterNorm()

	frozen := s.Epoch < t.config.FreezeLastLayer
	skip := func(name string) bool { return frozen && strings.Contains(name, "last_layer") }
	// θs = optimizer(θs, ∇θs); θt = λ·θt + (1 − λ)·θs, in one pass over their memory.
	t.average.Momentum = s.Momentum
	t.Optimizer.Step(s.LR, s.WeightDecay, clip, skip, t.average)
	return s, nil
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
func (t *Trainer) teach(b *Batch, temp float64) *tensor.Tensor {
	defer t.still.Reset() // its memory serves the student's pass
	logits := t.Teacher.Forward(t.still, t.views(b)[:1], nil)
	return t.Loss.Target(logits.Value, temp)
}

// dropPath keys the student's dropped paths of pass number micro of this step.
func (t *Trainer) dropPath(micro int) *nn.DropPath {
	const passes = 2 // at most: one for each size of crop
	return &nn.DropPath{Seed: t.config.Seed, Step: tensor.NewCount(t.dev, uint64(t.step)), Pass: uint64(passes * micro)}
}

// skip undoes what a step has begun.
func (t *Trainer) skip(s StepStats, bad string) (StepStats, error) {
	t.tape.Reset()
	t.Loss.Discard()
	s.Skipped, s.Loss, s.GradNorm = bad, 0, 0 // what is not finite is no figure
	return s, &NonFiniteError{Tensor: bad, Epoch: s.Epoch, Step: s.Step}
}

// check panics if the batches are not what the configuration asks for.
func (t *Trainer) check(batches []*Batch) {
	c := &t.config
	if len(batches) != c.Accum {
		panic(fmt.Sprintf("dino: Step on %d batches with accum %d", len(batches), c.Accum))
	}
	large, small := 3*c.GlobalCropsSize*c.GlobalCropsSize, 3*c.LocalCropsSize*c.LocalCropsSize
	for _, b := range batches {
		images := t.imagesOf(b)
		if images < 1 || images != t.imagesOf(batches[0]) || len(b.Global) != globalViews*images*large || len(b.Local) != c.LocalCropsNumber*images*small {
			panic(&tensor.ShapeError{Op: "Step", Shapes: [][]int{{len(b.Global)}, {len(b.Local)}},
				Want: fmt.Sprintf("global 2·B·%d, local %d·B·%d elements, the same B in every batch", large, c.LocalCropsNumber, small)})
		}
	}
}

// imagesOf is B.
func (t *Trainer) imagesOf(b *Batch) int {
	return len(b.Global) / (globalViews * 3 * t.config.GlobalCropsSize * t.config.GlobalCropsSize)
}

// global and local are the batch's crops as they are, (2B, 3, G, G) and (L·B, 3, S, S).
func (t *Trainer) global(b *Batch) *autograd.Var {
	g := t.config.GlobalCropsSize
	return autograd.NewConst(tensor.FromSlice(t.dev, b.Global, globalViews*t.imagesOf(b), 3, g, g))
}

func (t *Trainer) local(b *Batch) *autograd.Var {
	s := t.config.LocalCropsSize
	return autograd.NewConst(tensor.FromSlice(t.dev, b.Local, t.config.LocalCropsNumber*t.imagesOf(b), 3, s, s))
}

// views are the batch's crops by size: the large ones, the small ones.
func (t *Trainer) views(b *Batch) []*autograd.Var {
	if t.config.LocalCropsNumber == 0 {
		return []*autograd.Var{t.global(b)}
	}
	return []*autograd.Var{t.global(b), t.local(b)}
}

func finite(x float64) bool { return !math.IsNaN(x) && !math.IsInf(x, 0) }
