package tensor

import (
	"errors"
	"math"
	"testing"

	"github.com/godino-ml/godino/kernels"
)

// rowsCase runs one row-wise or elementwise operation with inputs from in, which gives the same numbers every time, and writes to tensors from
// out. With add, out holds numbers to be added to; without, NaN, which must be gone afterwards. Gradients of parameters come from grad: numbers
// always.
type rowsCase struct {
	name string
	run  func(m *rowsMaker, add bool)
}

// Eight chunks and a rest, so that the order of chunks and their partial sums matter.
const rowsR, rowsC = 301, 384

var rowsCases = []rowsCase{
	{"GELU", func(m *rowsMaker, add bool) {
		GELUBackward(m.out(rowsR, rowsC), m.in(rowsR, rowsC), m.in(rowsR, rowsC), add)
	}},
	{"Softmax", func(m *rowsMaker, add bool) {
		SoftmaxBackward(m.out(rowsR, rowsC), m.in(rowsR, rowsC), m.in(rowsR, rowsC), add)
	}},
	{"LogSoftmax", func(m *rowsMaker, add bool) {
		LogSoftmaxBackward(m.out(rowsR, rowsC), m.in(rowsR, rowsC), m.in(rowsR, rowsC), add)
	}},
	{"LayerNorm", func(m *rowsMaker, add bool) {
		LayerNormBackward(m.out(rowsR, rowsC), m.grad(rowsC), m.grad(rowsC), m.in(rowsR, rowsC), m.in(rowsR, rowsC), m.in(rowsC), m.in(rowsR), m.in(rowsR), add)
	}},
	{"L2Normalize", func(m *rowsMaker, add bool) {
		norm := m.in(rowsR) // some below eps, where the length counts as a constant
		L2NormalizeBackward(m.out(rowsR, rowsC), m.in(rowsR, rowsC), m.in(rowsR, rowsC), norm, 0.5, add)
	}},
	{"ScaleRows", func(m *rowsMaker, add bool) {
		ScaleRows(m.out(4, 71, rowsC), m.in(4, 71, rowsC), factors(m.dev, []float32{1, 0, 1 / 0.9, -2}), add)
	}},
	{"SelectSamples", func(m *rowsMaker, add bool) {
		SelectSamples(m.out(3, 71, rowsC), m.in(5, 71, rowsC), []int{0, 1, 4}, 1.5, add)
	}},
	{"Linear", func(m *rowsMaker, add bool) {
		LinearBackward(m.out(70, 40), m.out(50, 40), m.grad(50), m.in(70, 50), m.in(70, 40), m.in(50, 40), add, add)
	}},
	{"MLP", func(m *rowsMaker, add bool) {
		MLPBackward(m.out(70, 40), m.out(50, 40), m.grad(50), m.out(30, 50), m.grad(30), m.in(70, 30), m.in(70, 40), m.in(70, 50), m.in(70, 50), m.in(50, 40), m.in(30, 50), add, add, add)
	}},
	{"Prototypes", func(m *rowsMaker, add bool) {
		PrototypesBackward(nil, m.out(5, 40), m.out(30011, 40), m.grad(30011, 1), m.in(5, 30011), m.in(5, 40), m.in(30011, 40), m.in(30011, 1), add, add)
	}},
	{"PrototypeCrossEntropy", func(m *rowsMaker, add bool) {
		rows := [][]int{{1}, {0}, {0, 1}, {}, {1, 0, 1}}
		z, v, g, target, loss, lse, sum := m.in(5, 40), m.in(30011, 40), m.in(30011, 1), m.in(2, 30011), m.grad(5), m.grad(5), m.grad(2)
		PrototypeCrossEntropyForward(nil, loss, lse, sum, z, v, g, target, NewPairs(rows), 10)
		PrototypeCrossEntropyBackward(nil, nil, m.out(5, 40), m.out(30011, 40), m.grad(30011, 1), z, v, g, target, lse, sum, NewPairs(rows), 10, 0.3, nil, add, add)
	}},
	{"AdamW", func(m *rowsMaker, add bool) {
		c := kernels.AdamWCoefficients{Decay: 0.99, Beta1: 0.9, Beta2: 0.999, Rest1: 0.1, Rest2: 0.001, StepSize: 0.1, InvSqrtBias: 2, Eps: 1e-8, GradScale: 0.7, Momentum: 0.9}
		var steps []AdamWStep
		for _, rows := range []int{1, rowsR, 2, 0, 31} {
			v := m.grad(rows, rowsC)
			for i := range v.data {
				v.data[i] *= v.data[i]
			}
			s := AdamWStep{P: m.grad(rows, rowsC), M: m.grad(rows, rowsC), V: v, G: m.in(rows, rowsC), AdamWCoefficients: c}
			if rows != 2 {
				s.T = m.grad(rows, rowsC)
			}
			steps = append(steps, s)
		}
		AdamW(m.dev, steps)
	}},
	{"LARS", func(m *rowsMaker, add bool) {
		LARS(m.grad(rowsR, rowsC), m.grad(rowsR, rowsC), m.in(rowsR, rowsC), kernels.SGDCoefficients{LR: 0.1, Momentum: 0.9, Decay: 0.01, GradScale: 0.7}, 0.001)
	}},
	{"EMA", func(m *rowsMaker, add bool) {
		EMA(m.dev, []*Tensor{m.grad(3), m.grad(rowsR, rowsC)}, []*Tensor{m.in(3), m.in(rowsR, rowsC)}, Scalar(m.dev, 0.996))
	}},
	{"SumSquaresOf", func(m *rowsMaker, add bool) {
		sums := make([]float64, 4)
		xs := []*Tensor{m.in(3), nil, m.in(rowsR, rowsC), m.in(16385)}
		SumSquaresOf(m.dev, sums, xs)
		for i, s := range sums {
			m.grad(1).data[0] = float32(s)
			if x := xs[i]; x == nil && s != 0 || x != nil && s != SumSquares(x) {
				panic("SumSquaresOf a list is not SumSquares of each")
			}
		}
	}},
	{"SumRows", func(m *rowsMaker, add bool) { SumRows(m.grad(1500), m.in(rowsR, 1500)) }},
}

