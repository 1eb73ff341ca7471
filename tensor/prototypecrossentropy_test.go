package tensor

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/godino-ml/godino/kernels"
)

// prototypesCase is one cross-entropy of prototypes: its inputs, and room for its results.
type prototypesCase struct {
	z, v, g, target      *Tensor
	rows                 [][]int
	scale, weight        float32
	loss, lse, targetSum *Tensor
	dz, dv, dg           *Tensor
}

// newPrototypesCase makes random inputs: z of length 1, logits of up to spread, two targets.
func newPrototypesCase(dev *Device, r, d, k int, spread float32) *prototypesCase {
	m := &rowsMaker{dev: dev}
	c := &prototypesCase{
		z: m.in(r, d), v: m.in(k, d), g: m.in(k, 1), target: m.in(2, k), scale: 10, weight: 0.3,
		loss: m.out(r), lse: m.out(r), targetSum: m.out(2), dz: m.out(r, d), dv: New(dev, k, d), dg: New(dev, k, 1),
	}
	L2NormalizeForward(c.z, New(dev, r), c.z, 1e-12)
	Scale(c.g, spread)
	SoftmaxForward(c.target, c.target)
	for i := range r {
		c.rows = append(c.rows, [][]int{{1}, {0}, {0, 1}, {}}[i%4])
	}
	return c
}

func (c *prototypesCase) run() {
	PrototypeCrossEntropyForward(nil, c.loss, c.lse, c.targetSum, c.z, c.v, c.g, c.target, NewPairs(c.rows), c.scale)
	PrototypeCrossEntropyBackward(nil, nil, c.dz, c.dv, c.dg, c.z, c.v, c.g, c.target, c.lse, c.targetSum, NewPairs(c.rows), c.scale, c.weight, nil, false, true)
}

// reference computes the same in float64, with all logits at once.
func (c *prototypesCase) reference() (loss, dz, dv, dg []float64) {
	r, d, k := c.z.Rows(), c.z.Cols(), c.v.Rows()
	w, norm := make([]float64, k*d), make([]float64, k)
	for p := range k {
		for _, x := range c.v.data[p*d : (p+1)*d] {
			norm[p] += float64(x) * float64(x)
		}
		norm[p] = math.Sqrt(norm[p])
		for i, x := range c.v.data[p*d : (p+1)*d] {
			w[p*d+i] = float64(c.g.data[p]) * float64(x) / norm[p]
		}
	}
	loss, dz, dw := make([]float64, r), make([]float64, r*d), make([]float64, k*d)
	for row, targets := range c.rows {
		logits := make([]float64, k)
		largest, sum := math.Inf(-1), 0.0
		for p := range k {
			for i := range d {
				logits[p] += float64(c.z.data[row*d+i]) * w[p*d+i]
			}
			logits[p] *= float64(c.scale)
			largest = max(largest, logits[p])
		}
		for _, l := range logits {
			sum += math.Exp(l - largest)
		}
		lse := largest + math.Log(sum)
		for _, t := range targets {
			var all float64
			for p, l := range logits {
				all += float64(c.target.data[t*k+p])
				loss[row] -= float64(c.target.data[t*k+p]) * (l - lse)
			}
			for p, l := range logits {
				dl := float64(c.weight) * float64(c.scale) * (all*math.Exp(l-lse) - float64(c.target.data[t*k+p]))
				for i := range d {
					dz[row*d+i] += dl * w[p*d+i]
					dw[p*d+i] += dl * float64(c.z.data[row*d+i])
				}
			}
		}
	}
	dv, dg = make([]float64, k*d), make([]float64, k)
	for p := range k {
		for i := range d {
			dg[p] += dw[p*d+i] * float64(c.v.data[p*d+i]) / norm[p]
		}
		for i := range d {
			dv[p*d+i] = float64(c.g.data[p]) / norm[p] * (dw[p*d+i] - dg[p]*float64(c.v.data[p*d+i])/norm[p])
		}
	}
	return loss, dz, dv, dg
}

// closeTo64 fails unless got is within tol of want, relative to want's largest entry.
func closeTo64(t *testing.T, what string, got *Tensor, want []float64, tol float64) {
	t.Helper()
	largest := 0.0
	for _, w := range want {
		largest = max(largest, math.Abs(w))
	}
	for i, w := range want {
		if err := math.Abs(float64(got.data[i]) - w); !(err <= tol*largest) {
			t.Fatalf("%s: element %d is %g, want %g", what, i, got.data[i], w)
		}
	}
}

// TestPrototypeCrossEntropy compares loss and gradients with those of whole logits, for less than a block, whole blocks, several in a span,
// and a rest; and for logits beyond what exp can take.
func TestPrototypeCrossEntropy(t *testing.T) {
	forTables(t, func(t *testing.T, table *kernels.Table) {
		dev := NewCPU(table, 2)
		defer dev.pool.Close()
		for _, s := range []struct {
			r, d, k int
			spread  float32
		}{{1, 1, 1, 1}, {4, 3, 2, 1}, {5, 7, 63, 1}, {3, 20, 512, 1}, {6, 20, 513, 1}, {70, 33, 1100, 1}, {9, 8, 40*512 + 5, 2}, {1010, 20, 150, 1}, {5, 24, 1500, 40}} {
			t.Run(fmt.Sprint(s), func(t *testing.T) {
				c := newPrototypesCase(dev, s.r, s.d, s.k, s.spread)
				c.run()
				loss, dz, dv, dg := c.reference()
				// A logit of scale·spread is as wrong as float32 makes it, and exp multiplies it.
				tol := 2e-6 * float64(max(1, s.spread))
				closeTo64(t, "loss", c.loss, loss, tol)
				closeTo64(t, "dz", c.dz, dz, 10*tol)
				closeTo64(t, "dv", c.dv, dv, 10*tol)
				closeTo64(t, "dg", c.dg, dg, 10*tol)
			})
		}
	})
}

// TestPrototypeCrossEntropyScratch: neither logits nor weights of all prototypes are in memory at once, not even in the device's.
func TestPrototypeCrossEntropyScratch(t *testing.T) {
	dev := NewCPU(kernels.Best(), 2)
	defer dev.pool.Close()
	const r, d, k = 128, 128, 1 << 15
	newPrototypesCase(dev, r, d, k, 1).run()
	held := 0
	for _, list := range dev.scratchMem.free {
		for _, s := range list {
			held += cap(s)
		}
	}
	if held >= k*min(r, d)/2 {
		t.Errorf("%d elements of scratch memory: logits of %d, weights of %d", held, r*k, k*d)
	}
}

// TestPrototypeCrossEntropyNaN: one NaN among the prototypes makes every loss NaN, wherever its block is.
func TestPrototypeCrossEntropyNaN(t *testing.T) {
	dev := NewCPU(kernels.Best(), 2)
	defer dev.pool.Close()
	for _, at := range []int{0, 700, 1499} {
		c := newPrototypesCase(dev, 3, 8, 1500, 1)
		c.v.data[at*8+1] = float32(math.NaN())
		c.run()
		if i := slices.IndexFunc(c.loss.data, func(v float32) bool { return v == v }); i >= 0 {
			t.Errorf("prototype %d: loss %d is %g, want NaN", at, i, c.loss.data[i])
		}
	}
}
