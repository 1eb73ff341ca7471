// Command head trains a head of its own on features that stay as they are: two linear layers, and a loss that the tape does not have. Run it on
// images in class folders, with a checkpoint of dino train:
//
//	go run ./examples/head runs/photos/checkpoint.safetensors photos
//
// The loss is that of one-against-all classifiers, the binary cross-entropy of every class. Its gradient by the logits is worked out on paper;
// Tape.BackwardFrom takes it from there.
package main

import (
	"context"
	"fmt"
	"log"
	"math"
	"os"

	"github.com/godino-ml/godino/autograd"
	"github.com/godino-ml/godino/dino"
	"github.com/godino-ml/godino/dino/dataset"
	"github.com/godino-ml/godino/dino/eval"
	"github.com/godino-ml/godino/nn"
	"github.com/godino-ml/godino/tensor"
)

func main() {
	if len(os.Args) != 3 {
		log.Fatal("usage: head WEIGHTS FOLDER")
	}
	backbone, err := dino.LoadBackbone(tensor.CPU(), os.Args[1], dino.BackboneOptions{})
	if err != nil {
		log.Fatal(err)
	}
	ds, err := dataset.Open(os.Args[2], dataset.Options{})
	if err != nil {
		log.Fatal(err)
	}
	if len(ds.Classes()) < 2 {
		log.Fatalf("%s: %d class folders: give two or more", os.Args[2], len(ds.Classes()))
	}
	set, err := dino.Features(context.Background(), tensor.CPU(), backbone.VisionTransformer, ds, backbone.EvalTransform(0), dino.FeatureOptions{})
	if err != nil {
		log.Fatal(err)
	}
	train(set.Features, len(ds.Classes()), 200, func(step int, loss float64, correct int) {
		if step%20 == 0 {
			fmt.Printf("step %3d  loss %.4f  %d of %d correct\n", step, loss, correct, set.Len())
		}
	})
}

// hidden is the width of the head.
const hidden = 128

// train trains a new head on all features at once and reports every step, before its update.
func train(f eval.Features, classes, steps int, report func(step int, loss float64, correct int)) {
	dev := tensor.CPU()
	x := autograd.NewConst(tensor.FromSlice(dev, f.Data, f.Len(), f.Dim))
	fc1, fc2 := newLinear(dev, "fc1", f.Dim, hidden), newLinear(dev, "fc2", hidden, classes)
	params := []nn.Param{fc1.Weight, fc1.Bias, fc2.Weight, fc2.Bias}
	optimizer := nn.NewAdamW(params)
	tape := autograd.NewTape(tensor.NewArena(dev))
	best := make([]int, f.Len())
	for step := range steps {
		nn.ZeroGrad(params)
		logits := fc2.Forward(tape, tape.GELU(fc1.Forward(tape, x))) // (N, C)
		dlogits := tape.Arena().New(logits.Shape()...)
		loss := oneAgainstAll(dlogits.Data(), logits.Value.Data(), f.Labels, classes)
		tensor.ArgMaxRows(best, logits.Value)
		correct := 0
		for i, class := range best {
			if class == f.Labels[i] {
				correct++
			}
		}
		report(step, loss, correct)
		tape.BackwardFrom(logits, dlogits)
		tape.Reset() // from here on logits and dlogits are gone
		optimizer.Step(0.003, 0.01, nil, nil, nil)
	}
}

// newLinear draws the weight from N(0, 1/in).
func newLinear(dev *tensor.Device, name string, in, out int) nn.Linear {
	w, random := tensor.New(dev, out, in), tensor.Stream(uint64(in), uint64(out))
	for i := range w.Data() {
		w.Data()[i] = float32(random.NormFloat64() / math.Sqrt(float64(in)))
	}
	return nn.Linear{
		Weight: nn.Param{Name: name + ".weight", Var: autograd.NewParam(w)},
		Bias:   nn.Param{Name: name + ".bias", Var: autograd.NewParam(tensor.New(dev, out))},
	}
}

// oneAgainstAll is the mean over rows of Σ_c log(1 + exp(−s·z)), s = 1 for the row's class and −1 for others, and writes its gradient by z,
// −s/(1 + exp(s·z)) over the number of rows: dz, z (N, C).
func oneAgainstAll(dz, z []float32, labels []int, classes int) float64 {
	var sum float64
	n := float64(len(labels))
	for i, v := range z {
		s := -1.
		if i%classes == labels[i/classes] {
			s = 1
		}
		m := s * float64(v)
		sum += max(-m, 0) + math.Log1p(math.Exp(-math.Abs(m))) // exp cannot overflow
		dz[i] = float32(-s / (1 + math.Exp(m)) / n)
	}
	return sum / n
}
