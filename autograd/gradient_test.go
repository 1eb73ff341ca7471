package autograd

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/godino-ml/godino/kernels"
	"github.com/godino-ml/godino/tensor"
)

// operation is one row of the gradient checks: an operation on a tape, and the same in float64.
type operation struct {
	name   string
	shapes [][]int // of its inputs
	run    func(t *Tape, xs []*Var) *Var
	ref    func(xs [][]float64) []float64
}

var (
	residualScale = []float32{0, 1 / 0.7, 1}
	targetRows    = [][]int{{1}, {0, 1}, {0}, nil}
	targetProbs   = []float64{0.1, 0.2, 0.3, 0.25, 0.15, 0.5, 0.05, 0.05, 0.2, 0.2}
)

func operations() []operation {
	return []operation{
		{"Linear", [][]int{{2, 3, 5}, {7, 5}, {7}},
			func(t *Tape, xs []*Var) *Var { return t.Linear(xs[0], xs[1], xs[2]) },
			func(xs [][]float64) []float64 { return refLinear(xs[0], xs[1], xs[2], 5, 7) }},
		{"Linear without bias", [][]int{{9, 17}, {33, 17}},
			func(t *Tape, xs []*Var) *Var { return t.Linear(xs[0], xs[1], nil) },
			func(xs [][]float64) []float64 { return refLinear(xs[0], xs[1], nil, 17, 33) }},
		{"Linear of a convolution's weight", [][]int{{4, 12}, {5, 3, 2, 2}, {5}},
			func(t *Tape, xs []*Var) *Var { return t.Linear(xs[0], xs[1], xs[2]) },
			func(xs [][]float64) []float64 { return refLinear(xs[0], xs[1], xs[2], 12, 5) }},
		{"GELU", [][]int{{3, 19}},
			func(t *Tape, xs []*Var) *Var { return t.GELU(xs[0]) },
			func(xs [][]float64) []float64 { return refGELU(xs[0]) }},
		{"Softmax", [][]int{{3, 19}},
			func(t *Tape, xs []*Var) *Var { return t.Softmax(xs[0]) },
			func(xs [][]float64) []float64 { return refRows(xs[0], 19, refSoftmax) }},
		{"LogSoftmax", [][]int{{3, 19}},
			func(t *Tape, xs []*Var) *Var { return t.LogSoftmax(xs[0]) },
			func(xs [][]float64) []float64 { return refRows(xs[0], 19, refLogSoftmax) }},
		{"LayerNorm", [][]int{{2, 3, 19}, {19}, {19}},
			func(t *Tape, xs []*Var) *Var { return t.LayerNorm(xs[0], xs[1], xs[2], 1e-6) },
			func(xs [][]float64) []float64 { return refLayerNorm(xs[0], xs[1], xs[2], 1e-6) }},
		{"BatchNorm", [][]int{{6, 5}, {5}, {5}},
			func(t *Tape, xs []*Var) *Var {
				dev := t.Arena().Device()
				return t.BatchNorm(xs[0], xs[1], xs[2], tensor.New(dev, 5), tensor.New(dev, 5), 1e-5, 0.1)
			},
			func(xs [][]float64) []float64 { return refBatchNorm(xs[0], xs[1], xs[2], 1e-5) }},
		{"LayerScale", [][]int{{2, 3, 19}, {19}},
			func(t *Tape, xs []*Var) *Var { return t.LayerScale(xs[0], xs[1]) },
			func(xs [][]float64) []float64 { return refLayerScale(xs[0], xs[1]) }},
		{"InsertTokens", [][]int{{3, 4, 5}, {1, 2, 5}},
			func(t *Tape, xs []*Var) *Var { return t.InsertTokens(xs[0], xs[1], 1) },
			func(xs [][]float64) []float64 { return refInsertTokens(xs[0], xs[1], 3, 5, 1) }},
		{"RemoveTokens", [][]int{{3, 6, 5}},
			func(t *Tape, xs []*Var) *Var { return t.RemoveTokens(xs[0], 1, 2) },
			func(xs [][]float64) []float64 { return refRemoveTokens(xs[0], 3, 5, 1, 2) }},
		{"L2Normalize", [][]int{{4, 19}},
			func(t *Tape, xs []*Var) *Var { return t.L2Normalize(xs[0], 1e-12) },
			func(xs [][]float64) []float64 { return refRows(xs[0], 19, refL2Normalize) }},
		{"Prototypes", [][]int{{3, 5}, {600, 5}, {600, 1}},
			func(t *Tape, xs []*Var) *Var { return t.Prototypes(xs[0], xs[1], xs[2]) },
			func(xs [][]float64) []float64 { return refLinear(xs[0], refWeightNorm(xs[1], xs[2]), nil, 5, 600) }},
		{"Attention", [][]int{{2, 5, 3 * 2 * 4}},
			func(t *Tape, xs []*Var) *Var { return t.Attention(xs[0], 2) },
			func(xs [][]float64) []float64 { return refAttention(xs[0], 2, 5, 2, 4) }},
		{"Residual", [][]int{{3, 2, 5}, {3, 2, 5}},
			func(t *Tape, xs []*Var) *Var { return t.Residual(xs[0], xs[1], nil) },
			func(xs [][]float64) []float64 { return refResidual(xs[0], xs[1], nil) }},
		{"Residual with drop path", [][]int{{3, 2, 5}, {3, 2, 5}},
			func(t *Tape, xs []*Var) *Var {
				return t.Residual(xs[0], xs[1], factors(t.Arena().Device(), residualScale))
			},
			func(xs [][]float64) []float64 { return refResidual(xs[0], xs[1], residualScale) }},
		{"SelectSamples", [][]int{{4, 2, 5}},
			func(t *Tape, xs []*Var) *Var { return t.SelectSamples(xs[0], []int{0, 2}) },
			func(xs [][]float64) []float64 { return slices.Concat(xs[0][:10], xs[0][20:30]) }},
		{"ResidualSamples", [][]int{{4, 2, 5}, {2, 2, 5}},
			func(t *Tape, xs []*Var) *Var { return t.ResidualSamples(xs[0], xs[1], []int{1, 3}, 1.25) },
			func(xs [][]float64) []float64 { return refResidualSamples(xs[0], xs[1]) }},
		{"a branch of some samples", [][]int{{4, 2, 5}, {5, 5}, {5}, {5}},
			func(t *Tape, xs []*Var) *Var {
				some := t.SelectSamples(xs[0], []int{1, 3})
				h := t.LayerNorm(some, xs[2], xs[3], 1e-6)
				branch := t.Linear(h, xs[1], nil)
				t.Done(h, some)
				y := t.ResidualSamples(xs[0], branch, []int{1, 3}, 1.25)
				t.Done(branch)
				return y
			},
			func(xs [][]float64) []float64 {
				some := slices.Concat(xs[0][10:20], xs[0][30:])
				return refResidualSamples(xs[0], refLinear(refLayerNorm(some, xs[2], xs[3], 1e-6), xs[1], nil, 5, 5))
			}},
		{"LinearResidual", [][]int{{3, 2, 7}, {3, 2, 5}, {7, 5}, {7}},
			func(t *Tape, xs []*Var) *Var { return t.LinearResidual(xs[0], xs[1], xs[2], xs[3], nil) },
			func(xs [][]float64) []float64 {
				return refResidual(xs[0], refLinear(xs[1], xs[2], xs[3], 5, 7), nil)
			}},
		{"LinearResidual with drop path", [][]int{{3, 2, 7}, {3, 2, 5}, {7, 5}, {7}},
			func(t *Tape, xs []*Var) *Var {
				return t.LinearResidual(xs[0], xs[1], xs[2], xs[3], factors(t.Arena().Device(), residualScale))
			},
			func(xs [][]float64) []float64 {
				return refResidual(xs[0], refLinear(xs[1], xs[2], xs[3], 5, 7), residualScale)
			}},
		{"MLP", [][]int{{2, 3, 5}, {19, 5}, {19}, {7, 19}, {7}},
			func(t *Tape, xs []*Var) *Var { return t.MLP(xs[0], xs[1], xs[2], xs[3], xs[4], nil, nil) },
			func(xs [][]float64) []float64 { return refMLP(xs, 5, 19, 7) }},
		{"MLP with residual", [][]int{{3, 2, 5}, {19, 5}, {19}, {7, 19}, {7}, {3, 2, 7}},
			func(t *Tape, xs []*Var) *Var { return t.MLP(xs[0], xs[1], xs[2], xs[3], xs[4], xs[5], nil) },
			func(xs [][]float64) []float64 { return refResidual(xs[5], refMLP(xs, 5, 19, 7), nil) }},
		{"MLP with drop path", [][]int{{3, 2, 5}, {19, 5}, {19}, {7, 19}, {7}, {3, 2, 7}},
			func(t *Tape, xs []*Var) *Var {
				return t.MLP(xs[0], xs[1], xs[2], xs[3], xs[4], xs[5], factors(t.Arena().Device(), residualScale))
			},
			func(xs [][]float64) []float64 { return refResidual(xs[5], refMLP(xs, 5, 19, 7), residualScale) }},
		{"Patchify", [][]int{{2, 3, 6, 4}},
			func(t *Tape, xs []*Var) *Var { return t.Patchify(xs[0], 2) },
			func(xs [][]float64) []float64 { return refPatchify(xs[0], 2, 3, 6, 4, 2) }},
		{"Patchify with a rest", [][]int{{2, 3, 7, 11}},
			func(t *Tape, xs []*Var) *Var { return t.Patchify(xs[0], 3) },
			func(xs [][]float64) []float64 { return refPatchify(xs[0], 2, 3, 7, 11, 3) }},
		{"ConcatTokens", [][]int{{1, 1, 4}, {3, 2, 4}, {1, 3, 4}},
			func(t *Tape, xs []*Var) *Var { return t.ConcatTokens(xs[0], xs[1], xs[2]) },
			func(xs [][]float64) []float64 { return refConcatTokens(xs[0], xs[1], xs[2], 3) }},
		{"InterpolatePos to fewer", [][]int{{1, 26, 3}},
			func(t *Tape, xs []*Var) *Var { return t.InterpolatePos(xs[0], tensor.NewPosMap(5, 2, 3, 0.1)) },
			func(xs [][]float64) []float64 { return refInterpolatePos(xs[0], 5, 2, 3, 3, 0.1) }},
		{"InterpolatePos to more", [][]int{{1, 10, 3}},
			func(t *Tape, xs []*Var) *Var { return t.InterpolatePos(xs[0], tensor.NewPosMap(3, 7, 4, 0)) },
			func(xs [][]float64) []float64 { return refInterpolatePos(xs[0], 3, 7, 4, 3, 0) }},
		{"InterpolatePos from one", [][]int{{1, 2, 3}},
			func(t *Tape, xs []*Var) *Var { return t.InterpolatePos(xs[0], tensor.NewPosMap(1, 2, 2, 0.1)) },
			func(xs [][]float64) []float64 { return refInterpolatePos(xs[0], 1, 2, 2, 3, 0.1) }},
		{"InterpolatePos to fewer with antialias", [][]int{{1, 50, 3}},
			func(t *Tape, xs []*Var) *Var { return t.InterpolatePos(xs[0], tensor.NewAntialiasPosMap(7, 2, 4, 0)) },
			func(xs [][]float64) []float64 { return refAntialiasPos(xs[0], 7, 2, 4, 3) }},
		{"InterpolatePos to more with antialias", [][]int{{1, 10, 3}},
			func(t *Tape, xs []*Var) *Var { return t.InterpolatePos(xs[0], tensor.NewAntialiasPosMap(3, 7, 4, 0)) },
			func(xs [][]float64) []float64 { return refAntialiasPos(xs[0], 3, 7, 4, 3) }},
		{"SelectToken", [][]int{{3, 4, 5}},
			func(t *Tape, xs []*Var) *Var { return t.SelectToken(xs[0], 2) },
			func(xs [][]float64) []float64 { return refSelectToken(xs[0], 3, 5, 2) }},
		{"ConcatRows", [][]int{{2, 3}, {1, 3}, {4, 3}},
			func(t *Tape, xs []*Var) *Var { return t.ConcatRows(xs...) },
			func(xs [][]float64) []float64 { return slices.Concat(xs...) }},
		{"CrossEntropy", [][]int{{4, 5}},
			func(t *Tape, xs []*Var) *Var { return t.CrossEntropy(xs[0], []int{3, 0, 4, 3}, 0, 0.25) },
			func(xs [][]float64) []float64 { return refCrossEntropy(xs[0], []int{3, 0, 4, 3}, 5, 0, 0.25) }},
		{"CrossEntropy with smoothing", [][]int{{4, 5}},
			func(t *Tape, xs []*Var) *Var { return t.CrossEntropy(xs[0], []int{3, 0, 4, 3}, 0.1, 0.25) },
			func(xs [][]float64) []float64 { return refCrossEntropy(xs[0], []int{3, 0, 4, 3}, 5, 0.1, 0.25) }},
		{"PrototypeCrossEntropy", [][]int{{4, 6}, {5, 6}, {5, 1}},
			func(t *Tape, xs []*Var) *Var {
				probs := make([]float32, len(targetProbs))
				for i, p := range targetProbs {
					probs[i] = float32(p)
				}
				target := tensor.FromSlice(t.Arena().Device(), probs, 2, 5)
				return t.PrototypeCrossEntropy(xs[0], xs[1], xs[2], target, tensor.NewPairs(targetRows), 1/0.4, 0.25)
			},
			func(xs [][]float64) []float64 {
				logits := refLinear(xs[0], refWeightNorm(xs[1], xs[2]), nil, 6, 5)
				return []float64{refSoftCrossEntropy(logits, targetProbs, targetRows, 5, 1/0.4, 0.25)}
			}},
	}
}

