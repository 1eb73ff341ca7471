package kernels

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
)

// gemmTables are the tables of this CPU, and for each that has bf16 one with this as Gemm and attention, the plain Go ones too.
func gemmTables() []*Table {
	tables := Tables()
	for _, t := range Tables() {
		if t.Name == "reference" {
			t = WithBF16(t)
		}
		if t.GemmBF16 != nil {
			bf16 := *t
			bf16.Name, bf16.Gemm = t.Name+" in bf16", *t.GemmBF16
			bf16.AttentionForward, bf16.AttentionBackward = t.AttentionForwardBF16, t.AttentionBackwardBF16
			tables = append(tables, &bf16)
		}
	}
	return tables
}

// operand draws a number that a packed element holds as it is.
func (g *GemmKernel) operand(r *rand.Rand) float32 {
	x := r.Float32()*2 - 1
	if g.Terms == 2 {
		x = roundBF16(x)
	}
	return x
}

// productCase is one matrix product to be tested.
type productCase struct {
	transA, transB bool
	m, n, k        int
	alpha, beta    float32
	padA, padB     int // what leading dimensions exceed the columns by
	padC           int
	offset         int // of every matrix in its memory
	sums, finish   bool
}

func (p productCase) String() string {
	return fmt.Sprintf("%v,%v %dx%dx%d alpha=%g beta=%g pad=%d,%d,%d offset=%d sums=%v finish=%v", p.transA, p.transB, p.m, p.n, p.k, p.alpha, p.beta, p.padA, p.padB,
		p.padC, p.offset, p.sums, p.finish)
}

const gemmGuard = 40 // elements before and after C

