package kernels

import "unsafe"

// GemmKernel is what a matrix product needs from an instruction set: the kernel that multiplies, and those that copy parts of a matrix into
// the order in which it reads them.
type GemmKernel struct {
	MR, NR int // rows and columns of the tile of C that is kept in registers

	// Narrow columns cost Panel a quarter of a whole panel; 0 says that they cost as much as half of one.
	Narrow int

	// KC is the most terms of a sum that are added in registers before they are added to C. It is fixed for a kernel and not derived from the
	// CPU's caches: the order of additions, and so every bit of a product, depends on the kernel and on K alone.
	KC int

	// Direct says that Panel reads A and B where they lie, at any stride and number of rows. Otherwise both must be packed, in tiles of MR
	// rows and panels of NR columns.
	Direct bool

	// Panel computes C = alpha·A·B + beta·D for a panel of n <= NR columns, in tiles of step <= MR rows:
	//
	//	c[i·ldc+j] = alpha·Σ_p a[t·aNext + (i-t·step)·aRow + p·aCol]·b[p·bRow+j] + beta·d[i·ldd+j]    t = i/step, i < m, p < k, j < n
	//
	// k must not be 0. With d nil there is no beta·D; d may be c.
	Panel func(m, n, k, step int, a *float32, aRow, aCol, aNext int, b *float32, bRow int, c *float32, ldc int, d *float32, ldd int, alpha, beta float32)

	// PackRows copies k rows of n <= width elements: dst[p·width+j] = src[p·ld+j]. PackColumns copies columns:
	// dst[p·width+j] = src[j·ld+p]. What is at n <= j < width is undefined, and up to gemmSlack elements beyond the last row may be
	// written.
	PackRows    func(dst, src *float32, ld, k, n, width int)
	PackColumns func(dst, src *float32, ld, k, n, width int)

	// PackPanels copies k rows of any number n of elements to panels of NR that are next elements apart:
	// dst[j/NR·next + p·NR + j%NR] = src[p·ld+j]. What is beyond n in the last panel is undefined. It may be nil.
	PackPanels func(dst *float32, next int, src *float32, ld, k, n int)

	// SumRows adds up rows that are stored column after column: sums[i] += Σ_p a[p·ld+i], i < n <= MR. Its order is that of four sums over
	// every fourth p, s0…s3, added as (s0+s1) + (s2+s3).
	SumRows func(sums, a *float32, ld, k, n int)

	// Terms is how many terms of a sum a packed element holds: one, a float32, or two in bf16. What is said of p and k above is of elements
	// where they are packed, and of terms where they are not.
	Terms int

	// Peak runs n rounds of as many independent multiply-adds as PeakFLOP counts operations; see Table.Ceiling.
	Peak     func(n int)
	PeakFLOP int
}

// gemmSlack is what packing may write beyond its end, and what aligning to a cache line may cost, in elements.
const gemmSlack = 16

// gemmPackDepth columns of a panel of B are transposed at a time, so that the part of the panel that is written, in several rounds, stays in
// the first-level cache.
const gemmPackDepth = 128

// Product is a matrix product C = alpha·op(A)·op(B) + beta·D, where op transposes if asked, and what is done along with it.
//
// C is M×N, op(A) M×K, op(B) K×N; all are row-major, with leading dimensions LDA, LDB, LDC: they may be parts of larger matrices. With Alpha
// 0, A and B are not read.
//
// An element's bits depend on its row of op(A), its column of op(B) and K, not on where it is in which matrix: a product may be cut into
// blocks of C as one likes.
type Product struct {
	TransA, TransB bool
	M, N, K        int
	Alpha          float32
	A              []float32
	LDA            int
	B              []float32
	LDB            int

	// D is M×N. Its leading dimension may be 0: a row that is added to every row of C, as the bias of a linear layer. D may be C. With D nil
	// or Beta 0 there is no beta·D, and C need not be initialised.
	Beta float32
	D    []float32
	LDD  int

	C   []float32
	LDC int

	// RowSums, if it is not nil, is a vector of M elements to which the sums of op(A)'s rows are added: RowSums[i] += Σ_p op(A)[i][p]. They
	// cost next to nothing, since A is on its way through the registers anyway. With A = dyᵀ they are the gradient of a linear layer's bias
	// beside that of its weights; where those are not wanted, N may be 0. The bits depend on K alone. RowSums must not overlap C. With Alpha 0
	// it is left as it is.
	RowSums []float32

	// Finish, if it is not nil, is called for blocks of C that are ready, while they are in the nearer caches: the rows×cols elements from
	// C[i·LDC+j] on. Every element is in exactly one block; blocks are some hundreds of columns wide where N is, so that kernels for rows run
	// on them at full speed. It may read and write the block, and any memory that belongs to the block alone; where a product is split over
	// threads it is called on several at once, for different blocks. How C is cut depends on the number of threads, so what is done to an
	// element must not depend on where its block begins.
	//
	// A function that is made once and kept, and reads what changes from a struct, allocates nothing.
	Finish func(i, j, rows, cols int)

	// BF16 asks for the table's GemmBF16, which must not be nil: op(A) and op(B) are rounded to bf16, for RowSums too. See ReferenceGemmBF16.
	BF16 bool
}

