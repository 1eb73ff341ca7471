package eval

import (
	"fmt"

	"github.com/godino-ml/godino/autograd"
	"github.com/godino-ml/godino/nn"
	"github.com/godino-ml/godino/tensor"
)

// linearStd is the standard deviation of a Linear's weight at the start, as the reference has it.
const linearStd = 0.01

// Linear is a linear classifier on features that stay as they are, x·Wᵀ + b, and its training as in the reference's linear evaluation:
// cross-entropy, SGD with momentum 0.9, no weight decay.
type Linear struct {
	Weight, Bias nn.Param // head.weight (C, D), head.bias (C)

	dev       *tensor.Device
	optimizer *nn.SGD
	tape      *autograd.Tape
	still     *autograd.Tape // records nothing: for scores
}

// NewLinear makes a classifier of features of dim numbers: weight N(0, 0.01²), the same for the same seed, bias 0. It computes in float32 whatever
// the precision of dev's layers.
func NewLinear(dev *tensor.Device, dim, classes int, seed uint64) *Linear {
	dev, err := dev.WithPrecision(tensor.Float32)
	if err != nil {
		panic(err) // every device has it
	}
	weight, r := make([]float32, classes*dim), tensor.Stream(seed, 0x6c696e656172)
	for i := range weight {
		weight[i] = float32(r.NormFloat64() * linearStd)
	}
	l := &Linear{
		Weight: nn.Param{Name: "head.weight", Var: autograd.NewParam(tensor.FromSlice(dev, weight, classes, dim))},
		Bias:   nn.Param{Name: "head.bias", Var: autograd.NewParam(tensor.New(dev, classes))},
		dev:    dev, tape: autograd.NewTape(tensor.NewArena(dev)), still: autograd.NewEvalTape(tensor.NewArena(dev)),
	}
	l.optimizer = nn.NewSGD(l.Params())
	return l
}

// Params are the weight and the bias.
func (l *Linear) Params() []nn.Param { return []nn.Param{l.Weight, l.Bias} }

// Dim is D, and Classes C.
func (l *Linear) Dim() int     { return l.Weight.Value.Dim(1) }
func (l *Linear) Classes() int { return l.Weight.Value.Dim(0) }

// Step trains on n features, rows (n, D), of those classes, and returns their mean cross-entropy before it, in nats.
func (l *Linear) Step(rows []float32, labels []int, lr float64) float64 {
	defer l.tape.Reset()
	params := l.Params()
	nn.ZeroGrad(params)
	x := autograd.NewConst(l.tape.Arena().Of(rows, len(labels), l.Dim()))
	loss := l.tape.CrossEntropy(l.tape.Linear(x, l.Weight.Var, l.Bias.Var), labels, 0, 1/float64(len(labels)))
	l.tape.Backward(loss)
	l.optimizer.Step(lr, 0, nil, nil, nil)
	return float64(loss.Value.Floats()[0])
}

// Logits are the scores (n, C) of n features, rows (n, D).
func (l *Linear) Logits(rows []float32) []float32 {
	defer l.still.Reset()
	n := len(rows) / l.Dim()
	x := autograd.NewConst(l.still.Arena().Of(rows, n, l.Dim()))
	return append([]float32(nil), l.still.Linear(x, l.Weight.Var, l.Bias.Var).Value.Floats()...)
}

// Probabilities are the softmax of Logits.
func (l *Linear) Probabilities(rows []float32) []float32 {
	logits := l.Logits(rows)
	p := tensor.FromSlice(l.dev.Host(), logits, len(rows)/l.Dim(), l.Classes())
	tensor.SoftmaxForward(p, p)
	return logits
}

// LinearResult is how well a classifier names the classes of features.
type LinearResult struct {
	Top1, Top5 float64 // per cent
	Ranks      int     // how many classes Top5 looks at: min(5, C)
	Loss       float64 // mean cross-entropy, nats
	Predicted  []int   // (N): the class with the highest score, the lower number of equal ones
}

// Score judges the classifier on features with classes.
func (l *Linear) Score(f Features) (*LinearResult, error) {
	if err := f.check("test"); err != nil {
		return nil, err
	}
	classes := l.Classes()
	if err := f.checkLabels("test", classes); err != nil {
		return nil, err
	}
	if f.Dim != l.Dim() {
		return nil, fmt.Errorf("features of %d dimensions; the classifier reads %d", f.Dim, l.Dim())
	}
	r := &LinearResult{Ranks: min(5, classes), Predicted: make([]int, f.Len())}
	top1, top5, sum := 0, 0, 0.0
	for at := 0; at < f.Len(); at += queryBlock {
		n := min(queryBlock, f.Len()-at)
		labels := f.Labels[at : at+n]
		logits := l.Logits(f.Data[at*f.Dim : (at+n)*f.Dim])
		scores := tensor.FromSlice(l.dev.Host(), logits, n, classes)
		loss, logp := tensor.New(l.dev.Host(), n), tensor.New(l.dev.Host(), n, classes)
		tensor.CrossEntropyForward(loss, logp, scores, labels, 0)
		for i, label := range labels {
			row := logits[i*classes : (i+1)*classes]
			// The rank of the true class is how many classes come before it.
			best, rank := 0, 0
			for c, v := range row {
				if v > row[best] {
					best = c
				}
				if v > row[label] || v == row[label] && c < label {
					rank++
				}
			}
			r.Predicted[at+i] = best
			if rank == 0 {
				top1++
			}
			if rank < r.Ranks {
				top5++
			}
			sum += float64(loss.Data()[i])
		}
	}
	n := float64(f.Len())
	r.Top1, r.Top5, r.Loss = 100*float64(top1)/n, 100*float64(top5)/n, sum/n
	return r, nil
}