// rowsMaker makes the tensors of a rowsCase and keeps what was written.
type rowsMaker struct {
	dev   *Device
	add   bool
	key   uint64
	outs  []*Tensor
	prior [][]float32 // of outs, if added to
}

func (m *rowsMaker) in(shape ...int) *Tensor {
	t := New(m.dev, shape...)
	m.key++
	for i := range t.data {
		t.data[i] = 2*Uniform(m.key, uint64(i)) - 0.8
	}
	return t
}

func (m *rowsMaker) grad(shape ...int) *Tensor {
	t := m.in(shape...)
	m.outs, m.prior = append(m.outs, t), append(m.prior, nil)
	return t
}

func (m *rowsMaker) out(shape ...int) *Tensor {
	t := m.grad(shape...)
	last := len(m.prior) - 1
	if m.add {
		m.prior[last] = append([]float32(nil), t.data...)
	} else {
		m.prior[last] = make([]float32, len(t.data))
		Fill(t, float32(math.NaN()))
	}
	return t
}

// TestRowsAddOrOverwrite: with add an operation adds to what was there, without it the gradient does not depend on it.
func TestRowsAddOrOverwrite(t *testing.T) {
	forTables(t, func(t *testing.T, table *kernels.Table) {
		dev := NewCPU(table, 2)
		defer dev.pool.Close()
		for _, c := range rowsCases {
			over, added := &rowsMaker{dev: dev}, &rowsMaker{dev: dev, add: true}
			c.run(over, false)
			c.run(added, true)
			for k, o := range over.outs {
				for i, v := range o.data {
					want := v
					if over.prior[k] != nil {
						want += added.prior[k][i]
					}
					if got := added.outs[k].data[i]; !(math.Abs(float64(got-want)) <= 2e-6*(1+math.Abs(float64(v)))) {
						t.Fatalf("%s, result %d, element %d: %g added to, %g overwritten, want %g", c.name, k, i, got, v, want)
					}
				}
			}
		}
	})
}

