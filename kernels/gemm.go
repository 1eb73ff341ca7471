package kernels

import (
	"math"
	"unsafe"
)

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

	// Shallow says that of a large B many columns of few terms are packed at a time, not all terms of few columns: A is packed for every slab of
	// B, C read and written for all terms of one. C comes from memory then, which pays where a tile's terms take long enough to hide it. Only
	// where Terms is 1.
	Shallow bool

	// Panel computes C = alpha·A·B + beta·D for a panel of n <= NR columns, in tiles of step <= MR rows:
	//
	//	c[i·ldc+j] = alpha·Σ_p a[t·aNext + (i-t·step)·aRow + p·aCol]·b[p·bRow+j] + beta·d[i·ldd+j]    t = i/step, i < m, p < k, j < n
	//
	// k must not be 0. With d nil there is no beta·D; d may be c.
	Panel func(m, n, k, step int, a *float32, aRow, aCol, aNext int, b *float32, bRow int, c *float32, ldc int, d *float32, ldd int, alpha, beta float32)

	// PackRows copies k rows of any number n of elements to panels of width elements that are next elements apart:
	// dst[j/width·next + p·width + j%width] = src[p·ld+j]. What is beyond n in the last panel is undefined. width is NR, or MR at most.
	PackRows func(dst *float32, next int, src *float32, ld, k, n, width int)

	// PackColumns copies k columns of n <= width elements: dst[p·width+j] = src[j·ld+p]. What is at n <= j < width is undefined, and up to
	// gemmSlack elements beyond the last row may be written.
	PackColumns func(dst, src *float32, ld, k, n, width int)

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

// gemmPackPanels panels are packed row by row at a time: enough that rows are read in long stretches, and so few, since they often lie in the
// same sets of the first-level cache, that what is written stays there until its lines are full.
const gemmPackPanels = 12

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

	// BF16 asks for the table's GemmBF16, which must not be nil: op(A) and op(B) are rounded to bf16, for RowSums too. See gemmbf16.go.
	BF16 bool

	serial GemmPlan // of the GemmSerial under way: it lies here because a local one would be allocated
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

// GemmSerial computes p on the calling goroutine, one call at a time. work is scratch of GemmWork(p) elements.
func (t *Table) GemmSerial(p *Product, work []float32) {
	p.serial = t.PlanGemm(p, 1)
	l := &p.serial
	work = alignToLine(work)
	for chunk := range l.Chunks() {
		t.GemmChunk(p, l, chunk, work)
	}
}

// GemmWork is how many float32 of scratch memory GemmSerial needs.
func (t *Table) GemmWork(p *Product) int {
	l := t.PlanGemm(p, 1)
	if l.Work() == 0 {
		return 0
	}
	return l.Work() + gemmSlack
}

// GemmPlan is how a product is cut: into chunks, parts of C that may be computed on several threads, and within a chunk into blocks that stay
// in the caches.
//
// A chunk packs its columns of op(B) for itself, though those above and below it need the same ones: to copy them again costs less than to get
// them from another core's cache.
type GemmPlan struct {
	k            int
	down, across int // chunks
	rows, cols   int // of a chunk
	step         int // rows of a tile
	mc, nc, kc   int // of a block of C and terms that are worked on at a time
	slab, deep   int // columns and terms of B that are packed at a time
	packA, packB bool
	wholeA       bool // A is packed once for a slab, not once for a block
	wholeB       bool // a slab of B is packed at once, for several blocks of rows, not one block of terms after the other
	sizeA, sizeB int  // elements of what is packed
}

