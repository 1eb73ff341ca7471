package cuda_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/godino-ml/godino/kernels/cuda"
	"github.com/godino-ml/godino/kernels/cuda/cudatest"
)

// A product to test: p without addresses, and what is to be wanted of it.
type product struct {
	cuda.Gemm
	bias, h, residual, sums bool
	activation              bool
	scale                   []float32
	pad                     int  // elements between the rows of every matrix
	offset                  int  // of every matrix in its memory, in elements
	inPlace                 bool // the residual is C
	special                 bool // A has NaN in a row of the first two samples each, Inf in one of the third

	exact []exact // elements of the product, and of op(A) times a column of ones
}

// exact is a sum in float64 and that of absolute values.
type exact struct{ sum, size float64 }

// TestGemm compares products with those in float64, in all modes: types, orientations, tiles, tails, alignments, parts and epilogues.
func TestGemm(t *testing.T) {
	shape := func(m, n, k int) cuda.Gemm { return cuda.Gemm{M: m, N: n, K: k, Alpha: 1} }
	types := []cuda.Gemm{{Type: cuda.BFloat16}, {Type: cuda.Float32, TF32: true}, {Type: cuda.Float32}}
	var products []product
	for i, typ := range types {
		add := func(p product) {
			p.Type, p.TF32 = typ.Type, typ.TF32
			products = append(products, p)
		}
		for o := range 4 {
			oriented := func(g cuda.Gemm) cuda.Gemm {
				g.TransA, g.TransB = o&1 != 0, o&2 != 0
				return g
			}
			add(product{Gemm: oriented(shape(1, 1, 1)), pad: 1, sums: true})
			add(product{Gemm: oriented(shape(70, 65, 133)), pad: 3, offset: 1, sums: true, bias: true})
			// A large tile with tails of every kind, in rows of 16 bytes.
			p := product{Gemm: oriented(shape(328, 200, []int{168, 104, 24}[i])), pad: 8, sums: true, bias: true, residual: true}
			p.TypeC = typ.Type
			add(p)
			// Parts.
			p = product{Gemm: oriented(shape(24, 40, []int{1200, 600, 600}[i])), sums: true, bias: o < 2}
			p.Beta = 1
			add(p)
		}
		for _, c := range []cuda.Type{cuda.Float32, cuda.BFloat16} {
			wanted := func(m, n, k int) product {
				p := product{Gemm: shape(m, n, k), bias: true}
				p.TransB, p.TypeC = true, c
				return p
			}
			p := wanted(33, 48, 40)
			p.GELU, p.h = true, true
			add(p)
			p = wanted(35, 45, 17) // unaligned
			p.GELU, p.residual, p.scale, p.SampleRows = true, true, []float32{0, 1, 1.25, 0}, 10
			add(p)
			p = wanted(56, 120, 64) // just less than tiles
			p.bias, p.MulGELUDerivative, p.activation, p.Alpha, p.TransB = false, true, true, 0.5, false
			add(p)
			p = wanted(20, 24, []int{1200, 600, 600}[i]) // parts
			p.residual, p.inPlace, p.scale, p.SampleRows = true, true, []float32{2, 0, 1, 0.5}, 5
			add(p)
			p = wanted(9, 17, 8)
			p.Beta, p.Alpha, p.MulGELUDerivative = -0.5, -2, true
			add(p)
			p = wanted(5, 8, 0)
			add(p)
			p = wanted(33, 47, 39)
			p.pad = 1 // rows are aligned, and their last piece is not whole
			p.residual, p.scale, p.SampleRows, p.special = true, []float32{0, 1, 1, 0}, 10, true
			add(p)
		}
		p := product{Gemm: shape(50, 0, 70), sums: true}
		p.TransA = true
		add(p)
	}
	cudatest.Modes(t, func(t *testing.T, d *cuda.Device) {
		for i := range products {
			p := &products[i]
			t.Run(p.name(), func(t *testing.T) { p.test(t, d) })
		}
	})
}

func (p *product) name() string {
	var s strings.Builder
	fmt.Fprintf(&s, "%v", p.Type)
	if p.TF32 {
		s.WriteString("(tf32)")
	}
	fmt.Fprintf(&s, "->%v %dx%dx%d", p.TypeC, p.M, p.N, p.K)
	for _, f := range []struct {
		on   bool
		name string
	}{{p.TransA, "transA"}, {p.TransB, "transB"}, {p.bias, "bias"}, {p.GELU, "gelu"}, {p.h, "h"}, {p.MulGELUDerivative, "gelu'"}, {p.residual, "residual"},
		{p.scale != nil, "scale"}, {p.Beta != 0, "beta"}, {p.sums, "sums"}, {p.special, "special"}} {
		if f.on {
			s.WriteString(" " + f.name)
		}
	}
	return s.String()
}

