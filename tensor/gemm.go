package tensor

import (
	"sync"

	"github.com/godino-ml/godino/kernels"
	"github.com/godino-ml/godino/kernels/cuda"
)

// Gemm computes c = alpha·op(a)·op(b) + beta·c, where op transposes if asked. c is (M, N), op(a) (M, K), op(b) (K, N). With beta 0, c need
// not be initialised; with alpha 0, a and b are not read. The result does not depend on the number of threads.
func Gemm(c, a, b *Tensor, transA, transB bool, alpha, beta float32) {
	m, k, kb, n := 0, 0, 0, 0
	ok := len(a.shape) == 2 && len(b.shape) == 2 && len(c.shape) == 2
	if ok {
		m, k = orient(a, transA)
		kb, n = orient(b, transB)
	}
	check(ok && k == kb && c.shape[0] == m && c.shape[1] == n, "Gemm", "c (M, N), op(a) (M, K), op(b) (K, N)", c, a, b)
	if g := c.dev.gpu; g != nil {
		c.written()
		typ := max(a.typ, b.typ) // bf16 if one of them is: the other has a copy in it
		g.Gemm(&cuda.Gemm{TransA: transA, TransB: transB, M: m, N: n, K: k, Alpha: alpha, Type: typ, A: a.factor(typ), LDA: a.shape[1], B: b.factor(typ), LDB: b.shape[1],
			TypeC: c.typ, C: c.ptr, LDC: n, Beta: beta})
		return
	}
	c.dev.Gemm(transA, transB, m, n, k, alpha, a.data, a.shape[1], b.data, b.shape[1], beta, c.data, n)
}

// orient is the shape of op(t).
func orient(t *Tensor, trans bool) (rows, cols int) {
	if trans {
		return t.shape[1], t.shape[0]
	}
	return t.shape[0], t.shape[1]
}

// Gemm is the product C = alpha·op(A)·op(B) + beta·C of row-major matrices that may be parts of larger ones: C is m×n with leading dimension
// ldc, op(A) m×k, op(B) k×n. It is a kernels.Product without its extras, split over the device's threads.
func (d *Device) Gemm(transA, transB bool, m, n, k int, alpha float32, a []float32, lda int, b []float32, ldb int, beta float32, c []float32, ldc int) {
	d.product(kernels.Product{TransA: transA, TransB: transB, M: m, N: n, K: k, Alpha: alpha, A: a, LDA: lda, B: b, LDB: ldb, Beta: beta, D: c, LDD: ldc, C: c, LDC: ldc})
}

const (
	// gemmSerialFLOP is the product that is not worth waking other threads for, gemmSerialTransposedFLOP that of a transposed B, which every
	// thread would have to pack.
	gemmSerialFLOP, gemmSerialTransposedFLOP = 1 << 19, 1 << 20
	// A product of so few elements and so many terms is cut along its terms.
	gemmSplitArea, gemmSplitK, gemmSplitTerms = 64 * 64, 8192, 2048
)

// gemmRun is one product under way. It is kept for the next one, so that products allocate nothing.
type gemmRun struct {
	kernels.Product
	table        *kernels.Table
	plan         kernels.GemmPlan
	work         []float32 // workSize a worker
	workSize     int
	partial      []float32 // sums of a product that is cut along its terms
	chunk, terms func(chunk, worker int)
}

// gemmRuns are a device's idle products: as many as were ever under way at once.
type gemmRuns struct {
	mu   sync.Mutex
	idle []*gemmRun
}

func (d *Device) takeGemm() *gemmRun {
	d.gemms.mu.Lock()
	defer d.gemms.mu.Unlock()
	if n := len(d.gemms.idle); n > 0 {
		g := d.gemms.idle[n-1]
		d.gemms.idle = d.gemms.idle[:n-1]
		return g
	}
	g := &gemmRun{table: d.kernels}
	g.chunk, g.terms = g.runChunk, g.runTerms
	return g
}

func (d *Device) giveGemm(g *gemmRun) {
	g.Product = kernels.Product{} // keeps no one's memory alive
	d.gemms.mu.Lock()
	defer d.gemms.mu.Unlock()
	d.gemms.idle = append(d.gemms.idle, g)
}

