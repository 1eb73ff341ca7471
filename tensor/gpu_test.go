package tensor

import (
	"math"
	"testing"

	"github.com/godino-ml/godino/kernels"
	"github.com/godino-ml/godino/kernels/cuda/cudatest"
)

// gpuCase runs one operation on tensors that a gpuMaker makes, on a CPU and on a GPU (cudatest's), whose results are compared. The kernels have tests of
// their own, of all kinds of lengths and numbers: here it is that the operation gives them the right arguments.
type gpuCase struct {
	name string
	run  func(m *gpuMaker)
}

var gpuCases = []gpuCase{
	{"LayerNorm", func(m *gpuMaker) {
		x, dy, w, b := m.act(2, 5, 20), m.act(2, 5, 20), m.float32(20), m.float32(20)
		mean, rstd := m.result(10), m.result(10)
		LayerNormForward(m.out(2, 5, 20), mean, rstd, x, w, b, 1e-6)
		LayerNormForward(m.out(2, 5, 20), nil, nil, x, w, b, 1e-6)
		LayerNormBackward(m.grad(2, 5, 20), m.sum(20), m.sum(20), dy, x, w, mean, rstd, m.add)
		LayerNormBackward(nil, m.sum(20), nil, dy, x, w, mean, rstd, m.add)
	}},
	{"GELU", func(m *gpuMaker) {
		x := m.act(3, 7)
		GELUForward(m.out(3, 7), x)
		GELUBackward(m.grad(3, 7), m.act(3, 7), x, m.add)
	}},
	{"Add", func(m *gpuMaker) {
		a, b := m.act(3, 7), m.act(3, 7)
		AddForward(m.out(3, 7), a, b)
		y := m.same(3, 7)
		AddScaled(y, a, 1.5)
		Scale(y, -0.5)
		Fill(m.out(2, 2), 3)
	}},
	{"SumRows", func(m *gpuMaker) { SumRows(m.sum(9), m.act(2, 20, 9)) }},
	{"Sums", func(m *gpuMaker) {
		x, y := m.act(3, 1000), m.act(3, 1000)
		m.numbers(Sum(x), Dot(x, y), SumSquares(x))
		sums := make([]float64, 3)
		SumSquaresOf(m.dev, sums, []*Tensor{x, nil, y})
		m.numbers(sums...)
		SumTo(m.result(1), x, 0.25)
	}},
	{"Residual", func(m *gpuMaker) {
		x, branch, scale := m.act(3, 4, 5), m.act(3, 4, 5), FromSlice(m.dev, []float32{2, 0, 0.5}, 3)
		Residual(m.out(3, 4, 5), x, branch, scale)
		Residual(m.out(3, 4, 5), x, branch, nil)
		ScaleRows(m.grad(3, 4, 5), x, scale, m.add)
		ScaleRows(m.grad(3, 4, 5), x, nil, m.add)
	}},
	{"LayerScale", func(m *gpuMaker) {
		x, gamma := m.act(3, 4, 5), m.float32(5)
		LayerScaleForward(m.out(3, 4, 5), x, gamma)
		LayerScaleBackward(m.grad(3, 4, 5), m.sum(5), m.act(3, 4, 5), x, gamma, m.add)
	}},
	{"ConcatTokens", func(m *gpuMaker) {
		ConcatTokensForward(m.out(2, 4, 8), m.float32(1, 1, 8), m.act(2, 3, 8), m.float32(1, 4, 8))
		ConcatTokensBackward(m.sum(1, 1, 8), m.grad(2, 3, 8), m.sum(1, 4, 8), m.act(2, 4, 8), m.add)
		ConcatTokensBackward(nil, nil, m.sum(1, 4, 8), m.act(2, 4, 8), m.add)
	}},
	{"InsertTokens", func(m *gpuMaker) {
		InsertTokensForward(m.out(2, 5, 8), m.act(2, 3, 8), m.float32(1, 2, 8), 1)
		InsertTokensBackward(m.grad(2, 3, 8), m.sum(1, 2, 8), m.act(2, 5, 8), 1, 2, m.add)
	}},
	{"RemoveTokens", func(m *gpuMaker) {
		RemoveTokensForward(m.out(2, 3, 8), m.act(2, 5, 8), 1, 2)
		RemoveTokensBackward(m.grad(2, 5, 8), m.act(2, 3, 8), 1, 2, m.add)
	}},
	{"SelectToken", func(m *gpuMaker) {
		SelectTokenForward(m.out(2, 8), m.act(2, 5, 8), 3)
		SelectTokenBackward(m.grad(2, 5, 8), m.act(2, 8), 3, m.add)
	}},
	{"ConcatRows", func(m *gpuMaker) {
		ConcatRowsForward(m.out(6, 2, 3), m.act(1, 2, 3), m.act(2, 2, 3), m.act(3, 2, 3))
	}},
	{"Patchify", func(m *gpuMaker) {
		PatchifyForward(m.out(2, 2, 3*16), m.float32(2, 3, 5, 8), 4)
		PatchifyForward(m.out(2, 2, 3*16), m.act(2, 3, 5, 8), 4)
		PatchifyBackward(m.grad(2, 3, 5, 8), m.act(2, 2, 3*16), 4, m.add)
	}},
	{"InterpolatePos", func(m *gpuMaker) {
		p := NewPosMap(4, 3, 2, 0.1)
		for range 2 { // the second time the sums are there
			InterpolatePosForward(m.result(1, 7, 8), m.float32(1, 17, 8), p)
			InterpolatePosBackward(m.sum(1, 17, 8), m.float32(1, 7, 8), p)
		}
	}},
	{"L2Normalize", func(m *gpuMaker) {
		x, norm := m.act(5, 8), m.result(5)
		L2NormalizeForward(m.out(5, 8), norm, x, 1.5)
		L2NormalizeForward(m.out(5, 8), nil, x, 1.5)
		L2NormalizeBackward(m.grad(5, 8), m.act(5, 8), m.act(5, 8), norm, 1.5, m.add)
	}},
	{"Gemm", func(m *gpuMaker) {
		Gemm(m.out(5, 9), m.act(5, 12), m.act(12, 9), false, false, 0.5, 0)
		Gemm(m.same(5, 9), m.act(12, 5), m.factor(9, 12), true, true, 2, -0.5)
	}},
	{"Linear", func(m *gpuMaker) {
		x, dy, w, b := m.act(2, 3, 12), m.act(2, 3, 9), m.factor(9, 12), m.factor(9)
		LinearForward(m.out(2, 3, 9), x, w, b)
		LinearForward(m.out(2, 3, 9), x, w, nil)
		LinearBackward(m.grad(2, 3, 12), m.weights(9, 12), m.sum(9), dy, x, w, m.add, m.add)
		LinearBackward(m.grad(2, 3, 12), nil, m.sum(9), dy, x, w, m.add, false)
		LinearBackward(nil, m.weights(9, 12), nil, dy, x, w, false, m.add)
		LinearBackward(nil, nil, nil, dy, x, w, false, false)
	}},
	{"LinearResidual", func(m *gpuMaker) {
		x, w, b, residual := m.act(3, 4, 12), m.factor(9, 12), m.factor(9), m.act(3, 4, 9)
		LinearResidualForward(m.out(3, 4, 9), residual, x, w, b, FromSlice(m.dev, []float32{1.25, 0, 0.5}, 3))
		LinearResidualForward(m.out(3, 4, 9), residual, x, w, nil, nil)
	}},
	{"MLP", func(m *gpuMaker) {
		m.steps = 3 // a and dh are rounded on the way
		x, w1, b1, w2, b2 := m.act(2, 3, 8), m.factor(16, 8), m.factor(16), m.factor(8, 16), m.factor(8)
		a, h := m.arena.New(2, 3, 16), m.out(2, 3, 16)
		MLPForward(m.out(2, 3, 8), a, h, x, w1, b1, w2, b2, x, FromSlice(m.dev, []float32{1.25, 0}, 2))
		MLPForward(m.out(2, 3, 8), a, nil, x, w1, b1, w2, nil, nil, nil)
		dy := m.act(2, 3, 8)
		for _, wanted := range []bool{true, false} {
			h := m.act(2, 3, 16) // is used up
			if !wanted {
				MLPBackward(nil, nil, nil, m.weights(8, 16), m.sum(8), dy, x, a, h, w1, w2, false, false, m.add)
				continue
			}
			MLPBackward(m.grad(2, 3, 8), m.weights(16, 8), m.sum(16), m.weights(8, 16), m.sum(8), dy, x, a, h, w1, w2, m.add, m.add, m.add)
		}
	}},
	{"Softmax", func(m *gpuMaker) {
		x, y := m.act(2, 5, 40), m.act(2, 5, 40)
		SoftmaxForward(m.out(2, 5, 40), x)
		SoftmaxBackward(m.grad(2, 5, 40), m.act(2, 5, 40), y, m.add)
		LogSoftmaxForward(m.out(2, 5, 40), x)
		LogSoftmaxBackward(m.grad(2, 5, 40), m.act(2, 5, 40), y, m.add)
	}},
	{"CrossEntropy", func(m *gpuMaker) {
		logits, logp, labels := m.act(4, 9), m.act(4, 9), []int{3, 0, 8, 3}
		for _, dloss := range []*Tensor{nil, Scalar(m.dev, 0.5)} {
			CrossEntropyForward(m.result(4), m.out(4, 9), logits, labels, 0.1)
			CrossEntropyBackward(m.grad(4, 9), logp, labels, 0.1, 0.25, dloss, m.add)
		}
	}},
	{"Attention", func(m *gpuMaker) {
		m.steps = 4 // weights and their gradients are rounded on the way
		for _, dim := range []int{32, 5} {
			qkv, y, lse := m.act(2, 18, 3*3*dim), m.out(2, 18, 3*dim), m.result(2, 3, 18)
			AttentionForward(y, lse, qkv, 3)
			AttentionBackward(m.grad(2, 18, 3*3*dim), m.act(2, 18, 3*dim), qkv, y, lse, 3, m.add)
			AttentionWeights(m.out(2, 3, 18, 18), qkv, 3)
		}
	}},
	{"ArgMaxRows", func(m *gpuMaker) {
		index := make([]int, 5)
		ArgMaxRows(index, m.act(5, 300))
		for _, k := range index {
			m.numbers(float64(k))
		}
	}},
	{"Entropy", func(m *gpuMaker) { EntropyForward(m.result(5), m.act(5, 30)) }},
	{"BatchNorm", func(m *gpuMaker) {
		x, w, mean, rstd := m.act(20, 7), m.float32(7), m.float32(7), m.float32(7)
		BatchNormForward(m.out(20, 7), m.result(7), m.result(7), x, w, m.float32(7), 1e-3)
		BatchNormBackward(m.grad(20, 7), m.sum(7), m.sum(7), m.act(20, 7), x, w, mean, rstd, m.add)
		BatchNormBackward(nil, nil, m.sum(7), m.act(20, 7), x, w, mean, rstd, m.add)
		BatchNormUpdate(m.sum(7), m.sum(7), mean, rstd, 20, 1e-3, 0.1)
	}},
	{"Samples", func(m *gpuMaker) {
		x, branch, samples := m.act(5, 4, 3), m.act(3, 4, 3), []int{0, 2, 4}
		SelectSamples(m.grad(3, 4, 3), x, samples, 1.5, m.add)
		ResidualSamples(m.out(5, 4, 3), x, branch, samples, -2)
		ResidualSamples(m.out(5, 4, 3), nil, branch, samples, -2)
	}},
	{"CenteredSoftmax", func(m *gpuMaker) {
		x, center, used := m.act(5, 300), m.float32(300), m.result(300)
		used.Zero()
		CenteredSoftmaxForward(m.out(5, 300), x, center, Scalar(m.dev, 4), m.result(5), used)
		CenteredSoftmaxForward(m.out(5, 300), x, center, Scalar(m.dev, 4), nil, nil)
	}},
	{"DropPath", func(m *gpuMaker) {
		DropPath(m.result(50), 1, NewCount(m.dev, 1<<33+7), 3, 4, 1, 0.7)
	}},
	{"Prototypes", func(m *gpuMaker) {
		z, v, g := m.act(6, 24), m.float32(70, 24), m.float32(70, 1)
		PrototypesForward(m.arena, m.result(6, 70), z, v, g)
		dlogits := m.random(m.arena.NewFloat32(6, 70), m.half)
		PrototypesBackward(m.arena, m.grad(6, 24), m.weights(70, 24), m.sum(70, 1), dlogits, z, v, g, m.add, m.add)
		PrototypesBackward(m.arena, nil, nil, m.sum(70, 1), dlogits, z, v, g, m.add, m.add)
	}},
	{"PrototypeCrossEntropy", func(m *gpuMaker) {
		z, v, g, target := m.act(6, 24), m.float32(70, 24), m.float32(70, 1), m.float32(2, 70)
		pairs := NewPairs([][]int{{1}, {0}, {0, 1}, {}, {1, 0}, {0}})
		for _, dloss := range []*Tensor{nil, Scalar(m.dev, 0.5)} {
			lse, sum := m.result(6), m.result(2)
			kept := PrototypeCrossEntropyForward(m.arena, m.result(6), lse, sum, z, v, g, target, pairs, 2)
			PrototypeCrossEntropyBackward(m.arena, kept, m.grad(6, 24), m.weights(70, 24), m.sum(70, 1), z, v, g, target, lse, sum, pairs, 2, 0.02, dloss, m.add, m.add)
		}
	}},
}