// forOperations runs a test for every operation with every table of kernels.
func forOperations(t *testing.T, f func(t *testing.T, dev *tensor.Device, op operation)) {
	for _, table := range kernels.Tables() {
		dev := tensor.NewCPU(table, 2)
		for _, op := range operations() {
			t.Run(table.Name+"/"+op.name, func(t *testing.T) { f(t, dev, op) })
		}
	}
}

// random is a tensor of N(0, 1) of that key.
func random(dev *tensor.Device, key uint64, shape ...int) *tensor.Tensor {
	x := tensor.New(dev, shape...)
	r := tensor.Stream(key)
	for i := range x.Data() {
		x.Data()[i] = float32(r.NormFloat64())
	}
	return x
}

// inputs are random Vars for the operation.
func (op operation) inputs(dev *tensor.Device) []*Var {
	var xs []*Var
	for i, s := range op.shapes {
		xs = append(xs, NewInput(random(dev, uint64(i+1), s...)))
	}
	return xs
}

func poisonedTape(dev *tensor.Device) *Tape {
	arena := tensor.NewArena(dev)
	arena.Poison()
	return NewTape(arena)
}

func float64s(xs []*Var) [][]float64 {
	var out [][]float64
	for _, x := range xs {
		var v []float64
		for _, f := range x.Value.Data() {
			v = append(v, float64(f))
		}
		out = append(out, v)
	}
	return out
}