const (
	// gemmCallFLOP take well below 100 µs: so much a call of Panel may do, for which the garbage collector has to wait.
	gemmCallFLOP = 8 << 20
	// gemmColumns is how many columns of C are finished at a time. With as many rows as fit they stay in the second-level cache while one
	// block of terms after the other is added.
	gemmColumns = 384
	// gemmTerms is what blocks of terms are multiples of.
	gemmTerms = 16
	// gemmPackedA and gemmPackedB are how many elements of A and of B are packed for all terms, gemmSlabB those of a slab of some of a
	// larger B's terms: they stay in the last cache.
	gemmPackedA, gemmPackedB, gemmSlabB = 1 << 20, 1 << 20, 1 << 19
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
	l := GemmPlan{k: p.K, down: 1, across: 1, rows: p.M, cols: n, step: g.MR, mc: p.M, nc: n, slab: n, deep: p.K}
	if p.K <= 0 || p.Alpha == 0 {
		return l
	}
	l.kc = ceilDiv(ceilDiv(p.K, ceilDiv(p.K, g.KC)), gemmTerms) * gemmTerms
	if g.Direct {
		// As many rows in every tile: 17 rows are 9 and 8, not 14 and 3.
		l.step = ceilDiv(p.M, ceilDiv(p.M, g.MR))
	}
	// Packing moves every element once to save a slow access for every panel of B or tile of A that reads it. It pays where rows fall into the
	// same sets of a cache, or come from memory, or are many.
	c := caches()
	l.packA = !g.Direct || p.LDA%gemmAlias == 0 && n > 4*g.NR || p.RowSums != nil && !p.TransA
	l.packB = p.N > 0 && (!g.Direct || p.TransB || p.M > 4*g.MR && p.LDB%gemmAlias == 0 || p.M > 16*g.MR && p.K*p.N > 1<<20 || p.M > g.MR && p.K*p.N > c.l3/8)
	if threads > 1 {
		l.cut(g, p.M, n, threads)
	}

	kc := g.elements(l.kc)
	l.mc = even(l.rows, max(4*l.step, min(c.l2/2/(4*kc), c.l2/3/(4*gemmColumns), gemmCallFLOP/(2*g.NR*kc))), l.step)
	l.wholeB = l.rows > l.mc
	l.slab = l.cols
	if l.wholeB && l.packB {
		room := gemmPackedB
		if g.Shallow && p.K*l.cols > room {
			room = gemmSlabB
			l.deep = even(p.K, max(l.kc, room/l.cols), l.kc)
		}
		l.slab = even(l.cols, max(4*g.NR, room/g.elements(l.deep)), g.NR)
	}
	l.nc = even(l.slab, gemmColumns, g.NR)
	if l.packA {
		l.wholeA = l.mc*g.elements(l.deep) <= gemmPackedA
		l.sizeA = l.mc*kc + gemmSlack
		if l.wholeA {
			l.sizeA = l.mc*g.elements(l.deep) + gemmSlack
		}
		l.sizeA = ceilDiv(l.sizeA, gemmSlack) * gemmSlack
	}
	if l.packB {
		l.sizeB = l.nc*kc + gemmSlack
		if l.wholeB {
			l.sizeB = ceilDiv(l.slab, g.NR)*g.NR*g.elements(l.deep) + gemmSlack
		}
	}
	return l
}

// even cuts n into parts of at most most, a multiple of unit as it is itself, that are as even as can be.
func even(n, most, unit int) int {
	most = max(most/unit, 1) * unit
	return ceilDiv(ceilDiv(n, ceilDiv(n, most)), unit) * unit
}

// What a chunk costs besides its tiles times its panels, in units of these: to pack a panel or a tile, to read a tile where it lies, and, in
// multiply-adds, to be claimed by a thread.
const (
	gemmPackPanelCost, gemmPackTileCost, gemmTileCost = 1.5, 1.25, .25
	gemmClaimCost                                     = 1 << 16
)

