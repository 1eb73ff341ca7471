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

// TestDropPathSamples: the share of samples that do not take a branch is the rate, the others make up for them, and every part of the key
// counts.
func TestDropPathSamples(t *testing.T) {
	const n, rate = 20000, 0.3
	tape := autograd.NewEvalTape(tensor.NewArena(tensor.CPU()))
	key := DropPath{Seed: 1, Step: step(2), Pass: 3}
	p := key.paths(tape, rate, 4, attentionBranch, n)
	if p.scale != float32(1/0.7) || !slices.IsSorted(p.samples) || p.samples[len(p.samples)-1] >= n {
		t.Fatalf("scale %v, want 1/0.7; samples %d…%d", p.scale, p.samples[0], p.samples[len(p.samples)-1])
	}
	if got := 1 - float64(len(p.samples))/n; !(math.Abs(got-rate) < 4*math.Sqrt(rate*(1-rate)/n)) {
		t.Errorf("%g dropped, want %g", got, rate)
	}
	if !slices.Equal(p.samples, key.paths(tape, rate, 4, attentionBranch, n).samples) {
		t.Error("the same key drops other branches")
	}
	for name, other := range map[string]paths{
		"seed":   (&DropPath{Seed: 9, Step: step(2), Pass: 3}).paths(tape, rate, 4, attentionBranch, n),
		"step":   (&DropPath{Seed: 1, Step: step(9), Pass: 3}).paths(tape, rate, 4, attentionBranch, n),
		"pass":   (&DropPath{Seed: 1, Step: step(2), Pass: 9}).paths(tape, rate, 4, attentionBranch, n),
		"block":  key.paths(tape, rate, 5, attentionBranch, n),
		"branch": key.paths(tape, rate, 4, mlpBranch, n),
	} {
		both := 0
		for _, i := range other.samples {
			if _, ok := slices.BinarySearch(p.samples, i); ok {
				both++
			}
		}
		if got, want := float64(both)/n, (1-rate)*(1-rate); !(math.Abs(got-want) < 4*math.Sqrt(want*(1-want)/n)) {
			t.Errorf("%g kept with both keys that differ in the %s, want %g", got, name, want)
		}
	}
	for _, p := range []paths{(*DropPath)(nil).paths(tape, rate, 4, mlpBranch, n), key.paths(tape, 0, 4, mlpBranch, n)} {
		if p.samples != nil || p.scale != 1 || p.some() {
			t.Error("drop path without a key or a rate")
		}
	}
}

// TestBlockDropPath: the branches of a block are dropped by their own keys, for some samples, for all and for none; the others are what they are
// without those that are dropped. A batch of one has all or none.
func TestBlockDropPath(t *testing.T) {
	dev := tensor.NewCPU(kernels.Best(), 1)
	for _, c := range []ViTConfig{small, full} {
		c.DropPathRate = 0.5
		m := NewVisionTransformer(dev, c, 1)
		lively(m)
		last := c.Depth - 1
		block := m.Blocks[last]
		kinds := map[[2]bool]int{}
		for _, n := range []int{64, 1, 1, 1, 1, 1, 1, 1, 1} {
			tape := autograd.NewTape(poisoned(dev))
			drop := &DropPath{Seed: uint64(len(kinds)), Step: step(uint64(kinds[[2]bool{}]))}
			x := autograd.NewConst(images(dev, n, 1, 8).View(n, 1, c.Dim))
			y := block.Forward(tape, tape.Residual(x, x, tensor.New(dev, n)), drop)
			attention, mlp := drop.paths(tape, 0.5, last, attentionBranch, n), drop.paths(tape, 0.5, last, mlpBranch, n)
			for i := range n {
				_, a := slices.BinarySearch(attention.samples, i)
				_, b := slices.BinarySearch(mlp.samples, i)
				kinds[[2]bool{a, b}]++
				// The block by its definition, on this sample alone.
				z := autograd.NewConst(x.Value.Slice(i, i+1))
				gamma := func(z *autograd.Var, g Param) *autograd.Var {
					if g.Var == nil {
						return z
					}
					return tape.LayerScale(z, g.Var)
				}
				if a {
					h := block.Attn.Proj.Forward(tape, block.Attn.heads(tape, block.Norm1.Forward(tape, z)))
					z = tape.Residual(z, gamma(h, block.Scale1), tensor.Scalar(dev, attention.scale))
				}
				if b {
					h := block.MLP.Forward(tape, block.Norm2.Forward(tape, z))
					z = tape.Residual(z, gamma(h, block.Scale2), tensor.Scalar(dev, mlp.scale))
				}
				for j, v := range y.Value.Slice(i, i+1).Data() {
					if d := math.Abs(float64(v - z.Value.Data()[j])); !(d <= 1e-5) {
						t.Fatalf("sample %d of %d, branches %v, %v: %v, want %v", i, n, a, b, v, z.Value.Data()[j])
					}
				}
			}
		}
		if len(kinds) != 4 {
			t.Errorf("%v: want both, either and none dropped", kinds)
		}
	}
}

func step(n uint64) *tensor.Count { return tensor.NewCount(tensor.CPU(), n) }