// check computes p with a table and compares with the product in float64; the bound is k·eps·Σ|a||b|, which no order of float32 additions
// exceeds.
func (p productCase) check(t *testing.T, table *Table, r *rand.Rand) {
	t.Helper()
	rowsA, colsA, rowsB, colsB := p.m, p.k, p.k, p.n
	if p.transA {
		rowsA, colsA = colsA, rowsA
	}
	if p.transB {
		rowsB, colsB = colsB, rowsB
	}
	lda, ldb, ldc := colsA+p.padA, colsB+p.padB, p.n+p.padC
	nan := float32(math.NaN())
	matrix := func(rows, cols, ld int) (memory, m []float32) {
		memory = filledWith(nan, p.offset+rows*ld+gemmGuard)
		m = memory[p.offset : p.offset+max(0, (rows-1)*ld+cols)]
		for i := range rows {
			for j := range cols {
				m[i*ld+j] = table.Gemm.operand(r)
			}
		}
		return memory, m
	}
	_, a := matrix(rowsA, colsA, lda)
	_, b := matrix(rowsB, colsB, ldb)
	a0, b0 := append([]float32(nil), a...), append([]float32(nil), b...)
	memory := filledWith(nan, p.offset+gemmGuard+p.m*ldc+gemmGuard)
	c := memory[p.offset+gemmGuard:][:max(0, (p.m-1)*ldc+p.n)]
	if p.beta != 0 {
		for i := range p.m {
			for j := range p.n {
				c[i*ldc+j] = r.Float32()*2 - 1
			}
		}
	}
	before := append([]float32(nil), memory...)
	c0 := before[p.offset+gemmGuard:]
	x := Product{TransA: p.transA, TransB: p.transB, M: p.m, N: p.n, K: p.k, Alpha: p.alpha, A: a, LDA: lda, B: b, LDB: ldb, Beta: p.beta, D: c, LDD: ldc, C: c, LDC: ldc}
	var sums, sums0 []float32
	if p.sums {
		sums = randomSlice(r, p.m+gemmGuard)
		sums0 = append(sums0, sums...)
		x.RowSums = sums[:p.m]
	}
	// What Finish saw, and how often.
	seen, times := make([]float32, p.m*p.n), make([]int, p.m*p.n)
	if p.finish {
		x.Finish = func(i0, j0, rows, cols int) {
			for i := i0; i < i0+rows; i++ {
				for j := j0; j < j0+cols; j++ {
					seen[i*p.n+j] = c[i*ldc+j]
					times[i*p.n+j]++
					c[i*ldc+j] = 0
				}
			}
		}
	}
	work := filledWith(nan, table.GemmWork(&x))

	table.GemmSerial(&x, work)

	if p.finish {
		for i := range p.m {
			for j := range p.n {
				if times[i*p.n+j] != 1 || c[i*ldc+j] != 0 {
					t.Fatalf("%s %v: c[%d][%d] is finished %d times and is %g", table.Name, p, i, j, times[i*p.n+j], c[i*ldc+j])
				}
				c[i*ldc+j] = seen[i*p.n+j]
			}
		}
	}
	for i, before := range sums0 {
		want, bound := float64(before), math.Abs(float64(before))
		if i < p.m && p.alpha != 0 {
			for q := range p.k {
				at := i*lda + q
				if p.transA {
					at = q*lda + i
				}
				v := float64(a[at])
				want += v
				bound += math.Abs(v)
			}
			bound *= float64(p.k + 2)
		} else {
			bound = 0
		}
		if err := math.Abs(float64(sums[i]) - want); !(err <= 0x1p-24*bound) {
			t.Fatalf("%s %v: the sum of row %d is %g, want %g", table.Name, p, i, sums[i], want)
		}
	}

	for i := range p.m {
		for j := range p.n {
			var sum, bound float64
			for q := range p.k {
				ai, bi := i*lda+q, q*ldb+j
				if p.transA {
					ai = q*lda + i
				}
				if p.transB {
					bi = j*ldb + q
				}
				v := float64(a[ai]) * float64(b[bi])
				sum += v
				bound += math.Abs(v)
			}
			want := float64(p.alpha) * sum
			bound *= math.Abs(float64(p.alpha)) * float64(p.k+2)
			if p.beta != 0 {
				want += float64(p.beta) * float64(c0[i*ldc+j])
				bound += 2 * math.Abs(float64(p.beta)*float64(c0[i*ldc+j]))
			}
			if err := math.Abs(float64(c[i*ldc+j]) - want); !(err <= 0x1p-24*(bound+2*math.Abs(want))) {
				t.Fatalf("%s %v: c[%d][%d] is %g, want %g", table.Name, p, i, j, c[i*ldc+j], want)
			}
			before[p.offset+gemmGuard+i*ldc+j] = c[i*ldc+j]
		}
	}
	same(t, fmt.Sprintf("%s %v: memory around c", table.Name, p), memory, before)
	same(t, fmt.Sprintf("%s %v: a", table.Name, p), a, a0)
	same(t, fmt.Sprintf("%s %v: b", table.Name, p), b, b0)
}

// multiply computes C = alpha·op(A)·op(B) + beta·C, as BLAS.
func multiply(t *Table, transA, transB bool, m, n, k int, alpha float32, a []float32, lda int, b []float32, ldb int, beta float32, c []float32, ldc int) {
	p := Product{TransA: transA, TransB: transB, M: m, N: n, K: k, Alpha: alpha, A: a, LDA: lda, B: b, LDB: ldb, Beta: beta, D: c, LDD: ldc, C: c, LDC: ldc}
	t.GemmSerial(&p, make([]float32, t.GemmWork(&p)))
}

func filledWith(v float32, n int) []float32 {
	s := make([]float32, n)
	for i := range s {
		s[i] = v
	}
	return s
}

// same fails unless all bits agree.
func same(t *testing.T, what string, got, want []float32) {
	t.Helper()
	for i := range want {
		if math.Float32bits(got[i]) != math.Float32bits(want[i]) {
			t.Fatalf("%s: element %d is %g, was %g", what, i, got[i], want[i])
		}
	}
}