// checkGradient compares grads with directional derivatives of Σ dy·ref(xs), by central differences in float64, and y with ref(xs).
func checkGradient(t *testing.T, y, dy *tensor.Tensor, ref func(xs [][]float64) []float64, xs []*Var, grads []*tensor.Tensor) {
	t.Helper()
	at := float64s(xs)
	want := ref(at)
	if len(want) != y.Len() {
		t.Fatalf("%d elements, want %d", y.Len(), len(want))
	}
	for i, w := range want {
		if d := math.Abs(float64(y.Data()[i]) - w); !(d <= 1e-5*max(1, math.Abs(w))) {
			t.Fatalf("y[%d] = %v, want %v", i, y.Data()[i], w)
		}
	}
	loss := func() (s float64) {
		for i, v := range ref(at) {
			s += v * float64(dy.Data()[i])
		}
		return s
	}
	const h = 1e-5
	for i := range xs {
		if grads[i] == nil {
			t.Errorf("input %d has no gradient", i)
			continue
		}
		for direction := range 3 {
			r := tensor.Stream(uint64(i), uint64(direction))
			u := make([]float64, len(at[i]))
			for j := range u {
				u[j] = r.NormFloat64()
			}
			step := func(h float64) {
				for j := range u {
					at[i][j] += h * u[j]
				}
			}
			step(h)
			up := loss()
			step(-2 * h)
			down := loss()
			step(h)
			want := (up - down) / (2 * h)
			got, size := 0.0, 0.0
			for j, g := range grads[i].Data() {
				got += float64(g) * u[j]
				size += math.Abs(float64(g) * u[j])
			}
			if d := math.Abs(got - want); !(d <= 1e-5*max(1, size)) {
				t.Errorf("input %d, direction %d: derivative %v, want %v", i, direction, got, want)
			}
		}
	}
}

