package autograd

import (
	"errors"
	"slices"
	"testing"

	"github.com/godino-ml/godino/kernels"
	"github.com/godino-ml/godino/tensor"
)

// TestMemoryOfBackward runs a long chain: activations stay until Reset, but no more than a few gradients exist at once.
func TestMemoryOfBackward(t *testing.T) {
	dev := tensor.NewCPU(kernels.Reference(), 1)
	const n, depth = 1000, 50
	tape := poisonedTape(dev)
	x := NewInput(random(dev, 1, n))
	y := x
	for range depth {
		y = tape.Residual(y, tape.GELU(y), nil)
	}
	forward := tape.Arena().MaxBytes()
	tape.BackwardFrom(y, random(dev, 2, n))
	// One passes along the residual stream, one shared with the branch is copied when it is added to.
	if got, limit := tape.Arena().MaxBytes()-forward, int64(3*n*4); got > limit {
		t.Errorf("backward takes %d bytes beyond the activations, want at most %d", got, limit)
	}
	if x.Grad == nil {
		t.Fatal("the input has no gradient")
	}
	tape.Reset()
	if x.Grad != nil {
		t.Error("the input's gradient outlives the memory it was lent")
	}
}

// TestDone evaluates a long chain in the memory of two tensors. A tape that records keeps what a backward reads, and frees it on the way back.
func TestDone(t *testing.T) {
	dev := tensor.NewCPU(kernels.Reference(), 1)
	const n, depth = 1000, 20
	for _, record := range []bool{false, true} {
		arena := tensor.NewArena(dev)
		arena.Poison()
		tape := NewEvalTape(arena)
		want := int64(2 * n * 4)
		if record {
			tape, want = NewTape(arena), depth*n*4
		}
		y := tape.GELU(NewInput(random(dev, 1, n)))
		for range depth - 1 {
			z := tape.GELU(y)
			tape.Done(y)
			y = z
		}
		if got := arena.MaxBytes(); got != want {
			t.Errorf("recording %v: %d bytes, want %d", record, got, want)
		}
		if v := y.Value.Data()[0]; v != v {
			t.Errorf("recording %v: the result is gone", record)
		}
		if !record {
			continue
		}
		tape.BackwardFrom(y, random(dev, 2, n))
		if got := arena.MaxBytes(); got > want+2*n*4 {
			t.Errorf("%d bytes after Backward, want at most two gradients more than %d", got, want)
		}
		// The memory of activations is back: as many tensors again take none.
		held := arena.Bytes()
		for range depth - 2 {
			arena.New(n)
		}
		if arena.Bytes() != held {
			t.Errorf("Backward has not given back the activations: the arena grew from %d to %d bytes", held, arena.Bytes())
		}
	}
}

// TestTwoTapes carries a gradient from one tape to another, as when a head runs in pieces on the features of a backbone.
func TestTwoTapes(t *testing.T) {
	dev := tensor.NewCPU(kernels.Reference(), 1)
	x := NewInput(random(dev, 1, 4, 3))
	outer, inner := poisonedTape(dev), poisonedTape(dev)
	features := outer.GELU(x)
	y := inner.Softmax(features)
	dy := random(dev, 2, 4, 3)
	inner.BackwardFrom(y, dy)
	outer.BackwardFrom(features, features.Grad)
	ref := func(xs [][]float64) []float64 { return refRows(refGELU(xs[0]), 3, refSoftmax) }
	checkGradient(t, y.Value, dy, ref, []*Var{x}, gradsOf([]*Var{x}))
	inner.Reset()
	outer.Reset()
}

// TestBackwardFromParameter adds to the parameter's gradient, and leaves dy alone.
func TestBackwardFromParameter(t *testing.T) {
	dev := tensor.NewCPU(kernels.Reference(), 1)
	p := NewParam(random(dev, 1, 2))
	dy := tensor.FromSlice(dev, []float32{3, 5}, 2)
	tape := poisonedTape(dev)
	for range 2 {
		tape.BackwardFrom(p, dy)
		tape.Reset()
	}
	if got := p.Grad.Data(); !slices.Equal(got, []float32{6, 10}) || !slices.Equal(dy.Data(), []float32{3, 5}) {
		t.Errorf("gradient %v of dy %v", got, dy.Data())
	}
}

// TestZeroGradKeepsMemory: a gradient that reaches a parameter as another's is copied to the parameter's own memory, which outlives the pass.
func TestZeroGradKeepsMemory(t *testing.T) {
	dev := tensor.NewCPU(kernels.Reference(), 1)
	p := NewParam(random(dev, 1, 2))
	memory := p.Grad
	p.ZeroGrad()
	tape := poisonedTape(dev)
	y := tape.GELU(tape.Residual(p, NewConst(random(dev, 2, 2)), nil))
	tape.BackwardFrom(y, random(dev, 3, 2))
	tape.Reset()
	if p.Grad != memory {
		t.Fatalf("the gradient is in other memory after ZeroGrad and a pass: %v", p.Grad)
	}
	if g := p.Grad.Data()[0]; g != g {
		t.Error("the gradient has gone with the pass")
	}
}