// TestGemmShapes covers every number of rows and columns up to two tiles and one more, with some depth, at all transpositions, and with
// strides, offsets, alphas and betas drawn for each.
func TestGemmShapes(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	alphas, betas := []float32{1, -.5, 0, 2}, []float32{0, 1, -2, .25}
	for _, table := range gemmTables() {
		depths := []int{0, 1, 2, 3, 4, 5, 7, 8, 9, 16, 17}
		for m := 0; m <= 2*table.Gemm.MR+1; m++ {
			for n := 0; n <= 2*table.Gemm.NR+1; n++ {
				p := productCase{transA: r.IntN(2) == 0, transB: r.IntN(2) == 0, m: m, n: n, k: depths[r.IntN(len(depths))],
					alpha: alphas[r.IntN(4)], beta: betas[r.IntN(4)], padA: r.IntN(4), padB: r.IntN(4), padC: r.IntN(4), offset: r.IntN(8), sums: r.IntN(2) == 0, finish: r.IntN(2) == 0}
				p.check(t, table, r)
			}
		}
	}
}

// TestGemmBlocks covers products of several blocks in each dimension, packed and not, and all transpositions.
func TestGemmBlocks(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for _, table := range gemmTables() {
		g := table.Gemm
		mc, nc := 16*g.MR+1, gemmColumns
		for _, s := range [][3]int{
			{17, 17, 64}, {65, 64, 65}, {3, 5, 2*g.KC + 1}, {4*g.MR + 1, 4*g.NR + 1, g.KC + 3}, {2*g.MR + 1, 9*g.NR + 5, 2 * g.KC},
			{9*g.MR + 1, 2*g.NR + 5, g.KC + 1}, {mc + g.MR + 1, 5 * g.NR, 10}, {5, nc + 3*g.NR + 1, 9}, {mc + 1, 4*g.NR + 3, 7}, {2, 3, 5 * g.KC},
			{5*g.MR + 3, nc + 1, 3}, {1, 200, 300}, {200, 1, 300}, {mc - 1, 4*g.NR + 1, g.KC + 9},
		} {
			for trans := range 4 {
				p := productCase{transA: trans&1 != 0, transB: trans&2 != 0, m: s[0], n: s[1], k: s[2], alpha: 1, beta: float32(trans % 3), padC: trans, sums: s[0]%2 == trans&1, finish: trans%3 != 0}
				p.check(t, table, r)
			}
		}
	}
}

// TestGemmLarge checks C·v = A·(B·v) for a random v in float64: a whole product in O(n²).
func TestGemmLarge(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	for _, table := range gemmTables() {
		m, n, k := 701, 1190, 801
		if strings.HasPrefix(table.Name, "reference") {
			m, n, k = 301, 290, 601
		}
		a, b, c := make([]float32, m*k), make([]float32, k*n), make([]float32, m*n)
		for _, x := range [][]float32{a, b} {
			for i := range x {
				x[i] = table.Gemm.operand(r)
			}
		}
		multiply(table, false, false, m, n, k, 1, a, k, b, n, 0, c, n)
		v := make([]float64, n)
		for i := range v {
			v[i] = r.Float64()*2 - 1
		}
		bv := make([]float64, k)
		for i := range k {
			for j := range n {
				bv[i] += float64(b[i*n+j]) * v[j]
			}
		}
		// Errors of n·k rounded terms of size at most 1, as a random walk, ten times over.
		tol := 10 * 0x1p-24 * math.Sqrt(float64(n)) * float64(k)
		for i := range m {
			var got, want float64
			for j := range n {
				got += float64(c[i*n+j]) * v[j]
			}
			for q := range k {
				want += float64(a[i*k+q]) * bv[q]
			}
			if err := math.Abs(got - want); !(err <= tol) {
				t.Fatalf("%s: row %d times v is %g, want %g", table.Name, i, got, want)
			}
		}
	}
}