// gemm is the kernel for p.
func (t *Table) gemm(p *Product) *GemmKernel {
	if p.BF16 {
		return t.GemmBF16
	}
	return &t.Gemm
}

// elements is how many packed elements hold that many terms.
func (g *GemmKernel) elements(terms int) int { return ceilDiv(terms, g.Terms) }

// GemmSerial computes p on the calling goroutine. work is scratch of GemmWork(p) elements.
func (t *Table) GemmSerial(p *Product, work []float32) {
	l := t.PlanGemm(p, 1)
	work = alignToLine(work)
	shared, own := work[:l.Shared], work[l.Shared:]
	for slab := range l.Slabs {
		for chunk := range l.Packs(slab) {
			t.GemmPack(p, &l, slab, chunk, shared)
		}
		for chunk := range l.Blocks(slab) {
			t.GemmBlock(p, &l, slab, chunk, shared, own)
		}
	}
}

// GemmWork is how many float32 of scratch memory GemmSerial needs.
func (t *Table) GemmWork(p *Product) int {
	l := t.PlanGemm(p, 1)
	return l.Shared + l.Own + gemmSlack
}

// GemmPlan is how a product is cut into steps that may run on several threads and work on what is in the caches. For each of its slabs of
// columns, one after the other, first all chunks of GemmPack run, in any order, then all of GemmBlock.
type GemmPlan struct {
	Slabs  int
	Shared int // elements of scratch memory that all steps share
	Own    int // elements that a GemmBlock needs for itself

	m, n, k     int
	step        int // rows of a tile
	rows, cols  int // of a block of C, the chunk of a GemmBlock
	nc, kc      int // columns and terms that are worked on at a time
	slab        int // columns of B that are packed at a time for all blocks
	nr          int
	packA       bool
	wholeA      bool // A is packed once for a block of C, not once for nc columns
	packB       bool
	sharedB     bool // by GemmPack
	sizeA       int  // elements of packed A, in Own
	packs, down int  // chunks of terms, rows of blocks
}

const (
	// gemmCallFLOP take well below 100 µs: so much a call of Panel may do, for which the garbage collector has to wait.
	gemmCallFLOP = 8 << 20
	// gemmColumns is how many columns of C are finished at a time. With as many rows as fit they stay in the second-level cache while one
	// block of terms after the other is added.
	gemmColumns = 384
	// gemmChunkFLOP is a chunk that is worth to be claimed by a thread, gemmChunksPerThread so many that a thread that is held up holds up a
	// quarter of its share.
	gemmChunkFLOP       = 1 << 19
	gemmChunksPerThread = 4
	// gemmWholeA is the largest A, in elements, that is packed for all terms.
	gemmWholeA = 1 << 20
	// gemmAlias is a leading dimension whose rows all fall into the same sets of the first-level cache, 4 KiB.
	gemmAlias = 1 << 10
)