// TestFreeze takes and gives a parameter's gradient.
func TestFreeze(t *testing.T) {
	dev := tensor.NewCPU(kernels.Reference(), 1)
	p := NewParam(random(dev, 1, 2))
	p.Grad.Data()[0] = 7
	p.Unfreeze()
	if p.Grad.Data()[0] != 7 {
		t.Error("Unfreeze of a parameter that is not frozen clears its gradient")
	}
	p.Freeze()
	if p.NeedsGrad() || p.Grad != nil {
		t.Error("a frozen parameter keeps its gradient")
	}
	p.Unfreeze()
	if !p.NeedsGrad() || p.Grad == nil || p.Grad.Data()[0] != 0 {
		t.Error("Unfreeze gives no gradient of zeros")
	}
}

// TestShapeErrors: a mistake names the operation and the shapes.
func TestShapeErrors(t *testing.T) {
	dev := tensor.NewCPU(kernels.Reference(), 1)
	v := func(shape ...int) *Var { return NewInput(tensor.New(dev, shape...)) }
	cases := map[string]func(t *Tape){
		"Linear":             func(t *Tape) { t.Linear(v(2, 5), v(3, 4), nil) },
		"Linear bias":        func(t *Tape) { t.Linear(v(2, 4), v(3, 4), v(4)) },
		"LayerNorm":          func(t *Tape) { t.LayerNorm(v(2, 5), v(4), v(5), 1e-6) },
		"Attention":          func(t *Tape) { t.Attention(v(2, 5, 8), 2) },
		"Attention heads":    func(t *Tape) { t.Attention(v(2, 5, 9), 0) },
		"Residual":           func(t *Tape) { t.Residual(v(2, 5), v(5, 2), nil) },
		"LinearResidual":     func(t *Tape) { t.LinearResidual(v(2, 5), v(2, 4), v(3, 4), nil, nil) },
		"MLP":                func(t *Tape) { t.MLP(v(2, 5), v(7, 5), v(7), v(5, 6), v(5), nil, nil) },
		"MLP residual":       func(t *Tape) { t.MLP(v(2, 5), v(7, 5), v(7), v(5, 7), v(5), v(2, 4), nil) },
		"MLP scale":          func(t *Tape) { t.MLP(v(2, 5), v(7, 5), v(7), v(5, 7), v(5), v(2, 5), tensor.New(dev, 3)) },
		"Residual scale":     func(t *Tape) { t.Residual(v(2, 5), v(2, 5), tensor.New(dev, 5)) },
		"Prototypes":         func(t *Tape) { t.Prototypes(v(2, 5), v(4, 5), v(5, 1)) },
		"Patchify":           func(t *Tape) { t.Patchify(v(3, 8, 8), 4) },
		"Patchify patch":     func(t *Tape) { t.Patchify(v(1, 3, 8, 8), 0) },
		"ConcatTokens":       func(t *Tape) { t.ConcatTokens(v(1, 1, 4), v(2, 3, 4), v(1, 3, 4)) },
		"ConcatTokens class": func(t *Tape) { t.ConcatTokens(v(1, 1, 5), v(2, 3, 4), v(1, 4, 4)) },
		"InterpolatePos":     func(t *Tape) { t.InterpolatePos(v(1, 9, 4), tensor.NewPosMap(3, 2, 2, 0)) },
		"NewPosMap":          func(t *Tape) { tensor.NewPosMap(3, 0, 2, 0) },
		"LayerScale":         func(t *Tape) { t.LayerScale(v(2, 5), v(4)) },
		"InsertTokens":       func(t *Tape) { t.InsertTokens(v(2, 3, 4), v(1, 2, 5), 1) },
		"InsertTokens at":    func(t *Tape) { t.InsertTokens(v(2, 3, 4), v(1, 2, 4), 4) },
		"RemoveTokens":       func(t *Tape) { t.RemoveTokens(v(2, 3, 4), 2, 2) },
		"RemoveTokens count": func(t *Tape) { t.RemoveTokens(v(2, 3, 4), 0, 4) },
		"AntialiasPosMap":    func(t *Tape) { tensor.NewAntialiasPosMap(3, 0, 2, 0) },
		"SelectToken":        func(t *Tape) { t.SelectToken(v(2, 3, 4), 3) },
		"SelectToken rank":   func(t *Tape) { t.SelectToken(v(2, 3), 0) },
		"ConcatRows":         func(t *Tape) { t.ConcatRows(v(2, 3), v(2, 4)) },
		"ConcatRows of none": func(t *Tape) { t.ConcatRows() },
		"PrototypeCrossEntropy": func(t *Tape) {
			t.PrototypeCrossEntropy(v(2, 5), v(3, 5), v(3, 1), tensor.New(dev, 2, 4), tensor.NewPairs([][]int{{0}, {1}}), 1, 1)
		},
		"Backward":     func(t *Tape) { t.Backward(t.GELU(v(2))) },
		"BackwardFrom": func(t *Tape) { t.BackwardFrom(t.GELU(v(2)), tensor.New(dev, 1, 2)) },
	}
	for name, f := range cases {
		t.Run(name, func(t *testing.T) {
			defer func() {
				e, _ := recover().(error)
				var shape *tensor.ShapeError
				if !errors.As(e, &shape) {
					t.Fatalf("panic with %v, want a *tensor.ShapeError", e)
				}
				if shape.Op == "" || shape.Want == "" {
					t.Errorf("%v does not say what is wrong", shape)
				}
			}()
			f(poisonedTape(dev))
		})
	}
}