func gradsOf(xs []*Var) []*tensor.Tensor {
	var grads []*tensor.Tensor
	for _, x := range xs {
		grads = append(grads, x.Grad)
	}
	return grads
}

func TestGradients(t *testing.T) {
	forOperations(t, func(t *testing.T, dev *tensor.Device, op operation) {
		tape, xs := poisonedTape(dev), op.inputs(dev)
		y := op.run(tape, xs)
		dy := random(dev, 99, y.Value.Shape()...)
		tape.BackwardFrom(y, dy)
		checkGradient(t, y.Value, dy, op.ref, xs, gradsOf(xs))
	})
}

// TestGradientsAdd uses every input in two operations, and as the result of another: the second gradient must add to the first, wherever
// its memory is. All intermediate Vars are done before Backward, which must find what it needs of them.
func TestGradientsAdd(t *testing.T) {
	forOperations(t, func(t *testing.T, dev *tensor.Device, op operation) {
		tape, xs := poisonedTape(dev), op.inputs(dev)
		var mids []*Var
		for _, x := range xs {
			mids = append(mids, tape.GELU(x))
		}
		y1, y2 := op.run(tape, mids), op.run(tape, mids)
		y := tape.Residual(y1, y2, nil)
		tape.Done(mids...)
		tape.Done(y1, y2)
		dy := random(dev, 99, y.Value.Shape()...)
		tape.BackwardFrom(y, dy)
		checkGradient(t, y.Value, dy, func(xs [][]float64) []float64 {
			var mids [][]float64
			for _, x := range xs {
				mids = append(mids, refGELU(x))
			}
			y := op.ref(mids)
			return refResidual(y, y, nil)
		}, xs, gradsOf(xs))
	})
}