// gpuMaker makes the tensors of a gpuCase, with the same numbers on every device, and keeps what is written to them.
type gpuMaker struct {
	dev   *Device
	arena *Arena
	half  bool // activations are numbers of bf16
	add   bool
	key   uint64
	outs  []*Tensor
	more  []float64
	steps float64 // how many roundings a result may be off by; 0 is 1
}

// act is an input of activations, float32 one that is float32 whatever they are.
func (m *gpuMaker) act(shape ...int) *Tensor { return m.random(m.arena.New(shape...), m.half) }
func (m *gpuMaker) float32(shape ...int) *Tensor {
	return m.random(m.arena.NewFloat32(shape...), false)
}

// factor is a parameter of products: float32, of numbers of bf16 where products are.
func (m *gpuMaker) factor(shape ...int) *Tensor {
	return m.random(m.arena.NewFloat32(shape...), m.half)
}

// out is a result of activations, result one of float32.
func (m *gpuMaker) out(shape ...int) *Tensor    { return m.undefined(m.arena.New(shape...)) }
func (m *gpuMaker) result(shape ...int) *Tensor { return m.undefined(m.arena.NewFloat32(shape...)) }

// grad is a gradient of activations, which is added to or overwritten; sum one of parameters and same one of activations that are always added to.
func (m *gpuMaker) grad(shape ...int) *Tensor {
	if m.add {
		return m.same(shape...)
	}
	return m.out(shape...)
}
func (m *gpuMaker) weights(shape ...int) *Tensor {
	if m.add {
		return m.sum(shape...)
	}
	return m.result(shape...)
}
func (m *gpuMaker) sum(shape ...int) *Tensor  { return m.keep(m.float32(shape...)) }
func (m *gpuMaker) same(shape ...int) *Tensor { return m.keep(m.act(shape...)) }