// TestGemmBits: an element's bits do not depend on where a product is cut, nor on how its matrices are stored.
func TestGemmBits(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	for _, table := range gemmTables() {
		m, n, k := 6*table.Gemm.MR+5, 6*table.Gemm.NR+3, 2*table.Gemm.KC+19
		a, b := randomSlice(r, m*k), randomSlice(r, k*n)
		at, bt := transposed(a, m, k), transposed(b, k, n)
		whole, part := make([]float32, m*n), make([]float32, m*n)
		multiply(table, false, false, m, n, k, 1.5, a, k, b, n, 0, whole, n)
		for i := 0; i < m; {
			h := min(1+r.IntN(m/2), m-i)
			for j := 0; j < n; {
				w := min(1+r.IntN(n/2), n-j)
				c := part[i*n+j:]
				switch r.IntN(4) {
				case 0:
					multiply(table, false, false, h, w, k, 1.5, a[i*k:], k, b[j:], n, 0, c, n)
				case 1:
					multiply(table, true, false, h, w, k, 1.5, at[i:], m, b[j:], n, 0, c, n)
				case 2:
					multiply(table, false, true, h, w, k, 1.5, a[i*k:], k, bt[j*k:], k, 0, c, n)
				default:
					multiply(table, true, true, h, w, k, 1.5, at[i:], m, bt[j*k:], k, 0, c, n)
				}
				j += w
			}
			i += h
		}
		same(t, table.Name+" in parts", part, whole)
	}
}

// TestGemmAddRow adds one row to all, as a bias.
func TestGemmAddRow(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 10))
	for _, table := range gemmTables() {
		m, n, k := 2*table.Gemm.MR+1, 2*table.Gemm.NR+3, table.Gemm.KC+5
		a, b, bias := randomSlice(r, m*k), randomSlice(r, n*k), randomSlice(r, n)
		got, want := make([]float32, m*n), make([]float32, m*n)
		for i := range m {
			copy(want[i*n:], bias)
		}
		multiply(table, false, true, m, n, k, 1, a, k, b, k, 1, want, n)
		p := Product{TransB: true, M: m, N: n, K: k, Alpha: 1, A: a, LDA: k, B: b, LDB: k, Beta: 1, D: bias, C: got, LDC: n}
		work := make([]float32, table.GemmWork(&p))
		table.GemmSerial(&p, work)
		same(t, table.Name, got, want)
		p.K = 0
		table.GemmSerial(&p, work)
		same(t, table.Name+" of no terms", got[(m-1)*n:], bias)
	}
}

// TestGemmSumRows: every table adds up rows in the same order, and touches no other sums.
func TestGemmSumRows(t *testing.T) {
	r := rand.New(rand.NewPCG(14, 15))
	for _, table := range Tables() {
		for n := 1; n <= table.Gemm.MR; n++ {
			for ld := n; ld <= n+3; ld++ {
				for k := 1; k <= 13; k++ {
					a, sums := randomSlice(r, (k-1)*ld+n), randomSlice(r, n+gemmGuard)
					want := append([]float32(nil), sums...)
					gemmSumRows(&want[0], &a[0], ld, k, n)
					table.Gemm.SumRows(&sums[0], &a[0], ld, k, n)
					same(t, fmt.Sprintf("%s: %d rows of %d, %d columns", table.Name, n, ld, k), sums, want)
				}
			}
		}
	}
}

// TestGemmPackRows: what is in the panels is what was in the rows, and nothing is written elsewhere.
func TestGemmPackRows(t *testing.T) {
	r := rand.New(rand.NewPCG(18, 19))
	for _, table := range Tables() {
		g := table.Gemm
		for width := 1; width <= g.NR; width++ {
			if width > g.MR {
				width = g.NR
			}
			for n := 1; n <= 3*width+1; n++ {
				k, ld := 1+r.IntN(5), n+r.IntN(4)
				next := width*k + r.IntN(9)
				src := randomSlice(r, (k-1)*ld+n)
				dst := randomSlice(r, ceilDiv(n, width)*next+gemmGuard)
				want := append([]float32(nil), dst...)
				g.PackRows(&dst[0], next, &src[0], ld, k, n, width)
				for p := range k {
					for j := range ceilDiv(n, width) * width {
						at := j/width*next + p*width + j%width
						if want[at] = dst[at]; j < n {
							want[at] = src[p*ld+j]
						}
					}
				}
				same(t, fmt.Sprintf("%s: %d rows of %d in panels of %d", table.Name, k, n, width), dst, want)
			}
		}
	}
}