// cut chooses the chunks for so many threads: among those of one to four for every thread, the ones that are done first.
func (l *GemmPlan) cut(g *GemmKernel, m, n, threads int) {
	tiles, panels := ceilDiv(m, l.step), ceilDiv(n, g.NR)
	panelCost, tileCost := 0., gemmTileCost
	if l.packB {
		panelCost = gemmPackPanelCost
	}
	if l.packA {
		tileCost = gemmPackTileCost
	}
	claim := gemmClaimCost / float64(l.step*g.NR*l.k)
	best := math.Inf(1)
	for across := 1; across <= min(panels, 4*threads); across += 1 + across/4 {
		wide := ceilDiv(panels, across)
		for each := 1; each <= 4; each++ {
			high := ceilDiv(tiles, ceilDiv(each*threads, across))
			rounds := ceilDiv(ceilDiv(tiles, high)*ceilDiv(panels, wide), threads)
			cost := float64(rounds) * (float64(high*wide) + panelCost*float64(wide) + tileCost*float64(high) + claim)
			// A thread that is held up holds up the others by a part of its last chunk.
			cost *= 1 + .1/float64(rounds)
			if cost < best {
				best = cost
				l.rows, l.cols = high*l.step, wide*g.NR
			}
		}
	}
	l.down, l.across = ceilDiv(m, l.rows), ceilDiv(n, l.cols)
}

// Chunks is how many there are, for GemmChunk.
func (l *GemmPlan) Chunks() int { return l.down * l.across }

// Work is how many elements of scratch memory a GemmChunk needs.
func (l *GemmPlan) Work() int { return l.sizeA + l.sizeB }

// GemmChunk computes a part of C and the row sums that belong to it: those of its rows, if it is of the first columns. work is scratch memory
// of l.Work elements; it is read faster where it begins at a multiple of 64 bytes.
func (t *Table) GemmChunk(p *Product, l *GemmPlan, chunk int, work []float32) {
	i0, j0 := chunk%l.down*l.rows, chunk/l.down*l.cols
	i1, j1 := min(i0+l.rows, p.M), min(j0+l.cols, p.N)
	b := gemmBlock{g: t.gemm(p), p: p, l: l, packedA: work[:l.sizeA], packedB: work[l.sizeA:]}
	if p.K <= 0 || p.Alpha == 0 {
		b.i, b.m = i0, i1-i0
		b.scale(j0, j1)
		return
	}
	for jc := j0; jc < max(j1, 1); jc += l.slab {
		for pc := 0; pc < p.K; pc += l.deep {
			b.pack(jc, min(l.slab, j1-jc), pc, min(l.deep, p.K-pc))
			for b.i = i0; b.i < i1; b.i += l.mc {
				b.m = min(l.mc, i1-b.i)
				if p.N <= 0 {
					b.sumRows()
					continue
				}
				for j := jc; j < min(jc+l.slab, j1); j += l.nc {
					b.multiply(j, min(l.nc, j1-j, jc+l.slab-j))
				}
			}
		}
	}
}

// gemmBlock is a block of C being computed: m rows from i on.
type gemmBlock struct {
	g                *GemmKernel
	p                *Product
	l                *GemmPlan
	i, m             int
	slab             int // the first column of B that is packed
	from, to         int // the terms that are packed
	packedA, packedB []float32
}

// pack packs n columns of op(B) from jc on for k terms from p0 on, if that is the plan.
func (b *gemmBlock) pack(jc, n, p0, k int) {
	b.slab, b.from, b.to = jc, p0, p0+k
	if !b.l.packB || !b.l.wholeB {
		return
	}
	for pc := b.from; pc < b.to; pc += b.l.kc {
		kc := min(b.l.kc, b.to-pc)
		b.g.packPanels(b.packedB[b.panels()*b.g.elements(pc-b.from):], b.p, pc, jc, kc, n)
	}
}

// panels is the room in a row of packed panels.
func (b *gemmBlock) panels() int { return ceilDiv(b.l.slab, b.g.NR) * b.g.NR }