// numbers are results that an operation returns.
func (m *gpuMaker) numbers(x ...float64) { m.more = append(m.more, x...) }

func (m *gpuMaker) keep(t *Tensor) *Tensor {
	m.outs = append(m.outs, t)
	return t
}

func (m *gpuMaker) undefined(t *Tensor) *Tensor {
	Fill(t, float32(math.NaN()))
	return m.keep(t)
}

func (m *gpuMaker) random(t *Tensor, half bool) *Tensor {
	m.key++
	x := make([]float32, t.Len())
	for i := range x {
		x[i] = 2*Uniform(m.key, uint64(i)) - 0.8
		if half {
			x[i] = fromBF16(toBF16(x[i]))
		}
	}
	t.SetFloats(x)
	return t
}

// results are the values of what was written, in order.
func (m *gpuMaker) results() (all []float64) {
	for _, t := range m.outs {
		for _, v := range t.Floats() {
			all = append(all, float64(v))
		}
	}
	return append(all, m.more...)
}

// TestGPU: what an operation gives on a GPU is what it gives on a CPU.
func TestGPU(t *testing.T) {
	cpu := NewCPU(kernels.Reference(), 1)
	defer cpu.pool.Close()
	for _, precision := range []Precision{Float32, BF16} {
		gpu, err := NewGPU(cudatest.New(t)).WithPrecision(precision)
		if err != nil {
			t.Fatal(err)
		}
		tolerance := 5e-6
		if precision == BF16 {
			tolerance = 0x1p-8 // a rounding of the result, or of what was added to
		}
		for _, c := range gpuCases {
			t.Run(precision.String()+"/"+c.name, func(t *testing.T) {
				for _, add := range []bool{false, true} {
					var results [2][]float64
					var steps float64
					for i, dev := range []*Device{cpu, gpu} {
						m := &gpuMaker{dev: dev, arena: NewArena(dev), half: precision == BF16, add: add}
						c.run(m)
						results[i], steps = m.results(), max(1, m.steps)
					}
					if err := gpu.Err(); err != nil {
						t.Fatal(err)
					}
					for i, want := range results[0] {
						if got := results[1][i]; !(math.Abs(got-want) <= steps*tolerance*(1+math.Abs(want))) {
							t.Fatalf("add %v: number %d of the results is %g on the GPU, %g on the CPU", add, i, got, want)
						}
					}
				}
			})
		}
	}
}