// matrix is host memory of rows that lie ld elements apart.
type matrix struct {
	x    []float32
	ld   int
	from int
}

func (m matrix) at(i, j int) float64 { return float64(m.x[m.from+i*m.ld+j]) }

func (p *product) matrix(r *rand.Rand, typ cuda.Type, rows, cols int) matrix {
	m := matrix{ld: max(1, cols+p.pad), from: p.offset}
	m.x = make([]float32, m.from+rows*m.ld+1)
	for i := range m.x {
		m.x[i] = float32(math.NaN()) // must not be used
	}
	for i := range rows {
		for j := range cols {
			m.x[m.from+i*m.ld+j] = float32(r.NormFloat64())
		}
	}
	m.x = cudatest.Round(typ, m.x)
	return m
}

func (m matrix) put(d *cuda.Device, typ cuda.Type) cuda.Ptr {
	return cudatest.Put(d, typ, m.x).Add(m.from, typ)
}

// toTF32 rounds to 10 bits of mantissa, ties away from zero.
func toTF32(x float64) float64 {
	return float64(math.Float32frombits((math.Float32bits(float32(x)) + 1<<12) &^ (1<<13 - 1)))
}

func (p *product) test(t *testing.T, d *cuda.Device) {
	r := rand.New(rand.NewPCG(1, uint64(p.M*p.N+p.K)))
	ra, ca, rb, cb := p.M, p.K, p.K, p.N
	if p.TransA {
		ra, ca = ca, ra
	}
	if p.TransB {
		rb, cb = cb, rb
	}
	a, b := p.matrix(r, p.Type, ra, ca), p.matrix(r, p.Type, rb, cb)
	c, h, residual := p.matrix(r, p.TypeC, p.M, p.N), p.matrix(r, p.TypeC, p.M, p.N), p.matrix(r, p.TypeC, p.M, p.N)
	vector := func(n int) matrix { q := product{offset: p.offset}; return q.matrix(r, cuda.Float32, 1, n) }
	bias, sums := vector(p.N), vector(p.M)
	if p.special {
		for i, v := range []float64{math.NaN(), math.NaN(), math.Inf(1)} {
			a.x[(i*p.SampleRows+i)*a.ld] = float32(v)
		}
	}
	for k := range c.x {
		if p.outside(c, k) {
			c.x[k] = 7 // a number, which nothing that is written by mistake is
		} else if p.Beta == 0 && !p.inPlace {
			c.x[k] = float32(math.NaN())
		}
	}
	c.x = cudatest.Round(p.TypeC, c.x)

	g := p.Gemm
	g.A, g.LDA, g.B, g.LDB, g.C, g.LDC = a.put(d, g.Type), a.ld, b.put(d, g.Type), b.ld, c.put(d, g.TypeC), c.ld
	if p.bias {
		g.Bias = bias.put(d, cuda.Float32)
	}
	if p.h || g.MulGELUDerivative {
		g.H = h.put(d, g.TypeC)
	}
	if p.activation {
		g.Activation = h.put(d, g.TypeC)
	}
	if p.residual {
		if g.Residual = residual.put(d, g.TypeC); p.inPlace {
			g.Residual, residual = g.C, c
		}
	}
	if p.scale != nil {
		g.Scale = cudatest.Put(d, cuda.Float32, p.scale)
	}
	if p.sums {
		g.RowSums = sums.put(d, cuda.Float32)
	}
	d.Gemm(&g)

	after := func(at cuda.Ptr, m matrix, typ cuda.Type) matrix {
		n := m
		n.x = cudatest.Get(d, at-cuda.Ptr(m.from*typ.Size()), typ, len(m.x))
		return n
	}
	unit := 0x1p-24 // of rounding to the type of C
	if g.TypeC == cuda.BFloat16 {
		unit = 0x1p-8
	}
	gotC, gotH, gotA, gotSums := after(g.C, c, g.TypeC), h, h, sums
	if p.activation {
		gotA = after(g.Activation, h, g.TypeC)
	}
	if g.H != 0 {
		gotH = after(g.H, h, g.TypeC)
	}
	if p.sums {
		gotSums = after(g.RowSums, sums, cuda.Float32)
	}
	if p.exact == nil {
		p.exact = p.multiply(a, b)
	}
	rounding := (4 + math.Sqrt(float64(p.K))) * 0x1p-23 // of a sum, relative to that of absolute values
	within := func(what string, i, j int, got, want, tolerance float64) {
		t.Helper()
		if math.IsNaN(want) && math.IsNaN(got) || math.IsInf(want, 0) && got == want {
			return
		}
		if !(math.Abs(got-want) <= tolerance) {
			t.Fatalf("%s[%d][%d] is %g, want %g; the bound is %.2g", what, i, j, got, want, tolerance)
		}
	}
	for i := range p.M {
		row := p.exact[i*(p.N+1):]
		if p.sums {
			sum, size := row[p.N].sum, row[p.N].size
			within("sums", 0, i, gotSums.at(0, i), sums.at(0, i)+sum, rounding*(size+math.Abs(sums.at(0, i))))
		}
		for j := range p.N {
			v, size := row[j].sum, row[j].size
			v *= float64(p.Alpha)
			e := rounding*size*math.Abs(float64(p.Alpha)) + 0x1p-22*math.Abs(v)
			round := func() { e += unit * math.Abs(v) * 1.01 }
			if p.bias {
				v += bias.at(0, j)
				e += 0x1p-23 * math.Abs(v)
			}
			if p.GELU {
				round()
				if p.h {
					within("H", i, j, gotH.at(i, j), v, e)
				}
				v, e = gelu64(v), 1.13*e
				e += max(unit/16, 0x1p-21) * math.Abs(v)
			}
			if p.MulGELUDerivative {
				f := geluDerivative64(h.at(i, j))
				e = e*math.Abs(f) + max(unit/16, 0x1p-21)*math.Abs(v)
				v *= f
				if p.activation {
					want := gelu64(h.at(i, j))
					within("Activation", i, j, gotA.at(i, j), want, 1.2*max(unit, 0x1p-21)*math.Abs(want))
				}
			}
			if p.residual {
				s := 1.
				if p.scale != nil {
					s = float64(p.scale[i/p.SampleRows])
				}
				if v, e = residual.at(i, j)+s*v, s*e; s == 0 {
					v, e = residual.at(i, j), 0
				}
			}
			if p.Beta != 0 {
				v += float64(p.Beta) * c.at(i, j)
				e += 0x1p-23 * math.Abs(float64(p.Beta)*c.at(i, j))
			}
			e += 0x1p-23 * math.Abs(v)
			round()
			within("C", i, j, gotC.at(i, j), v, e)
		}
	}
	// What is between the rows is as it was.
	for k, v := range c.x {
		if p.outside(c, k) && gotC.x[k] != v {
			t.Fatalf("element %d of C's memory, which is not C's, became %g", k, gotC.x[k])
		}
	}
}

