package tensor

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/godino-ml/godino/kernels"
)

// mlpCase is an MLP with a residual, and room for what it makes.
type mlpCase struct {
	x, w1, b1, w2, b2, residual, dy *Tensor
	scale, y, a, h                  *Tensor
	dx, dw1, db1, dw2, db2          *Tensor
}

// newMLPCase makes inputs of that many samples, whose gradients are added to numbers, or overwritten if they are of dx.
func newMLPCase(dev *Device, samples, tokens, dim, hidden int, scale []float32) *mlpCase {
	m := &rowsMaker{dev: dev}
	return &mlpCase{
		x: m.in(samples, tokens, dim), w1: m.in(hidden, dim), b1: m.in(hidden), w2: m.in(dim, hidden), b2: m.in(dim),
		residual: m.in(samples, tokens, dim), dy: m.in(samples, tokens, dim), scale: factors(dev, scale),
		y: m.out(samples, tokens, dim), a: m.out(samples, tokens, hidden), h: m.out(samples, tokens, hidden),
		dx: m.out(samples, tokens, dim), dw1: m.in(hidden, dim), db1: m.in(hidden), dw2: m.in(dim, hidden), db2: m.in(dim),
	}
}

// factors are a scale, nil for nil.
func factors(dev *Device, scale []float32) *Tensor {
	if scale == nil {
		return nil
	}
	return FromSlice(dev, scale, len(scale))
}

// run goes forward and back; of dy, which is not scaled.
func (c *mlpCase) run() {
	MLPForward(c.y, c.a, c.h, c.x, c.w1, c.b1, c.w2, c.b2, c.residual, c.scale)
	MLPBackward(c.dx, c.dw1, c.db1, c.dw2, c.db2, c.dy, c.x, c.a, c.h, c.w1, c.w2, false, true, true)
}

// runApart does the same by one operation after the other.
func (c *mlpCase) runApart() {
	h, branch, da, dh := New(c.x.dev, c.a.shape...), New(c.x.dev, c.y.shape...), New(c.x.dev, c.a.shape...), New(c.x.dev, c.a.shape...)
	LinearForward(h, c.x, c.w1, c.b1)
	GELUForward(c.a, h)
	LinearForward(branch, c.a, c.w2, c.b2)
	Residual(c.y, c.residual, branch, c.scale)
	LinearBackward(da, c.dw2, c.db2, c.dy, c.a, c.w2, false, true)
	GELUBackward(dh, da, h, false)
	LinearBackward(c.dx, c.dw1, c.db1, dh, c.x, c.w1, false, true)
}

func (c *mlpCase) results() []*Tensor { return []*Tensor{c.y, c.dx, c.dw1, c.db1, c.dw2, c.db2} }

// TestMLP: as the operations apart, the same bits for any number of threads, and the same forward without what the backward needs.
func TestMLP(t *testing.T) {
	forTables(t, func(t *testing.T, table *kernels.Table) {
		for _, s := range []struct {
			samples, tokens, dim, hidden int
			scale                        []float32
		}{{1, 1, 1, 1, nil}, {3, 5, 7, 13, []float32{0, 1 / 0.9, 1}}, {5, 75, 40, 201, nil}, {5, 75, 40, 201, []float32{1, 0, 1 / 0.9, -2, 1}}} {
			t.Run(fmt.Sprint(s), func(t *testing.T) {
				dev := NewCPU(table, 2)
				apart := newMLPCase(dev, s.samples, s.tokens, s.dim, s.hidden, s.scale)
				apart.runApart()
				dev.pool.Close()
				var first *mlpCase
				for threads := 1; threads <= 3; threads++ {
					dev := NewCPU(table, threads)
					c := newMLPCase(dev, s.samples, s.tokens, s.dim, s.hidden, s.scale)
					c.run()
					for i, got := range c.results() {
						near(t, fmt.Sprint("result ", i), got, apart.results()[i], 2e-6)
						if first != nil && !slices.Equal(got.data, first.results()[i].data) {
							t.Errorf("result %d: other bits with %d threads than with 1", i, threads)
						}
					}
					if first == nil {
						first = c
					}
					without := newMLPCase(dev, s.samples, s.tokens, s.dim, s.hidden, s.scale)
					MLPForward(without.y, without.a, nil, without.x, without.w1, without.b1, without.w2, without.b2, without.residual, without.scale)
					if !slices.Equal(without.y.data, c.y.data) {
						t.Errorf("other bits without h")
					}
					dev.pool.Close()
				}
			})
		}
	})
}

// TestLinearResidual: as the operations apart; what drop path has dropped counts for nothing, even where it is NaN.
func TestLinearResidual(t *testing.T) {
	forTables(t, func(t *testing.T, table *kernels.Table) {
		dev := NewCPU(table, 2)
		defer dev.pool.Close()
		for _, scale := range [][]float32{nil, {1, 0, 1 / 0.9, -2}} {
			m := &rowsMaker{dev: dev}
			residual, x, w, bias := m.in(4, 75, 70), m.in(4, 75, 50), m.in(70, 50), m.in(70)
			got, want, branch := m.out(4, 75, 70), m.out(4, 75, 70), m.out(4, 75, 70)
			if scale != nil {
				x.data[75*50+3] = float32(math.NaN())
			}
			LinearForward(branch, x, w, bias)
			Residual(want, residual, branch, factors(dev, scale))
			LinearResidualForward(got, residual, x, w, bias, factors(dev, scale))
			near(t, fmt.Sprint("scale ", scale), got, want, 1e-6)
		}
	})
}