// PlanGemm cuts p for so many threads. It looks at the sizes, strides and extras of p, not at its data.
func (t *Table) PlanGemm(p *Product, threads int) GemmPlan {
	if p.M <= 0 || p.N <= 0 && p.RowSums == nil {
		return GemmPlan{}
	}
	g := t.gemm(p)
	n := max(p.N, 1) // no columns, but row sums
	l := GemmPlan{Slabs: 1, m: p.M, n: p.N, k: p.K, step: g.MR, rows: p.M, cols: n, slab: n, nr: g.NR, packs: 1, down: 1}
	if p.K <= 0 || p.Alpha == 0 {
		return l
	}
	l.packs = ceilDiv(p.K, g.KC)
	l.kc = ceilDiv(ceilDiv(p.K, l.packs), gemmTerms) * gemmTerms
	l.packs = ceilDiv(p.K, l.kc)
	if g.Direct {
		// As many rows in every tile: 17 rows are 9 and 8, not 14 and 3.
		l.step = ceilDiv(p.M, ceilDiv(p.M, g.MR))
	}
	l.nc = g.NR * ceilDiv(ceilDiv(n, ceilDiv(n, gemmColumns)), g.NR)
	c := caches()
	most := max(4, min(c.l2/2/(4*g.elements(l.kc)), c.l2/3/(4*gemmColumns), gemmCallFLOP/(2*g.NR*g.elements(l.kc)))/l.step) * l.step
	l.down = ceilDiv(p.M, most)

	// Packing moves every element once to save a slow access for every panel of B or tile of A that reads it. It pays where rows are read
	// from memory, or fall into the same sets of a cache, or are many.
	l.packA = !g.Direct || p.LDA%gemmAlias == 0 && p.N > 4*g.NR || p.RowSums != nil && !p.TransA
	l.packB = p.N > 0 && (!g.Direct || p.TransB || p.M > 16*g.MR || p.M > g.MR && p.K*p.N > c.l3/8)
	l.sharedB = l.packB && l.down > 1
	if l.sharedB {
		l.slab = min(p.N, max(8, c.l3/4/(4*g.elements(p.K))/g.NR)*g.NR)
		l.slab = g.NR * ceilDiv(ceilDiv(p.N, ceilDiv(p.N, l.slab)), g.NR)
		l.Slabs = ceilDiv(p.N, l.slab)
		l.Shared = ceilDiv(ceilDiv(l.slab, g.NR)*g.NR*g.elements(p.K), gemmSlack)*gemmSlack + gemmSlack
	}
	l.cut(g, threads)
	if l.packA {
		rows := ceilDiv(l.rows, l.step) * l.step
		l.wholeA = rows*g.elements(p.K) <= gemmWholeA
		l.sizeA = rows*g.elements(l.kc) + gemmSlack
		if l.wholeA {
			l.sizeA = rows*g.elements(p.K) + gemmSlack
		}
		l.sizeA = ceilDiv(l.sizeA, gemmSlack) * gemmSlack
	}
	l.Own = l.sizeA
	if l.packB && !l.sharedB {
		l.Own += l.nc*g.elements(l.kc) + gemmSlack
	}
	return l
}

// gemmTerms is what blocks of terms are multiples of.
const gemmTerms = 16

// cut chooses the blocks of C: no more rows than down says, and enough blocks for all threads.
func (l *GemmPlan) cut(g *GemmKernel, threads int) {
	l.cols = l.slab
	if threads > 1 {
		flop := 2 * l.m * max(l.slab, gemmSumFLOP) * l.k
		chunks := min(threads*gemmChunksPerThread, flop/gemmChunkFLOP)
		across, height, width := 1, 4*l.step, 4*g.NR
		for l.down*across < chunks {
			switch high, wide := l.m/l.down, l.slab/across; {
			case wide >= 2*l.nc || wide >= 2*width && wide > high:
				across *= 2
			case high >= 2*height:
				l.down *= 2
			case wide >= 2*width:
				across *= 2
			default:
				chunks = 0
			}
		}
		l.cols = g.NR * ceilDiv(ceilDiv(l.slab, across), g.NR)
		l.nc = min(l.nc, l.cols)
	}
	l.rows = l.step * ceilDiv(ceilDiv(l.m, l.down), l.step)
	l.down = ceilDiv(l.m, l.rows)
}

// gemmSumFLOP is how much longer adding up a row of op(A) takes than an element of C: it comes from memory.
const gemmSumFLOP = 16

// columns are those of slab.
func (l *GemmPlan) columns(slab int) (from, to int) {
	return slab * l.slab, min((slab+1)*l.slab, l.n)
}

// Packs is how many chunks of GemmPack there are in a slab.
func (l *GemmPlan) Packs(slab int) int {
	if !l.sharedB {
		return 0
	}
	from, to := l.columns(slab)
	return l.packs * ceilDiv(to-from, gemmPackWidth*l.nr)
}

// gemmPackWidth is how many panels are packed at a time.
const gemmPackWidth = 4