// TestRowsThreads: the same bits for any number of threads.
func TestRowsThreads(t *testing.T) {
	forTables(t, func(t *testing.T, table *kernels.Table) {
		one, three := NewCPU(table, 1), NewCPU(table, 3)
		defer one.pool.Close()
		defer three.pool.Close()
		for _, c := range rowsCases {
			a, b := &rowsMaker{dev: one}, &rowsMaker{dev: three}
			c.run(a, false)
			c.run(b, false)
			for k := range a.outs {
				for i, v := range a.outs[k].data {
					if w := b.outs[k].data[i]; math.Float32bits(v) != math.Float32bits(w) {
						t.Fatalf("%s, result %d, element %d: %g on one thread, %g on three", c.name, k, i, v, w)
					}
				}
			}
		}
		m := &rowsMaker{dev: one}
		x := m.in(70000)
		y := FromSlice(three, x.data, x.shape...)
		if a, b := SumSquares(x), SumSquares(y); a != b {
			t.Errorf("SumSquares is %g on one thread, %g on three", a, b)
		}
	})
}

// TestRowsSums against float64.
func TestRowsSums(t *testing.T) {
	forTables(t, func(t *testing.T, table *kernels.Table) {
		dev := NewCPU(table, 2)
		defer dev.pool.Close()
		m := &rowsMaker{dev: dev}
		x, y := m.in(3, 16411), m.in(3, 16411)
		var sum, dot, squares, update float64
		for i, v := range x.data {
			a, b := float64(v), float64(y.data[i])
			sum, dot, squares, update = sum+a, dot+a*b, squares+a*a, update+(0.5*b+0.1*a)*(0.5*b+0.1*a)
		}
		for _, c := range []struct {
			name      string
			got, want float64
		}{
			{"Sum", Sum(x), sum}, {"Dot", Dot(x, y), dot}, {"SumSquares", SumSquares(x), squares},
			{"LARSTrust", float64(LARSTrust(x, y, 0.5, 0.1, 0.001)), 0.001 * math.Sqrt(squares) / math.Sqrt(update)},
			{"LARSTrust of 0", float64(LARSTrust(New(dev, 5), m.in(5), 1, 0, 0.001)), 1},
			{"SumSquares of nothing", SumSquares(New(dev, 0)), 0},
		} {
			if !(math.Abs(c.got-c.want) <= 1e-6*math.Abs(c.want)) {
				t.Errorf("%s = %v, want %v", c.name, c.got, c.want)
			}
		}
	})
}

// TestResidual: drop path scales a sample's branch, and one that is dropped is not even read; results may overwrite inputs.
func TestResidual(t *testing.T) {
	forTables(t, func(t *testing.T, table *kernels.Table) {
		dev := NewCPU(table, 2)
		defer dev.pool.Close()
		m := &rowsMaker{dev: dev}
		x, branch := m.in(3, 30, 700), m.in(3, 30, 700)
		Fill(branch.Slice(1, 2), float32(math.NaN()))
		scale := []float32{1, 0, 1 / 0.7}
		want := make([]float32, x.Len())
		for i, v := range x.data {
			want[i] = v
			if s := scale[i/21000]; s != 0 {
				want[i] += s * branch.data[i]
			}
		}
		y := m.out(3, 30, 700)
		Residual(y, x, branch, factors(dev, scale))
		Residual(x, x, branch, factors(dev, scale))
		for i, v := range want {
			if e := math.Abs(float64(y.data[i] - v)); !(e <= 5e-7) || x.data[i] != y.data[i] {
				t.Fatalf("element %d: %g, in place %g, want %g", i, y.data[i], x.data[i], v)
			}
		}
		// The same for a branch of samples 0 and 2 alone.
		some := New(dev, 2, 30, 700)
		SelectSamples(some, branch, []int{0, 2}, 1, false)
		Fill(branch, 0)
		ResidualSamples(y, y, some, []int{0, 2}, -2)
		ResidualSamples(branch, nil, some, []int{0, 2}, -2)
		for i, v := range branch.data {
			if e := math.Abs(float64(y.data[i] - x.data[i] - v)); !(e <= 2e-6) || (v == 0) != (i/21000 == 1) {
				t.Fatalf("element %d: %g with a branch of %g", i, y.data[i], v)
			}
		}
		a, b := m.in(50, 999), m.in(50, 999)
		AddForward(b, a, b)
		c := m.in(50, 999)
		for i := range c.data {
			c.data[i] = 2*Uniform(m.key-1, uint64(i)) - 0.8 + a.data[i]
			if b.data[i] != c.data[i] {
				t.Fatalf("AddForward(b, a, b)[%d] = %g, want %g", i, b.data[i], c.data[i])
			}
		}
	})
}