// TestGemmPlans: on any number of threads a plan's chunks cover C once and give the bits of the serial product and sums.
func TestGemmPlans(t *testing.T) {
	r := rand.New(rand.NewPCG(16, 17))
	for _, table := range gemmTables() {
		g := table.Gemm
		for _, s := range [][3]int{{6*g.MR + 5, 6*g.NR + 3, 2*g.KC + 19}, {40*g.MR + 1, 3, 10}, {3, 40*g.NR + 1, 10}, {33*g.MR + 1, 33*g.NR + 1, 9}, {5, 6, 7}} {
			m, n, k := s[0], s[1], s[2]
			a, b, c := randomSlice(r, m*k), randomSlice(r, k*n), make([]float32, m*n)
			p := Product{M: m, N: n, K: k, Alpha: 1, A: a, LDA: k, B: b, LDB: n, C: c, LDC: n, RowSums: make([]float32, m)}
			table.GemmSerial(&p, make([]float32, table.GemmWork(&p)))
			for _, threads := range []int{1, 2, 3, 16, 100} {
				q := p
				q.TransA, q.A, q.LDA, q.RowSums = true, transposed(a, m, k), m, make([]float32, m)
				q.C = filledWith(float32(math.NaN()), m*n)
				finished := make([]float32, m*n)
				q.Finish = func(i0, j0, rows, cols int) {
					for i := i0; i < i0+rows; i++ {
						for j := j0; j < j0+cols; j++ {
							finished[i*n+j]++
						}
					}
				}
				l := table.PlanGemm(&q, threads)
				work := make([]float32, l.Work()+gemmSlack)
				for chunk := range l.Chunks() {
					table.GemmChunk(&q, &l, l.Chunks()-1-chunk, work)
				}
				what := fmt.Sprintf("%s, %d threads, %v", table.Name, threads, s)
				same(t, what, q.C, p.C)
				same(t, what+": sums", q.RowSums, p.RowSums)
				same(t, what+": finished", finished, filledWith(1, m*n))
			}
			q := p
			q.N, q.B, q.C, q.RowSums = 0, nil, nil, make([]float32, m)
			table.GemmSerial(&q, make([]float32, table.GemmWork(&q)))
			same(t, table.Name+": sums alone", q.RowSums, p.RowSums)
		}
	}
}

// TestGemmSlabs: a product whose B is packed in slabs of some columns and some terms has the bits of products that pack all terms at once.
func TestGemmSlabs(t *testing.T) {
	r := rand.New(rand.NewPCG(20, 21))
	for _, table := range gemmTables() {
		if strings.HasPrefix(table.Name, "reference") {
			continue // slow, and the driver is the same
		}
		m, n, k := 17*table.Gemm.MR+3, 1700, 1300
		a, b, c := randomSlice(r, m*k), randomSlice(r, k*n), randomSlice(r, m*n)
		finished, want := make([]float32, m*n), append([]float32(nil), c...)
		p := Product{TransB: true, M: m, N: n, K: k, Alpha: .5, A: a, LDA: k, B: b, LDB: k, Beta: -2, D: c, LDD: n, C: c, LDC: n, RowSums: make([]float32, m)}
		p.Finish = func(i0, j0, rows, cols int) {
			for i := i0; i < i0+rows; i++ {
				for j := j0; j < j0+cols; j++ {
					finished[i*n+j] += c[i*n+j] // once, when it is ready
				}
			}
		}
		// Even the second-level cache of a large CPU leaves several blocks of rows, or there are no slabs.
		if l := table.PlanGemm(&p, 1); l.rows > l.mc && (table.Gemm.Shallow && l.deep >= k || l.slab >= n) {
			t.Errorf("%s: slabs of %d terms and %d columns", table.Name, l.deep, l.slab)
		}
		table.GemmSerial(&p, make([]float32, table.GemmWork(&p)))
		sums := make([]float32, m)
		for j := 0; j < n; j += 425 {
			q := p
			q.N, q.B, q.C, q.D, q.Finish, q.RowSums = 425, b[j*k:], want[j:], want[j:], nil, nil
			if j == 0 {
				q.RowSums = sums
			}
			if l := table.PlanGemm(&q, 1); l.deep < k {
				t.Errorf("%s: %d columns in slabs of %d terms", table.Name, q.N, l.deep)
			}
			table.GemmSerial(&q, make([]float32, table.GemmWork(&q)))
		}
		same(t, table.Name, c, want)
		same(t, table.Name+": finished", finished, want)
		same(t, table.Name+": sums", p.RowSums, sums)
	}
}

