package dino

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/godino-ml/godino/autograd"
	"github.com/godino-ml/godino/dino/eval"
	"github.com/godino-ml/godino/nn"
	"github.com/godino-ml/godino/tensor"
)

// Finetuner is the state of a fine-tuning run and its step: a backbone and a linear layer on its class token, trained with labels. It is not
// for concurrent use. [FinetuneRun] drives one.
type Finetuner struct {
	Backbone *nn.VisionTransformer
	Head     *eval.Linear

	config        FinetuneConfig
	stepsPerEpoch int
	lr            Cosine
	step          int // the next one, over the whole run

	dev    *tensor.Device
	tape   *autograd.Tape
	params []nn.Param // backbone.*, head.weight, head.bias
	layers []layer
	clip   nn.Clip
}

// layer is the parameters that share a learning rate: those of a block, those before the first, those after the last.
type layer struct {
	scale     float64 // of the learning rate
	optimizer nn.Optimizer
}

// NewFinetuner makes a run at its start, for that many images of that many classes: the backbone is a copy of from, which has the
// configuration's shape, or fresh if from is nil; the head is fresh.
func NewFinetuner(dev *tensor.Device, c FinetuneConfig, images, classes int, from *nn.VisionTransformer) (*Finetuner, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	if images < 1 || classes < 2 {
		return nil, fmt.Errorf("%d images of %d classes: give at least 1 of 2", images, classes)
	}
	precision, err := tensor.ParsePrecision(c.Precision)
	if err != nil {
		return nil, err
	}
	if dev, err = dev.WithPrecision(precision); err != nil {
		return nil, err
	}
	vit, err := c.ViT()
	if err != nil {
		return nil, err
	}
	n := c.StepsPerEpoch(images)
	f := &Finetuner{
		Backbone: nn.NewVisionTransformer(dev, vit, c.Seed), Head: eval.NewLinear(dev, vit.Dim, classes, c.Seed),
		config: c, stepsPerEpoch: n, dev: dev, tape: autograd.NewTape(tensor.NewArena(dev)),
		lr: Cosine{Base: c.LR * float64(c.BatchSize) / 256, Final: c.MinLR, Warmup: int(c.WarmupEpochs * float64(n)), Total: c.Epochs * n},
	}
	if from != nil {
		if err := copyBackbone(f.Backbone, from); err != nil {
			return nil, err
		}
	}
	byLayer := make([][]nn.Param, vit.Depth+2)
	for _, p := range f.Backbone.Params() {
		id := layerOf(p.Name, vit.Depth)
		byLayer[id] = append(byLayer[id], nn.Param{Name: "backbone." + p.Name, Var: p.Var})
	}
	byLayer[vit.Depth+1] = append(byLayer[vit.Depth+1], f.Head.Params()...)
	scale := 1.0
	f.layers = make([]layer, len(byLayer))
	for id := len(byLayer) - 1; id >= 0; id-- {
		f.layers[id] = layer{scale, nn.NewAdamW(byLayer[id])}
		scale *= c.LayerDecay
	}
	for _, params := range byLayer {
		f.params = append(f.params, params...)
	}
	return f, nil
}

// copyBackbone makes the weights of to those of from.
func copyBackbone(to, from *nn.VisionTransformer) error {
	a, b := to.Params(), from.Params()
	if len(a) != len(b) {
		return fmt.Errorf("a backbone of %d tensors is given, the configuration's has %d", len(b), len(a))
	}
	for i, p := range a {
		if p.Name != b[i].Name || !tensor.SameShape(p.Value, b[i].Value) {
			return fmt.Errorf("%s %v is given, the configuration has %s %v", b[i].Name, b[i].Value.Shape(), p.Name, p.Value.Shape())
		}
		tensor.Copy(p.Value, b[i].Value)
	}
	return nil
}