// TestGradientsAddToParameters: gradients of parameters add up until ZeroGrad, whatever is in their memory then, and only the first pass takes
// any.
func TestGradientsAddToParameters(t *testing.T) {
	check := func(t *testing.T, i int, p *Var, once []float32, times float32) {
		t.Helper()
		for j, g := range p.Grad.Data() {
			if want := times * once[j]; !(math.Abs(float64(g-want)) <= 1e-5*max(1, math.Abs(float64(want)))) {
				t.Fatalf("parameter %d: gradient %d is %v, want %v", i, j, g, want)
			}
		}
	}
	forOperations(t, func(t *testing.T, dev *tensor.Device, op operation) {
		tape := poisonedTape(dev)
		var params []*Var
		for _, x := range op.inputs(dev) {
			params = append(params, NewParam(x.Value))
		}
		var once [][]float32
		var bytes int64
		for pass := range 3 {
			if pass == 2 {
				for i, p := range params {
					check(t, i, p, once[i], 2)
					tensor.Fill(p.Grad, float32(math.NaN()))
					p.ZeroGrad()
					if p.Grad != nil {
						t.Errorf("parameter %d has a gradient after ZeroGrad", i)
					}
				}
			}
			y := op.run(tape, params)
			tape.BackwardFrom(y, random(dev, 99, y.Value.Shape()...))
			tape.Reset()
			if pass == 0 {
				for _, p := range params {
					once = append(once, slices.Clone(p.Grad.Data()))
				}
				bytes = tape.Arena().Bytes()
			}
		}
		if got := tape.Arena().Bytes(); got != bytes {
			t.Errorf("the arena grew from %d to %d bytes in later passes", bytes, got)
		}
		for i, p := range params {
			check(t, i, p, once[i], 1)
		}
	})
}