// outside says that element k of C's memory is none of C's.
func (p *product) outside(c matrix, k int) bool {
	return k < c.from || (k-c.from)/c.ld >= p.M || (k-c.from)%c.ld >= p.N
}

func (p *product) multiply(a, b matrix) []exact {
	element := func(m matrix, trans bool, i, j int) float64 {
		if trans {
			i, j = j, i
		}
		return m.at(i, j)
	}
	factor := func(x float64) float64 {
		if p.TF32 {
			return toTF32(x)
		}
		return x
	}
	columns := make([]float64, (p.N+1)*p.K)
	for j := range p.N {
		for k := range p.K {
			columns[j*p.K+k] = factor(element(b, p.TransB, k, j))
		}
	}
	for k := range p.K {
		columns[p.N*p.K+k] = 1
	}
	products := make([]exact, 0, p.M*(p.N+1))
	row := make([]float64, p.K)
	for i := range p.M {
		for k := range row {
			row[k] = factor(element(a, p.TransA, i, k))
		}
		for j := range p.N + 1 {
			var e exact
			if j == p.N && !p.TransA { // rows are summed as they are
				for k := range row {
					row[k] = element(a, p.TransA, i, k)
				}
			}
			column := columns[j*p.K:][:p.K]
			for k, x := range row {
				x *= column[k]
				e.sum += x
				e.size += math.Abs(x)
			}
			products = append(products, e)
		}
	}
	return products
}

func gelu64(x float64) float64 { return x * math.Erfc(-x/math.Sqrt2) / 2 }

func geluDerivative64(x float64) float64 {
	return math.Erfc(-x/math.Sqrt2)/2 + x*math.Exp(-x*x/2)/math.Sqrt(2*math.Pi)
}
