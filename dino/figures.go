package dino

import (
	"errors"
	"fmt"
	"math"

	"github.com/godino-ml/godino/kernels/cuda"
	"github.com/godino-ml/godino/nn"
	"github.com/godino-ml/godino/tensor"
)

// What a step tells of itself. A CPU knows each figure as soon as it is there; a GPU collects them, and they are brought back together when the step is
// done.

// Figures of a step on a GPU, after those of the loss.
const (
	lossFigure = lossFigures + iota
	gradNormFigure
	skipFigure // of zero bits if loss and gradients are finite
	stepFigures
)

// underWay is a step that was started.
type underWay struct {
	stats StepStats
	crops []crops
	bad   string // what is not finite; on a GPU nobody knows yet
}

// kindOfStep tells steps whose work on a GPU differs.
type kindOfStep struct {
	feeds  *feeds // one for batches of a size
	slot   int
	frozen bool
}

// prepareFigures makes the memory for a GPU's, once.
func (t *Trainer) prepareFigures() {
	if t.dev.GPU() == nil {
		return
	}
	t.figures = tensor.New(t.dev, stepFigures)
	t.Loss.figures = t.figures.Slice(0, lossFigures)
	t.clip.Loss, t.clip.Total, t.clip.Skip = t.figure(lossFigure), t.figure(gradNormFigure), t.figure(skipFigure)
}

func (t *Trainer) figure(i int) *tensor.Tensor { return t.figures.Slice(i, i+1) }

// zeroFigures begins those that are sums.
func (t *Trainer) zeroFigures() {
	if t.figures != nil {
		t.figures.Zero()
	}
}

// addLoss adds a batch's part of the loss.
func (t *Trainer) addLoss(s *StepStats, loss *tensor.Tensor) {
	if t.figures == nil {
		s.Loss += float64(loss.Data()[0])
		return
	}
	sum := t.figure(lossFigure)
	tensor.AddForward(sum, sum, loss)
}

// judge says whether the gradients are finite: a GPU says so later.
func (t *Trainer) judge(s *StepStats, clip *nn.Clip) bool {
	if t.figures == nil {
		s.GradNorm = clip.Norm()
	}
	return finite(s.GradNorm)
}

// updateCenter moves the centre and takes the figures of the loss.
func (t *Trainer) updateCenter(s *StepStats, clip *nn.Clip) {
	if t.figures != nil {
		t.Loss.updateCenterUnless(clip.Skip)
		return
	}
	s.Entropy, s.Prototypes = t.Loss.Entropy(), t.Loss.Prototypes()
	s.KL = s.Loss - s.Entropy
	t.Loss.UpdateCenter()
	s.CenterNorm = t.Loss.CenterNorm()
}

// fetchFigures waits for a GPU's.
func (t *Trainer) fetchFigures(u *underWay) error {
	if t.figures == nil {
		return nil
	}
	f, s := t.figures.Floats(), &u.stats
	if err := t.deviceError(); err != nil {
		return err
	}
	figure := func(i int) float64 { return float64(f[i]) }
	s.Loss, s.GradNorm, s.CenterNorm, s.Prototypes = figure(lossFigure), figure(gradNormFigure), figure(centerFigure), int(f[prototypesFigure])
	s.Entropy = figure(entropyFigure) / float64(globalViews*s.Images)
	s.KL = s.Loss - s.Entropy
	if math.Float32bits(f[skipFigure]) != 0 {
		t.Optimizer.Undo()
		u.bad = t.blameAgain(u)
	}
	return t.deviceError()
}

// deviceError is the GPU's error, after which it does nothing more, and what to do about it.
func (t *Trainer) deviceError() error {
	err := t.dev.Err()
	if errors.Is(err, cuda.ErrMemory) {
		return fmt.Errorf("%w: lower batch_size_per_gpu, now %d (accum makes up for it), or local_crops_number", err, t.config.BatchSize)
	}
	return err
}