// TestFrozen freezes each input in turn: it gets no gradient, and those of the others do not change.
func TestFrozen(t *testing.T) {
	forOperations(t, func(t *testing.T, dev *tensor.Device, op operation) {
		pass := func(frozen int) []*tensor.Tensor {
			tape, xs := poisonedTape(dev), op.inputs(dev)
			if frozen >= 0 {
				xs[frozen].Freeze()
			}
			y := op.run(tape, xs)
			if len(xs) == 1 && frozen == 0 {
				if y.NeedsGrad() || len(tape.undo) != 0 {
					t.Error("an operation on constants is recorded")
				}
			} else {
				tape.BackwardFrom(y, random(dev, 99, y.Value.Shape()...))
			}
			return gradsOf(xs)
		}
		all := pass(-1)
		for frozen := range op.shapes {
			for i, g := range pass(frozen) {
				switch {
				case i == frozen:
					if g != nil {
						t.Errorf("frozen input %d has a gradient", i)
					}
				case !slices.Equal(g.Data(), all[i].Data()):
					t.Errorf("gradient of input %d changes when input %d is frozen", i, frozen)
				}
			}
		}
	})
}

// TestEvalTape records nothing and computes the same.
func TestEvalTape(t *testing.T) {
	forOperations(t, func(t *testing.T, dev *tensor.Device, op operation) {
		xs := op.inputs(dev)
		want := op.run(poisonedTape(dev), xs)
		tape := NewEvalTape(tensor.NewArena(dev))
		got := op.run(tape, xs)
		if !slices.Equal(got.Value.Data(), want.Value.Data()) {
			t.Error("other results than of a tape that records")
		}
		if got.NeedsGrad() || len(tape.undo) != 0 {
			t.Error("the tape has recorded an operation")
		}
		defer func() {
			if recover() == nil {
				t.Error("Backward did not panic")
			}
		}()
		tape.BackwardFrom(got, got.Value)
	})
}

// TestGraphs checks random graphs of operations that share, copy and add gradients in different ways.
func TestGraphs(t *testing.T) {
	dev := tensor.NewCPU(kernels.Reference(), 1)
	const rows, cols = 3, 4
	scales := [][]float32{nil, residualScale}
	for seed := range uint64(60) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			tape := poisonedTape(dev)
			xs := []*Var{NewInput(random(dev, 1, rows, cols)), NewInput(random(dev, 2, rows, cols))}
			w := random(dev, 3, cols, cols)
			weight := float64s([]*Var{NewConst(w)})[0]
			nodes := slices.Clone(xs)
			var refs []func(nodes [][]float64) []float64
			r := tensor.Stream(seed)
			for range 3 + r.IntN(8) {
				a, b, kind := r.IntN(len(nodes)), r.IntN(len(nodes)), r.IntN(4)
				var y *Var
				switch kind {
				case 0, 1:
					scale := scales[kind]
					y = tape.Residual(nodes[a], nodes[b], factors(dev, scale))
					refs = append(refs, func(n [][]float64) []float64 { return refResidual(n[a], n[b], scale) })
				case 2:
					y = tape.Linear(nodes[a], NewConst(w), nil)
					refs = append(refs, func(n [][]float64) []float64 { return refLinear(n[a], weight, nil, cols, cols) })
				case 3:
					y = tape.Softmax(nodes[a])
					refs = append(refs, func(n [][]float64) []float64 { return refRows(n[a], cols, refSoftmax) })
				}
				nodes = append(nodes, y)
			}
			// The sum of all, so that every node counts and is used once more.
			y := nodes[0]
			for _, n := range nodes[1:] {
				y = tape.Residual(y, n, nil)
			}
			dy := random(dev, 99, rows, cols)
			tape.BackwardFrom(y, dy)
			checkGradient(t, y.Value, dy, func(xs [][]float64) []float64 {
				n := slices.Clone(xs)
				for _, f := range refs {
					n = append(n, f(n))
				}
				y := n[0]
				for _, v := range n[1:] {
					y = refResidual(y, v, nil)
				}
				return y
			}, xs, gradsOf(xs))
		})
	}
}

// factors are the scale of a residual branch, nil for nil.
func factors(dev *tensor.Device, scale []float32) *tensor.Tensor {
	if scale == nil {
		return nil
	}
	return tensor.FromSlice(dev, scale, len(scale))
}
