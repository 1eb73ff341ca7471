package autograd

import (
	"math"
	"strings"
	"testing"

	"github.com/godino-ml/godino/kernels"
	"github.com/godino-ml/godino/kernels/cuda/cudatest"
	"github.com/godino-ml/godino/tensor"
)

// gpuActivations are the inputs of the operations that are activations: bf16 on a GPU of that precision. The others are parameters. An operation has
// those of its longest prefix here.
var gpuActivations = map[string][]int{
	"Linear": {0}, "LinearResidual": {0, 1}, "MLP": {0, 5}, "LayerNorm": {0}, "BatchNorm": {0}, "GELU": {0}, "Softmax": {0}, "LogSoftmax": {0}, "L2Normalize": {0},
	"Prototypes": {0}, "PrototypeCrossEntropy": {0}, "Attention": {0}, "Residual": {0, 1}, "SelectSamples": {0}, "ResidualSamples": {0, 1},
	"a branch of some samples": {0}, "Patchify": {0}, "ConcatTokens": {1}, "SelectToken": {0}, "ConcatRows": {0, 1, 2}, "CrossEntropy": {0},
	"InsertTokens": {0}, "RemoveTokens": {0}, "LayerScale": {0}, "InterpolatePos": {},
}

// TestGPU: every operation of the tape computes on a GPU, with memory that is forgotten between uses, what it computes on the CPU, and so do its gradients.
func TestGPU(t *testing.T) {
	cpu := tensor.NewCPU(kernels.Reference(), 1)
	for _, precision := range []tensor.Precision{tensor.Float32, tensor.BF16} {
		dev, err := tensor.NewGPU(cudatest.New(t)).WithPrecision(precision)
		if err != nil {
			t.Fatal(err)
		}
		for _, op := range operations() {
			t.Run(precision.String()+"/"+op.name, func(t *testing.T) {
				activations, longest := []int(nil), -1
				for prefix, list := range gpuActivations {
					if strings.HasPrefix(op.name, prefix) && len(prefix) > longest {
						activations, longest = list, len(prefix)
					}
				}
				if longest < 0 {
					t.Fatal("no line of gpuActivations")
				}
				arena := tensor.NewArena(dev)
				arena.Poison()
				var on, want []*Var // the same numbers on both
				for i, s := range op.shapes {
					x := random(cpu, uint64(i+1), s...)
					var y *tensor.Tensor
					if contains(activations, i) {
						y = tensor.NewArena(dev).New(s...) // of the type of activations
						y.SetFloats(x.Floats())
						x.SetFloats(y.Floats()) // as rounded
					} else {
						y = tensor.New(dev, s...)
						y.SetFloats(x.Floats())
					}
					on, want = append(on, NewInput(y)), append(want, NewInput(x))
				}
				gpuTape, cpuTape := NewTape(arena), poisonedTape(cpu)
				got, ref := op.run(gpuTape, on), op.run(cpuTape, want)
				tolerance := 1e-5
				if precision == tensor.BF16 {
					tolerance = 3e-2
				}
				near := func(what string, got, want *tensor.Tensor) {
					t.Helper()
					if got == nil || want == nil {
						if got != want {
							t.Errorf("%s is there on one device alone", what)
						}
						return
					}
					x, y, size := got.Floats(), want.Floats(), 0.0
					for _, v := range y {
						size = max(size, math.Abs(float64(v)))
					}
					for i := range y {
						if !(math.Abs(float64(x[i]-y[i])) <= tolerance*max(size, 1e-3)) {
							t.Fatalf("%s[%d] is %v, want %v", what, i, x[i], y[i])
						}
					}
				}
				near("y", got.Value, ref.Value)
				dy := random(cpu, 99, ref.Shape()...)
				onGPU := arena.New(ref.Shape()...)
				if got.Value.IsFloat32() {
					onGPU = arena.NewFloat32(ref.Shape()...)
				}
				onGPU.SetFloats(dy.Floats())
				dy.SetFloats(onGPU.Floats())
				gpuTape.BackwardFrom(got, onGPU)
				cpuTape.BackwardFrom(ref, dy)
				for i := range on {
					if g := on[i].Grad; g != nil && g.IsFloat32() == contains(activations, i) && precision == tensor.BF16 {
						t.Errorf("the gradient of input %d has the wrong type", i)
					}
					near("gradient "+string(rune('0'+i)), on[i].Grad, want[i].Grad)
				}
				if err := dev.Err(); err != nil {
					t.Fatal(err)
				}
			})
		}
	}
}

func contains(list []int, i int) bool {
	for _, x := range list {
		if x == i {
			return true
		}
	}
	return false
}