// TestGemmSpecial: NaN and infinities pass into exactly the row or column that they belong to, -0 and denormals are kept.
func TestGemmSpecial(t *testing.T) {
	for _, table := range gemmTables() {
		m, n, k := table.Gemm.MR+3, table.Gemm.NR+5, 9
		for _, bad := range []float32{float32(math.NaN()), float32(math.Inf(1)), float32(math.Inf(-1))} {
			for row := range m {
				a, b, c := filledWith(1, m*k), filledWith(1, k*n), make([]float32, m*n)
				a[row*k+row%k] = bad
				multiply(table, false, false, m, n, k, 1, a, k, b, n, 0, c, n)
				// The same in a column of b.
				col, d := row%n, make([]float32, m*n)
				a[row*k+row%k] = 1
				b[row%k*n+col] = bad
				multiply(table, false, false, m, n, k, 1, a, k, b, n, 0, d, n)
				for i := range m {
					for j := range n {
						if finite := d[i*n+j] == float32(k); finite != (j != col) {
							t.Fatalf("%s: %g in column %d of b gives c[%d][%d] = %g", table.Name, bad, col, i, j, d[i*n+j])
						}
						finite := !math.IsNaN(float64(c[i*n+j])) && !math.IsInf(float64(c[i*n+j]), 0)
						if finite != (i != row) || (i != row && c[i*n+j] != float32(k)) {
							t.Fatalf("%s: %g in row %d of a gives c[%d][%d] = %g", table.Name, bad, row, i, j, c[i*n+j])
						}
					}
				}
			}
		}
		denormal, out := float32(math.SmallestNonzeroFloat32), []float32{7}
		multiply(table, false, true, 1, 1, 1, 1, []float32{denormal}, 1, []float32{1}, 1, 0, out, 1)
		if flushes := table.Gemm.Terms == 2; (out[0] != denormal) != flushes {
			t.Errorf("%s: denormal·1 = %g", table.Name, out[0])
		}
		nan := float32(math.NaN())
		multiply(table, false, true, 1, 1, 1, 0, []float32{nan}, 1, []float32{nan}, 1, 0, out, 1)
		if out[0] != 0 {
			t.Errorf("%s: with alpha and beta 0, c = %g", table.Name, out[0])
		}
	}
}

// FuzzGemm draws shapes and strides beyond those of TestGemmShapes.
func FuzzGemm(f *testing.F) {
	f.Add(uint64(1), uint8(17), uint8(17), uint16(64), uint8(0))
	f.Add(uint64(2), uint8(65), uint8(129), uint16(260), uint8(3))
	f.Add(uint64(3), uint8(0), uint8(1), uint16(0), uint8(2))
	f.Fuzz(func(t *testing.T, seed uint64, m, n uint8, k uint16, trans uint8) {
		r := rand.New(rand.NewPCG(seed, 11))
		p := productCase{transA: trans&1 != 0, transB: trans&2 != 0, m: int(m), n: int(n), k: int(k % 600), alpha: r.Float32(), beta: float32(r.IntN(2)) * r.Float32(),
			padA: r.IntN(20), padB: r.IntN(20), padC: r.IntN(20), offset: r.IntN(16), sums: seed%2 == 0, finish: seed%3 == 0}
		for _, table := range gemmTables() {
			p.check(t, table, r)
		}
	})
}

func randomSlice(r *rand.Rand, n int) []float32 {
	s := make([]float32, n)
	for i := range s {
		s[i] = r.Float32()*2 - 1
	}
	return s
}

func transposed(a []float32, rows, cols int) []float32 {
	t := make([]float32, len(a))
	for i := range rows {
		for j := range cols {
			t[j*rows+i] = a[i*cols+j]
		}
	}
	return t
}
