package nn_test

import (
	"fmt"

	"github.com/godino-ml/godino/autograd"
	"github.com/godino-ml/godino/nn"
	"github.com/godino-ml/godino/tensor"
)

// Features of one image. Weights are read by package nn/weights; here they are fresh.
func ExampleVisionTransformer() {
	config, err := nn.ParseArch("vit:dim=96,depth=4,heads=3", 8, 64)
	if err != nil {
		fmt.Println(err)
		return
	}
	dev := tensor.CPU()
	model := nn.NewVisionTransformer(dev, config, 0)
	nn.Freeze(model.Params())

	image := tensor.New(dev, 1, 3, 80, 48) // normalised pixels, of any size from one patch up
	tape := autograd.NewEvalTape(tensor.NewArena(dev))
	features := model.Forward(tape, autograd.NewConst(image), nil)
	tokens := model.Tokens(tape, autograd.NewConst(image), nil)
	attention := model.LastSelfAttention(tape, autograd.NewConst(image))

	fmt.Println("parameters:", nn.NumParams(model.Params()))
	fmt.Println("features:", features.Value.Shape())
	fmt.Println("tokens:", tokens.Value.Shape())
	fmt.Println("attention:", attention.Shape())
	// Output:
	// parameters: 472416
	// features: [1 96]
	// tokens: [1 61 96]
	// attention: [1 3 61 61]
}