// TestCenteredSoftmax: as the softmax of what it is the softmax of, in place too.
func TestCenteredSoftmax(t *testing.T) {
	forTables(t, func(t *testing.T, table *kernels.Table) {
		dev := NewCPU(table, 2)
		defer dev.pool.Close()
		m := &rowsMaker{dev: dev}
		x, center, want, y := m.in(5, 4099), m.in(4099), m.out(5, 4099), m.out(5, 4099)
		for i, v := range x.data {
			want.data[i] = 25 * (v - center.data[i%4099])
		}
		SoftmaxForward(want, want)
		CenteredSoftmaxForward(y, x, center, Scalar(dev, 25), nil, nil)
		CenteredSoftmaxForward(x, x, center, Scalar(dev, 25), nil, nil)
		for i, v := range want.data {
			if !(math.Abs(float64(y.data[i]-v)) <= 2e-5*float64(v)+1e-38) || x.data[i] != y.data[i] {
				t.Fatalf("element %d: %g, in place %g, want %g", i, y.data[i], x.data[i], v)
			}
		}
	})
}

// TestL2NormalizeShortRow: a row shorter than eps is divided by eps, a constant; a longer one has length 1 and a gradient across itself.
func TestL2NormalizeShortRow(t *testing.T) {
	forTables(t, func(t *testing.T, table *kernels.Table) {
		dev := NewCPU(table, 1)
		x := FromSlice(dev, []float32{3, 4, 0.03, 0.04, 0, 0}, 3, 2)
		dy := FromSlice(dev, []float32{1, 2, 1, 2, 1, 2}, 3, 2)
		y, norm, dx := New(dev, 3, 2), New(dev, 3), New(dev, 3, 2)
		L2NormalizeForward(y, norm, x, 0.5)
		L2NormalizeBackward(dx, dy, y, norm, 0.5, false)
		for i, want := range []float32{0.6, 0.8, 0.06, 0.08, 0, 0} {
			if !(math.Abs(float64(y.data[i]-want)) <= 1e-7) {
				t.Errorf("y[%d] = %g, want %g", i, y.data[i], want)
			}
		}
		// Of the first row, (dy − y·(dy·y))/5 with dy·y = 2.2.
		for i, want := range []float32{-0.064, 0.048, 2, 4, 2, 4} {
			if !(math.Abs(float64(dx.data[i]-want)) <= 1e-6) {
				t.Errorf("dx[%d] = %g, want %g", i, dx.data[i], want)
			}
		}
	})
}

// TestRowsUnwanted: gradients that are nil are not wanted, and what the rest gives does not depend on it.
func TestRowsUnwanted(t *testing.T) {
	dev := NewCPU(kernels.Best(), 2)
	defer dev.pool.Close()
	m := &rowsMaker{dev: dev}
	dy, x, w, mean, rstd := m.in(9, 65), m.in(9, 65), m.in(65), m.in(9), m.in(9)
	dx, dw, db := m.out(9, 65), New(dev, 65), New(dev, 65)
	LayerNormBackward(dx, dw, db, dy, x, w, mean, rstd, false)
	dx2, dw2, db2 := m.out(9, 65), New(dev, 65), New(dev, 65)
	LayerNormBackward(dx2, nil, nil, dy, x, w, mean, rstd, false)
	LayerNormBackward(nil, dw2, nil, dy, x, w, mean, rstd, false)
	LayerNormBackward(nil, nil, db2, dy, x, w, mean, rstd, false)
	z, v, g, dlogits := m.in(9, 65), m.in(700, 65), m.in(700), m.in(9, 700)
	dz, dv, dg := m.out(9, 65), New(dev, 700, 65), New(dev, 700)
	PrototypesBackward(nil, dz, dv, dg, dlogits, z, v, g, false, true)
	dz2, dv2, dg2 := m.out(9, 65), New(dev, 700, 65), New(dev, 700)
	PrototypesBackward(nil, dz2, nil, nil, dlogits, z, v, g, false, true)
	PrototypesBackward(nil, nil, dv2, nil, dlogits, z, v, g, false, true)
	PrototypesBackward(nil, nil, nil, dg2, dlogits, z, v, g, false, true)
	for k, pair := range [][2]*Tensor{{dx, dx2}, {dw, dw2}, {db, db2}, {dz, dz2}, {dv, dv2}, {dg, dg2}} {
		for i, v := range pair[0].data {
			if v != pair[1].data[i] {
				t.Fatalf("gradient %d, element %d: %g with all wanted, %g alone", k, i, v, pair[1].data[i])
			}
		}
	}
}