// product computes p on the device's threads. How it is cut into blocks of C depends on their number, which an element's bits do not depend
// on; where it is cut along the terms, which they depend on, the shape alone decides.
func (d *Device) product(p kernels.Product) {
	if p.M <= 0 || p.N <= 0 && p.RowSums == nil {
		return
	}
	g := d.takeGemm()
	defer d.giveGemm(g)
	g.Product = p
	if p.N > 0 && p.M*p.N <= gemmSplitArea && p.K >= gemmSplitK && p.Alpha != 0 {
		g.splitTerms(d)
		return
	}
	threads, serial := d.Threads(), gemmSerialFLOP
	if p.TransB {
		serial = gemmSerialTransposedFLOP
	}
	if 2*p.M*p.N*p.K <= serial {
		threads = 1
	}
	g.plan = d.kernels.PlanGemm(&g.Product, threads)
	g.run(d, g.plan.Chunks(), g.chunk, g.plan.Work())
}

// run runs the chunks with size elements of scratch memory for every worker: any worker may take a chunk, however few there are.
func (g *gemmRun) run(d *Device, chunks int, f func(chunk, worker int), size int) {
	if size == 0 {
		d.Run(chunks, f)
		return
	}
	g.workSize = ceilDiv(size, 32) * 32
	g.work = d.scratch(g.workSize * d.Threads())
	d.Run(chunks, f)
	d.release(g.work)
	g.work = nil
}

func (g *gemmRun) scratch(worker int) []float32 {
	if g.work == nil {
		return nil
	}
	return g.work[worker*g.workSize : (worker+1)*g.workSize]
}

func (g *gemmRun) runChunk(chunk, worker int) {
	g.table.GemmChunk(&g.Product, &g.plan, chunk, g.scratch(worker))
}

// splitTerms computes a small product of very many terms, such as the gradient of a narrow layer's weights, as the sum of products of
// gemmSplitTerms terms, added in their order.
func (g *gemmRun) splitTerms(d *Device) {
	parts, area := ceilDiv(g.K, gemmSplitTerms), g.M*g.N
	g.partial = d.scratch(parts * area)
	defer func() {
		d.release(g.partial)
		g.partial = nil
	}()
	chunks, first, last, sums := parts, g.part(0), g.part(parts-1), g.sumsAlone()
	if g.RowSums != nil {
		chunks++
	}
	g.run(d, chunks, g.terms, max(g.table.GemmWork(&first), g.table.GemmWork(&last), g.table.GemmWork(&sums)))
	for i := range g.M {
		row := g.C[i*g.LDC : i*g.LDC+g.N]
		sum := g.partial[i*g.N : (i+1)*g.N]
		for p := 1; p < parts; p++ {
			for j, v := range g.partial[p*area+i*g.N:][:g.N] {
				sum[j] += v
			}
		}
		if g.D == nil || g.Beta == 0 {
			copy(row, sum)
			continue
		}
		for j, v := range g.D[i*g.LDD:][:g.N] {
			row[j] = sum[j] + g.Beta*v
		}
	}
	if g.Finish != nil {
		g.Finish(0, 0, g.M, g.N)
	}
}

func (g *gemmRun) runTerms(part, worker int) {
	p := g.sumsAlone() // the bits of sums do not depend on whether there are columns, so they are not cut
	if parts := ceilDiv(g.K, gemmSplitTerms); part < parts {
		p = g.part(part)
	}
	g.table.GemmSerial(&p, g.scratch(worker))
}

// part is the product of some of the terms, which belongs into partial.
func (g *gemmRun) part(part int) kernels.Product {
	p := g.Product
	from := part * gemmSplitTerms
	p.K = min(gemmSplitTerms, g.K-from)
	p.A, p.B = g.A[start(!g.TransA, from, g.LDA):], g.B[start(g.TransB, from, g.LDB):]
	p.C, p.LDC = g.partial[part*g.M*g.N:], g.N
	p.Beta, p.D, p.RowSums, p.Finish = 0, nil, nil, nil
	return p
}

// sumsAlone is the product without columns.
func (g *gemmRun) sumsAlone() kernels.Product {
	p := g.Product
	p.N, p.Finish = 0, nil
	return p
}

// start is where line i of a matrix begins: a column or a row.
func start(column bool, i, ld int) int {
	if column {
		return i
	}
	return i * ld
}

func ceilDiv(a, b int) int { return (a + b - 1) / b }
