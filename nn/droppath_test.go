package nn

import (
	"math"
	"slices"
	"testing"

	"github.com/godino-ml/godino/autograd"
	"github.com/godino-ml/godino/kernels"
	"github.com/godino-ml/godino/tensor"
)

func TestDropPathRates(t *testing.T) {
	c := ViTConfig{Depth: 5, DropPathRate: 0.1}
	for i, want := range []float64{0, 0.025, 0.05, 0.075, 0.1} {
		if got := c.dropRate(i); !(math.Abs(got-want) < 1e-12) {
			t.Errorf("block %d has rate %g, want %g", i, got, want)
		}
	}
	c.Depth = 1
	if got := c.dropRate(0); got != 0 {
		t.Errorf("an only block has rate %g, want 0", got)
	}
}

// TestDropPathScale: the share of dropped samples is the rate, the others make up for them, and every part of the key counts.
func TestDropPathScale(t *testing.T) {
	tape := autograd.NewEvalTape(tensor.NewArena(tensor.NewCPU(kernels.Reference(), 1)))
	const n, rate = 20000, 0.3
	key := DropPath{Seed: 1, Step: 2, Pass: 3}
	scale := key.scale(tape, rate, 4, attentionBranch, n)
	dropped := 0
	for _, s := range scale {
		switch s {
		case 0:
			dropped++
		case float32(1 / 0.7):
		default:
			t.Fatalf("scale %v, want 0 or 1/0.7", s)
		}
	}
	if got := float64(dropped) / n; !(math.Abs(got-rate) < 4*math.Sqrt(rate*(1-rate)/n)) {
		t.Errorf("%g dropped, want %g", got, rate)
	}
	if !slices.Equal(scale, key.scale(tape, rate, 4, attentionBranch, n)) {
		t.Error("the same key drops other branches")
	}
	for name, other := range map[string][]float32{
		"seed":   (&DropPath{Seed: 9, Step: 2, Pass: 3}).scale(tape, rate, 4, attentionBranch, n),
		"step":   (&DropPath{Seed: 1, Step: 9, Pass: 3}).scale(tape, rate, 4, attentionBranch, n),
		"pass":   (&DropPath{Seed: 1, Step: 2, Pass: 9}).scale(tape, rate, 4, attentionBranch, n),
		"block":  key.scale(tape, rate, 5, attentionBranch, n),
		"branch": key.scale(tape, rate, 4, mlpBranch, n),
	} {
		both := 0
		for i, s := range other {
			if s == 0 && scale[i] == 0 {
				both++
			}
		}
		if got, want := float64(both)/n, rate*rate; !(math.Abs(got-want) < 4*math.Sqrt(want/n)) {
			t.Errorf("%g dropped with both keys that differ in the %s, want %g", got, name, want)
		}
	}
	if (*DropPath)(nil).scale(tape, rate, 4, mlpBranch, n) != nil || key.scale(tape, 0, 4, mlpBranch, n) != nil {
		t.Error("drop path without a key or a rate")
	}
}

// TestBlockDropPath: the branches of a block are dropped by their own keys.
func TestBlockDropPath(t *testing.T) {
	dev := tensor.NewCPU(kernels.Best(), 1)
	c := small
	c.DropPathRate = 0.5
	m := NewVisionTransformer(dev, c, 1)
	lively(m)
	tape := autograd.NewTape(poisoned(dev))
	drop := &DropPath{Seed: 1}
	last := c.Depth - 1
	const n = 64
	x := autograd.NewConst(images(dev, n, 1, 8).View(n, 1, c.Dim))
	y := m.Blocks[last].Forward(tape, x, drop)
	full := m.Blocks[last].Forward(tape, x, nil)
	attention, mlp := drop.scale(tape, 0.5, last, attentionBranch, n), drop.scale(tape, 0.5, last, mlpBranch, n)
	kinds := map[[2]float32]int{}
	for i := range n {
		kinds[[2]float32{attention[i], mlp[i]}]++
		row := y.Value.Slice(i, i+1).Data()
		both := attention[i] == 0 && mlp[i] == 0
		if same := slices.Equal(row, x.Value.Slice(i, i+1).Data()); same != both {
			t.Errorf("sample %d, scales %v and %v: unchanged: %v", i, attention[i], mlp[i], same)
		}
		if slices.Equal(row, full.Value.Slice(i, i+1).Data()) {
			t.Errorf("sample %d, scales %v and %v: as without drop path", i, attention[i], mlp[i])
		}
	}
	if len(kinds) != 4 {
		t.Errorf("%v: want both, either and none dropped", kinds)
	}
}