// TestRowsShapeErrors: what does not fit panics with the operation's name.
func TestRowsShapeErrors(t *testing.T) {
	dev := NewCPU(kernels.Reference(), 1)
	a, b, row := New(dev, 3, 4), New(dev, 4, 3), New(dev, 4)
	for name, f := range map[string]func(){
		"GELUForward":            func() { GELUForward(a, b) },
		"GELUBackward":           func() { GELUBackward(a, b, a, false) },
		"SoftmaxForward":         func() { SoftmaxForward(a, b) },
		"CenteredSoftmaxForward": func() { CenteredSoftmaxForward(b, b, row, Scalar(dev, 1), nil, nil) },
		"LogSoftmaxBackward":     func() { LogSoftmaxBackward(a, a, b, true) },
		"LayerNormForward":       func() { LayerNormForward(b, nil, nil, b, row, row, 1e-6) },
		"LayerNormBackward":      func() { LayerNormBackward(nil, nil, nil, a, a, row, row, row, true) },
		"L2NormalizeForward":     func() { L2NormalizeForward(a, row, a, 1e-12) },
		"PrototypesForward":      func() { PrototypesForward(nil, a, a, b, row) },
		"PrototypesBackward":     func() { PrototypesBackward(nil, a, b, nil, New(dev, 3, 4), a, New(dev, 4, 4), row, true, true) },
		"AddForward":             func() { AddForward(a, a, b) },
		"Residual":               func() { Residual(a, a, a, New(dev, 2)) },
		"SelectSamples":          func() { SelectSamples(a, b, []int{2, 1, 0}, 1, false) },
		"ResidualSamples":        func() { ResidualSamples(b, b, a, []int{0, 1, 4}, 1) },
		"ScaleRows":              func() { ScaleRows(a, a, New(dev, 2), true) },
		"PrototypeCrossEntropyForward": func() {
			PrototypeCrossEntropyForward(nil, row, row, row, b, a, New(dev, 3), b, NewPairs([][]int{{0}, {0}, {0}, {4}}), 1)
		},
		"PrototypeCrossEntropyBackward": func() {
			PrototypeCrossEntropyBackward(nil, nil, a, nil, nil, b, a, New(dev, 3), b, row, row, NewPairs(make([][]int, 4)), 1, 1, nil, true, true)
		},
		"AdamW":   func() { AdamW(a.dev, []AdamWStep{{P: a, M: a, V: a, G: a}, {P: a, M: a, V: a, G: row}}) },
		"EMA":     func() { EMA(a.dev, []*Tensor{a}, []*Tensor{row}, Scalar(a.dev, 0.5)) },
		"Dot":     func() { Dot(a, row) },
		"SumRows": func() { SumRows(row, b) },
	} {
		func() {
			defer func() {
				var e *ShapeError
				if err, ok := recover().(error); !ok || !errors.As(err, &e) || e.Op != name {
					t.Errorf("%s: panic %v, want a ShapeError of that operation", name, e)
				}
			}()
			f()
		}()
	}
}

// TestScratch: memory is lent again, to one at a time.
func TestScratch(t *testing.T) {
	dev := NewCPU(kernels.Reference(), 1)
	a, b := dev.scratch(20000), dev.scratch(20000)
	if len(a) != 20000 || &a[0] == &b[0] {
		t.Fatalf("scratch lends %d floats, twice the same block: %v", len(a), &a[0] == &b[0])
	}
	dev.release(a)
	if c := dev.scratch(32768); &c[0] != &a[0] {
		t.Error("a block that was given back is not lent again")
	}
	if n := testing.AllocsPerRun(100, func() { dev.release(dev.scratch(1000)) }); n != 0 {
		t.Errorf("scratch allocates %v times in steady state", n)
	}
	if got := len(dev.scratch(0)); got != 0 {
		t.Errorf("scratch(0) has %d floats", got)
	}
}

// forTables runs f for every table of this CPU.
func forTables(t *testing.T, f func(t *testing.T, table *kernels.Table)) {
	for _, table := range kernels.Tables() {
		t.Run(table.Name, func(t *testing.T) { f(t, table) })
	}
}