// multiply adds the terms that are packed to the n columns from jc on.
func (b *gemmBlock) multiply(jc, n int) {
	g, p, l := b.g, b.p, b.l
	for pc := b.from; pc < b.to; pc += l.kc {
		kc := min(l.kc, b.to-pc)
		terms := g.elements(kc)
		a, aRow, aCol, aNext := b.tiles(jc, pc, kc)
		packed, from := b.packedB, jc
		if l.wholeB && l.packB {
			packed, from = packed[b.panels()*g.elements(pc-b.from):], b.slab
		} else if l.packB {
			g.packPanels(packed, p, pc, jc, kc, n)
		}
		for j := jc; j < jc+n; {
			w := g.panel(jc + n - j)
			// The panel of B.
			var bp *float32
			bRow := g.NR
			if l.packB {
				bp = &packed[(j-from)/g.NR*g.NR*terms+(j-from)%g.NR]
			} else {
				bp, bRow = &p.B[pc*p.LDB+j], p.LDB
			}
			c := &p.C[b.i*p.LDC+j]
			switch {
			case pc > 0:
				g.Panel(b.m, w, terms, l.step, a, aRow, aCol, aNext, bp, bRow, c, p.LDC, c, p.LDC, p.Alpha, 1)
			case p.D != nil && p.Beta != 0:
				g.Panel(b.m, w, terms, l.step, a, aRow, aCol, aNext, bp, bRow, c, p.LDC, &p.D[b.i*p.LDD+j], p.LDD, p.Alpha, p.Beta)
			default:
				g.Panel(b.m, w, terms, l.step, a, aRow, aCol, aNext, bp, bRow, c, p.LDC, nil, 0, p.Alpha, 0)
			}
			j += w
		}
	}
	if p.Finish != nil && b.to == p.K {
		p.Finish(b.i, jc, b.m, n)
	}
}

// tiles are kc terms from pc on of the block's rows of op(A), as Panel reads them for the columns from jc on: where they lie, or packed, which
// is done for the first columns of a slab. Those of C also get the row sums.
func (b *gemmBlock) tiles(jc, pc, kc int) (a *float32, aRow, aCol, aNext int) {
	g, p, l := b.g, b.p, b.l
	sums := p.RowSums
	if jc > 0 {
		sums = nil
	}
	if l.packA {
		tiles := b.packedA
		if l.wholeA {
			tiles = tiles[g.elements(pc-b.from)*ceilDiv(b.m, l.step)*l.step:]
		}
		if jc == b.slab || !l.wholeA {
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
		b.tiles(0, pc, min(b.l.kc, b.p.K-pc))
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
	if !x.TransB {
		g.packRows(dst, x.B[pc*x.LDB+jc:], x.LDB, kc, nc, g.NR)
		return
	}
	for j := 0; j < nc; j += g.NR {
		w := min(g.NR, nc-j)
		for p := 0; p < kc; p += gemmPackDepth {
			g.PackColumns(&dst[j*g.elements(kc)+g.elements(p)*g.NR], &x.B[(jc+j)*x.LDB+pc+p], x.LDB, min(gemmPackDepth, kc-p), w, g.NR)
		}
	}
}

// packRows packs k rows of n elements in panels.
func (g *GemmKernel) packRows(dst, src []float32, ld, k, n, width int) {
	next := width * g.elements(k)
	for j := 0; j < n; j += gemmPackPanels * width {
		g.PackRows(&dst[j/width*next], next, &src[j], ld, k, min(gemmPackPanels*width, n-j), width)
	}
}

// packTiles packs rows ic… and columns pc… of op(A) in tiles of step rows, and adds them to sums unless it is nil.
func (g *GemmKernel) packTiles(dst []float32, x *Product, ic, pc, mc, kc, step int, sums []float32) {
	if x.TransA {
		g.packRows(dst, x.A[pc*x.LDA+ic:], x.LDA, kc, mc, step)
	}
	for i := 0; i < mc; i += step {
		tile, n := &dst[i*g.elements(kc)], min(step, mc-i)
		if !x.TransA {
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