// Blocks is how many chunks of GemmBlock there are in a slab.
func (l *GemmPlan) Blocks(slab int) int {
	from, to := l.columns(slab)
	return l.down * max(1, ceilDiv(to-from, l.cols))
}

// GemmPack packs a part of op(B) into shared, for all blocks of the slab.
func (t *Table) GemmPack(p *Product, l *GemmPlan, slab, chunk int, shared []float32) {
	from, to := l.columns(slab)
	pc := chunk % l.packs * l.kc
	j := from + chunk/l.packs*gemmPackWidth*l.nr
	kc := min(l.kc, l.k-pc)
	g := t.gemm(p)
	g.packPanels(shared[g.elements(pc)*ceilDiv(l.slab, g.NR)*g.NR+(j-from)*g.elements(kc):], p, pc, j, kc, min(gemmPackWidth*l.nr, to-j))
}

// GemmBlock computes a block of C and the row sums that belong to it: those of its rows, if it is of the first columns. own is scratch of its
// own, shared what GemmPack has filled; they are read faster where they begin at a multiple of 64 bytes.
func (t *Table) GemmBlock(p *Product, l *GemmPlan, slab, chunk int, shared, own []float32) {
	g := t.gemm(p)
	from, to := l.columns(slab)
	across := max(1, ceilDiv(to-from, l.cols))
	ic, jc := chunk/across*l.rows, from+chunk%across*l.cols
	b := gemmBlock{g: g, p: p, l: l, from: from, shared: shared, i: ic, m: min(l.rows, p.M-ic)}
	b.packedA, b.packedB = own[:l.sizeA], own[l.sizeA:]
	switch end := min(jc+l.cols, to); {
	case p.K <= 0 || p.Alpha == 0:
		b.scale(jc, end)
	case end <= jc:
		b.sumRows()
	default:
		for j := jc; j < end; j += l.nc {
			b.multiply(j, min(l.nc, end-j), j == jc)
		}
	}
}

// gemmBlock is a block of C being computed: m rows from i on.
type gemmBlock struct {
	g                *GemmKernel
	p                *Product
	l                *GemmPlan
	from             int       // first column of the slab
	shared           []float32 // its columns of B
	i, m             int
	packedA, packedB []float32
}

// multiply computes nc columns from jc on; first says that they are the first of the block.
func (b *gemmBlock) multiply(jc, nc int, first bool) {
	g, p, l := b.g, b.p, b.l
	d, ldd := p.D, p.LDD
	if p.Beta == 0 {
		d = nil
	}
	for pc := 0; pc < p.K; pc += l.kc {
		kc := min(l.kc, p.K-pc)
		terms := g.elements(kc)
		a, aRow, aCol, aNext := b.tiles(pc, kc, first, jc == 0)
		if l.packB && !l.sharedB {
			g.packPanels(b.packedB, p, pc, jc, kc, nc)
		}
		for j := jc; j < jc+nc; {
			w := g.panel(jc + nc - j)
			// The panel of B.
			var bp *float32
			bRow := g.NR
			switch {
			case l.sharedB:
				at := j - b.from
				bp = &b.shared[g.elements(pc)*ceilDiv(l.slab, g.NR)*g.NR+at/g.NR*g.NR*terms+at%g.NR]
			case l.packB:
				at := j - jc
				bp = &b.packedB[at/g.NR*g.NR*terms+at%g.NR]
			default:
				bp, bRow = &p.B[pc*p.LDB+j], p.LDB
			}
			cp := &p.C[b.i*p.LDC+j]
			switch {
			case pc > 0:
				g.Panel(b.m, w, terms, l.step, a, aRow, aCol, aNext, bp, bRow, cp, p.LDC, cp, p.LDC, p.Alpha, 1)
			case d != nil:
				g.Panel(b.m, w, terms, l.step, a, aRow, aCol, aNext, bp, bRow, cp, p.LDC, &d[b.i*ldd+j], ldd, p.Alpha, p.Beta)
			default:
				g.Panel(b.m, w, terms, l.step, a, aRow, aCol, aNext, bp, bRow, cp, p.LDC, nil, 0, p.Alpha, 0)
			}
			j += w
		}
	}
	if p.Finish != nil {
		p.Finish(b.i, jc, b.m, nc)
	}
}

