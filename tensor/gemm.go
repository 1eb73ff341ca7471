package tensor

import (
	"sync"

	"github.com/godino-ml/godino/kernels"
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
// ldc, op(A) m×k, op(B) k×n. See kernels.Table.GemmSerial, which it splits over the device's threads.
func (d *Device) Gemm(transA, transB bool, m, n, k int, alpha float32, a []float32, lda int, b []float32, ldb int, beta float32, c []float32, ldc int) {
	add := c
	if beta == 0 {
		add = nil
	}
	d.gemmAdd(gemmProduct{transA: transA, transB: transB, m: m, n: n, k: k, alpha: alpha, a: a, lda: lda, b: b, ldb: ldb, beta: beta, d: add, ldd: ldc, c: c, ldc: ldc})
}

// gemmProduct is C = alpha·op(A)·op(B) + beta·D; see kernels.Table.GemmAdd.
type gemmProduct struct {
	transA, transB bool
	m, n, k        int
	alpha          float32
	a              []float32
	lda            int
	b              []float32
	ldb            int
	beta           float32
	d              []float32
	ldd            int
	c              []float32
	ldc            int
}

const (
	// gemmSerialFLOP is the product that is not worth waking other threads for.
	gemmSerialFLOP = 1 << 20
	// gemmChunksPerThread: so many that a thread that is held up holds up a quarter of its share, so few that packing does not repeat.
	gemmChunksPerThread = 4
	// A product of so few elements and so many terms is cut along its terms.
	gemmSplitArea, gemmSplitK, gemmSplitTerms = 64 * 64, 8192, 2048
)

// gemmRun is one product under way. It is kept for the next one, so that products allocate nothing.
type gemmRun struct {
	gemmProduct
	table        *kernels.Table
	rows, cols   int       // of a chunk
	across       int       // chunks in a row of chunks
	work         []float32 // workSize a worker
	workSize     int
	partial      []float32 // sums of a product that is cut along its terms
	block, terms func(chunk, worker int)
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
	g.block, g.terms = g.runBlock, g.runTerms
	return g
}

func (d *Device) giveGemm(g *gemmRun) {
	g.gemmProduct = gemmProduct{} // keeps no one's memory alive
	d.gemms.mu.Lock()
	defer d.gemms.mu.Unlock()
	d.gemms.idle = append(d.gemms.idle, g)
}

// gemmAdd cuts C into a grid of blocks, one serial product each. How many depends on the threads, which an element's bits do not depend on;
// where it cuts along the terms, which they depend on, it looks at the shape alone.
func (d *Device) gemmAdd(p gemmProduct) {
	if p.m <= 0 || p.n <= 0 {
		return
	}
	g := d.takeGemm()
	defer d.giveGemm(g)
	g.gemmProduct = p
	if p.m*p.n <= gemmSplitArea && p.k >= gemmSplitK && p.alpha != 0 {
		g.splitTerms(d)
		return
	}
	tiles := &d.kernels.Gemm
	g.rows, g.cols = p.m, p.n
	g.across = 1
	if flop := 2 * p.m * p.n * max(p.k, 1); flop > gemmSerialFLOP && d.Threads() > 1 {
		g.cut(min(d.Threads()*gemmChunksPerThread, flop/(gemmSerialFLOP/2)), tiles.MR, tiles.NR)
	}
	// The last blocks may be smaller, and want another plan.
	size := 0
	down := ceilDiv(p.m, g.rows)
	for _, m := range [2]int{min(g.rows, p.m), p.m - (down-1)*g.rows} {
		for _, n := range [2]int{min(g.cols, p.n), p.n - (g.across-1)*g.cols} {
			size = max(size, g.table.GemmWork(m, n, p.k))
		}
	}
	g.run(d, down*g.across, g.block, size)
}

// cut chooses the blocks: about square, since a block packs its rows of op(A) and its columns of op(B) for itself, and of whole tiles.
func (g *gemmRun) cut(chunks, mr, nr int) {
	down, across := 1, 1
	for down*across < chunks {
		switch high, wide := g.m/down, g.n/across; {
		case high >= wide && high >= 4*mr:
			down *= 2
		case wide >= 4*nr:
			across *= 2
		case high >= 4*mr:
			down *= 2
		default:
			chunks = 0
		}
	}
	g.rows = ceilDiv(ceilDiv(g.m, down), mr) * mr
	g.cols = ceilDiv(ceilDiv(g.n, across), nr) * nr
	g.across = ceilDiv(g.n, g.cols)
}

// run runs the chunks with size elements of scratch memory for every worker.
func (g *gemmRun) run(d *Device, chunks int, f func(chunk, worker int), size int) {
	g.workSize = ceilDiv(size, 32) * 32
	g.work = d.scratch(g.workSize * d.Threads()) // any worker may take a chunk, however few there are
	d.Run(chunks, f)
	d.release(g.work)
	g.work = nil
}

func (g *gemmRun) scratch(worker int) []float32 {
	return g.work[worker*g.workSize : (worker+1)*g.workSize]
}

func (g *gemmRun) runBlock(chunk, worker int) {
	i, j := chunk/g.across*g.rows, chunk%g.across*g.cols
	rows, cols := min(g.rows, g.m-i), min(g.cols, g.n-j)
	a, b := g.a, g.b
	if g.k > 0 {
		a, b = a[first(g.transA, i, g.lda):], b[first(!g.transB, j, g.ldb):]
	}
	d := g.d
	if d != nil {
		d = d[i*g.ldd+j:]
	}
	g.table.GemmAdd(g.transA, g.transB, rows, cols, g.k, g.alpha, a, g.lda, b, g.ldb, g.beta, d, g.ldd, g.c[i*g.ldc+j:], g.ldc, g.scratch(worker))
}

// first is where line i of a matrix begins: a column or a row.
func first(column bool, i, ld int) int {
	if column {
		return i
	}
	return i * ld
}

// splitTerms computes a small product of very many terms, such as the gradient of a narrow layer's weights, as the sum of products of
// gemmSplitTerms terms, added in their order.
func (g *gemmRun) splitTerms(d *Device) {
	parts, area := ceilDiv(g.k, gemmSplitTerms), g.m*g.n
	g.partial = d.scratch(parts * area)
	defer func() {
		d.release(g.partial)
		g.partial = nil
	}()
	g.run(d, parts, g.terms, max(g.table.GemmWork(g.m, g.n, gemmSplitTerms), g.table.GemmWork(g.m, g.n, g.k-(parts-1)*gemmSplitTerms)))
	for i := range g.m {
		row := g.c[i*g.ldc : i*g.ldc+g.n]
		sum := g.partial[i*g.n : (i+1)*g.n]
		for p := 1; p < parts; p++ {
			for j, v := range g.partial[p*area+i*g.n:][:g.n] {
				sum[j] += v
			}
		}
		if g.d == nil {
			copy(row, sum)
			continue
		}
		for j, v := range g.d[i*g.ldd:][:g.n] {
			row[j] = sum[j] + g.beta*v
		}
	}
}

func (g *gemmRun) runTerms(part, worker int) {
	from := part * gemmSplitTerms
	k := min(gemmSplitTerms, g.k-from)
	a, b := g.a[first(!g.transA, from, g.lda):], g.b[first(g.transB, from, g.ldb):]
	g.table.GemmSerial(g.transA, g.transB, g.m, g.n, k, g.alpha, a, g.lda, b, g.ldb, 0, g.partial[part*g.m*g.n:], g.n, g.scratch(worker))
}

func ceilDiv(a, b int) int { return (a + b - 1) / b }