// layerOf numbers the layers: 0 for what is before the blocks, i+1 for block i, depth+1 for the last norm.
func layerOf(name string, depth int) int {
	rest, ok := strings.CutPrefix(name, "blocks.")
	if !ok {
		if strings.HasPrefix(name, "norm.") {
			return depth + 1
		}
		return 0
	}
	number, _, _ := strings.Cut(rest, ".")
	i, err := strconv.Atoi(number)
	if err != nil {
		panic("dino: parameter " + name)
	}
	return i + 1
}

// Config is the run's configuration.
func (f *Finetuner) Config() FinetuneConfig { return f.config }

// Steps is how many steps are done, of TotalSteps; Epoch is the epoch of the next one, from 0.
func (f *Finetuner) Steps() int      { return f.step }
func (f *Finetuner) Epoch() int      { return f.step / f.stepsPerEpoch }
func (f *Finetuner) TotalSteps() int { return f.config.Epochs * f.stepsPerEpoch }

// Params are all parameters: backbone.cls_token, …, head.weight, head.bias, from the first layer to the last.
func (f *Finetuner) Params() []nn.Param { return f.params }

// Step trains on one batch of single crops with labels. When something is not finite it returns a *NonFiniteError and changes nothing but the
// number of steps done.
func (f *Finetuner) Step(b *Batch) (FinetuneStep, error) {
	c, n := &f.config, len(b.Labels)
	if n < 1 || len(b.Global) != n*3*c.ImageSize*c.ImageSize {
		panic(&tensor.ShapeError{Op: "Finetuner.Step", Shapes: [][]int{{len(b.Global)}, {n}}, Want: "crops (B, 3, S, S) and B labels"})
	}
	s := FinetuneStep{Epoch: f.Epoch(), Epochs: c.Epochs, Step: f.step, StepInEpoch: f.step % f.stepsPerEpoch, StepsPerEpoch: f.stepsPerEpoch,
		Images: n, LR: f.lr.At(f.step)}
	defer func() { f.step++ }()

	nn.ZeroGrad(f.params)
	x := autograd.NewConst(f.tape.Arena().Of(b.Global, n, 3, c.ImageSize, c.ImageSize))
	features := f.Backbone.Forward(f.tape, x, &nn.DropPath{Seed: c.Seed, Step: tensor.NewCount(f.dev, uint64(f.step))})
	logits := f.tape.Linear(features, f.Head.Weight.Var, f.Head.Bias.Var)
	loss := f.tape.CrossEntropy(logits, b.Labels, c.LabelSmoothing, 1/float64(n))
	s.Loss = float64(loss.Value.Floats()[0])
	if err := f.dev.Err(); err != nil {
		return s, err
	}
	if !finite(s.Loss) {
		f.tape.Reset()
		return f.skip(s, "the loss")
	}
	s.Correct = correct(logits.Value, b.Labels)
	f.tape.Backward(loss)
	f.tape.Reset()

	clip := f.clip.PerTensor(f.params, c.ClipGrad).Fetch()
	if s.GradNorm = clip.Norm(); !finite(s.GradNorm) {
		for i, norm := range clip.Norms {
			if !finite(norm) {
				return f.skip(s, "the gradient of "+f.params[i].Name)
			}
		}
		return f.skip(s, "the norm of all gradients")
	}
	for _, l := range f.layers {
		l.optimizer.Step(s.LR*l.scale, c.WeightDecay, clip, nil, nil)
	}
	return s, f.dev.Err()
}

func (f *Finetuner) skip(s FinetuneStep, bad string) (FinetuneStep, error) {
	s.Skipped, s.Loss, s.GradNorm = bad, 0, 0 // what is not finite is no figure
	return s, &NonFiniteError{Tensor: bad, Epoch: s.Epoch, Step: s.Step}
}

// correct counts the rows of logits (B, C) whose largest element is their label's.
func correct(logits *tensor.Tensor, labels []int) int {
	index := make([]int, len(labels))
	tensor.ArgMaxRows(index, logits)
	n := 0
	for i, l := range labels {
		if index[i] == l {
			n++
		}
	}
	return n
}
