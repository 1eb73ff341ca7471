package autograd_test

import (
	"fmt"

	"github.com/godino-ml/godino/autograd"
	"github.com/godino-ml/godino/tensor"
)

func ExampleTape() {
	// Fit a line y = w·x + b to points of y = 3x − 1 under the mean squared error, whose gradient 2/n·(prediction − y) starts the way back.
	dev := tensor.CPU()
	points := tensor.FromSlice(dev, []float32{-2, -1, 0, 1, 2}, 5, 1)
	want := []float32{-7, -4, -1, 2, 5}

	w, b := autograd.NewParam(tensor.New(dev, 1, 1)), autograd.NewParam(tensor.New(dev, 1))
	tape := autograd.NewTape(tensor.NewArena(dev))
	for range 100 {
		y := tape.Linear(autograd.NewConst(points), w, b)
		dy := tape.Arena().New(5, 1)
		for i, p := range y.Value.Data() {
			dy.Data()[i] = 2. / 5 * (p - want[i])
		}
		tape.BackwardFrom(y, dy)
		for _, p := range []*autograd.Var{w, b} {
			tensor.AddScaled(p.Value, p.Grad, -0.1) // p −= 0.1·gradient
			tensor.Fill(p.Grad, 0)
		}
		tape.Reset()
	}
	fmt.Printf("y = %.3f·x + %.3f\n", w.Value.Data()[0], b.Value.Data()[0])
	// Output: y = 3.000·x + -1.000
}