// tiles are terms pc… of the block's rows of op(A), as Panel reads them: where they lie or packed, which is done for the first columns of the
// block. Those of C also get the row sums.
func (b *gemmBlock) tiles(pc, kc int, first, ofC bool) (a *float32, aRow, aCol, aNext int) {
	g, p, l := b.g, b.p, b.l
	sums := p.RowSums
	if !ofC {
		sums = nil
	}
	if l.packA {
		tiles := b.packedA
		if l.wholeA {
			tiles = tiles[g.elements(pc)*ceilDiv(b.m, l.step)*l.step:]
		}
		if first || !l.wholeA {
			g.packTiles(tiles, p, b.i, pc, b.m, kc, l.step, sums)
		}
		return &tiles[0], 1, l.step, l.step * g.elements(kc)
	}
	if p.TransA {
		if sums != nil {
			for i := b.i; i < b.i+b.m; i += l.step {
				g.SumRows(&sums[i], &p.A[pc*p.LDA+i], p.LDA, kc, min(l.step, b.i+b.m-i))
			}
		}
		return &p.A[pc*p.LDA+b.i], 1, p.LDA, l.step
	}
	return &p.A[b.i*p.LDA+pc], p.LDA, 1, l.step * p.LDA
}

// sumRows computes the row sums of a product without columns.
func (b *gemmBlock) sumRows() {
	for pc := 0; pc < b.p.K; pc += b.l.kc {
		b.tiles(pc, min(b.l.kc, b.p.K-pc), true, true)
	}
}

// scale computes C = beta·D in columns from…to.
func (b *gemmBlock) scale(from, to int) {
	p := b.p
	for i := b.i; i < b.i+b.m; i++ {
		c := p.C[i*p.LDC+from : i*p.LDC+to]
		if p.D == nil || p.Beta == 0 {
			clear(c)
			continue
		}
		for j, v := range p.D[i*p.LDD+from : i*p.LDD+to] {
			c[j] = p.Beta * v
		}
	}
	if p.Finish != nil && to > from {
		p.Finish(b.i, from, b.m, to-from)
	}
}

// packPanels packs rows pc… and columns jc… of op(B) in panels.
func (g *GemmKernel) packPanels(dst []float32, x *Product, pc, jc, kc, nc int) {
	if !x.TransB && g.PackPanels != nil {
		g.PackPanels(&dst[0], g.NR*kc, &x.B[pc*x.LDB+jc], x.LDB, kc, nc)
		return
	}
	for j := 0; j < nc; j += g.NR {
		w := min(g.NR, nc-j)
		if !x.TransB {
			g.PackRows(&dst[j*g.elements(kc)], &x.B[pc*x.LDB+jc+j], x.LDB, kc, w, g.NR)
			continue
		}
		for p := 0; p < kc; p += gemmPackDepth {
			g.PackColumns(&dst[j*g.elements(kc)+g.elements(p)*g.NR], &x.B[(jc+j)*x.LDB+pc+p], x.LDB, min(gemmPackDepth, kc-p), w, g.NR)
		}
	}
}

// packTiles packs rows ic… and columns pc… of op(A) in tiles of step rows, and adds them to sums unless it is nil.
func (g *GemmKernel) packTiles(dst []float32, x *Product, ic, pc, mc, kc, step int, sums []float32) {
	for i := 0; i < mc; i += step {
		tile, n := &dst[i*g.elements(kc)], min(step, mc-i)
		if x.TransA {
			g.PackRows(tile, &x.A[pc*x.LDA+ic+i], x.LDA, kc, n, step)
		} else {
			g.PackColumns(tile, &x.A[(ic+i)*x.LDA+pc], x.LDA, kc, n, step)
		}
		if sums != nil {
			g.SumRows(&sums[ic+i], tile, step, g.elements(kc), n)
		}
	}
}

// panel is how many of n columns the next panel takes: what is left is cut where two narrow panels cost less than a wide one.
func (g *GemmKernel) panel(n int) int {
	w := min(n, g.NR)
	if half := g.NR / 2; w > half && w <= half+g.Narrow {
		return half
	}
	return w
}

func ceilDiv(a, b int) int { return (a + b - 1) / b }

// alignToLine cuts what is before the first 64-byte boundary.
func alignToLine(s []float32) []float32 {
	if len(s) < gemmSlack {
		return s
	}
	skip := -uintptr(unsafe.Pointer(unsafe.SliceData(s))) % 64 / 4
	return s[skip:]
}