// TestThreads: a training pass gives the same bits for any number of threads.
func TestThreads(t *testing.T) {
	for _, table := range kernels.Tables() {
		var want []float32
		for _, threads := range []int{1, 2, 3} {
			dev := tensor.NewCPU(table, threads)
			x, w, b := NewParam(random(dev, 1, 70, 90)), NewParam(random(dev, 2, 110, 90)), NewParam(random(dev, 3, 110))
			// So many prototypes that some spans of the sum over them have several blocks.
			const outputs = 40 * 512
			v, g, target := NewParam(random(dev, 6, outputs, 110)), NewParam(random(dev, 4, outputs, 1)), tensor.New(dev, 2, outputs)
			tensor.SoftmaxForward(target, random(dev, 5, 2, outputs))
			rows := make([][]int, 70)
			for i := range rows {
				rows[i] = []int{i % 2}
			}
			tape := poisonedTape(dev)
			h := tape.LayerNorm(tape.GELU(tape.Linear(x, w, b)), b, b, 1e-6)
			w1, w2 := NewParam(random(dev, 7, 300, 110)), NewParam(random(dev, 8, 110, 300))
			h = tape.MLP(h, w1, nil, w2, b, h, nil)
			loss := tape.PrototypeCrossEntropy(tape.L2Normalize(h, 1e-12), v, g, target, tensor.NewPairs(rows), 10, 1./70)
			tape.Backward(loss)
			got := slices.Concat(loss.Value.Data(), x.Grad.Data(), w.Grad.Data(), b.Grad.Data(), v.Grad.Data(), g.Grad.Data(), w1.Grad.Data(), w2.Grad.Data())
			if want == nil {
				want = got
			}
			if !slices.Equal(got, want) {
				t.Errorf("%s: other bits with %d threads than with 1", table.Name, threads)
			}
		}
	}
}

// TestPassReusesVars: a pass of the same operations as the last makes no Vars, and those it reuses remember nothing.
func TestPassReusesVars(t *testing.T) {
	dev := tensor.NewCPU(kernels.Reference(), 1)
	tape := poisonedTape(dev)
	x := NewInput(random(dev, 1, 2, 3))
	first := tape.Softmax(tape.GELU(x))
	tape.Done(first)
	tape.BackwardFrom(first, random(dev, 2, 2, 3))
	tape.Reset()
	if first.Value != nil {
		t.Error("a Var's Value outlives Reset")
	}
	constant := NewConst(random(dev, 1, 5))
	tape.GELU(constant)
	second := tape.GELU(constant)
	if second != first {
		t.Error("the second pass has a Var of its own")
	}
	if second.NeedsGrad() || second.Grad != nil || second.done || second.kept || !slices.Equal(second.Shape(), []int{5}) {
		t.Errorf("a Var of the second pass remembers the first: %+v", second)
	}
}

// TestDoneRecomputes: the output of a norm that is Done is not held until Backward, and the gradients are those of one that is.
func TestDoneRecomputes(t *testing.T) {
	dev := tensor.CPU()
	fill := func(seed uint64, shape ...int) *tensor.Tensor {
		x := tensor.New(dev, shape...)
		for i := range x.Data() {
			x.Data()[i] = tensor.Uniform(seed, uint64(i)) - 0.3
		}
		return x
	}
	pass := func(done bool) []float32 {
		tape := NewTape(tensor.NewArena(dev))
		x := NewInput(fill(1, 5, 8))
		w, b, m, n := NewParam(fill(2, 8)), NewParam(fill(3, 8)), NewParam(fill(4, 6, 8)), NewParam(fill(5, 1, 6))
		norm := tape.LayerNorm(x, w, b, 1e-6)
		// Two operations read it.
		y := tape.Linear(norm, m, nil)
		z := tape.Linear(norm, m, nil)
		if done {
			tape.Done(norm)
			if norm.Value != nil {
				t.Error("Done holds the output of a norm")
			}
		}
		sum := tape.Linear(tape.Residual(y, z, nil), n, nil)
		dy := fill(6, 5, 1)
		tape.BackwardFrom(sum, dy)
		if done && norm.Value != nil {
			t.Error("the output of a norm is held after Backward")
		}
		var all []float32
		for _, v := range []*Var{x, w, b, m, n} {
			all = append(all, v.Grad.Data()...)
		}
		return all
	}
	if held, again := pass(false), pass(true); !slices.Equal(held, again) {
		t.Errorf("gradients differ:\n%v\n%v", held, again)
	}
}
