package kernels

import "unsafe"

// GemmKernel is what a matrix product needs from an instruction set: the kernel that multiplies, and those that copy parts of a matrix into
// the order in which it reads them.
type GemmKernel struct {
	MR, NR int // rows and columns of the tile of C that is kept in registers

	// Narrow columns cost Panel a quarter of a whole panel; 0 says that they cost as much as half of one.
	Narrow int

	// KC is how many terms of a sum are added in registers before they are added to C. It is fixed for a kernel and not derived from the
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

	// SumRows adds up the rows of a packed tile: sums[i] += Σ_p a[p·width+i], i < n <= width <= MR. Its order is that of four sums over every
	// fourth p, s0…s3, added as (s0+s1) + (s2+s3). Up to gemmSlack elements beyond the last of a may be read.
	SumRows func(sums, a *float32, k, n, width int)

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

// block is the part of p that computes the block of C at (i, j).
func (p *Product) block(i, j, rows, cols int) Product {
	b := *p
	b.M, b.N = rows, cols
	if p.K > 0 {
		b.A = p.A[start(p.TransA, i, p.LDA):]
	}
	if p.K > 0 && cols > 0 {
		b.B = p.B[start(!p.TransB, j, p.LDB):]
	}
	if cols > 0 {
		b.C = p.C[i*p.LDC+j:]
	}
	if p.D != nil && cols > 0 {
		b.D = p.D[i*p.LDD+j:]
	}
	if p.RowSums != nil {
		b.RowSums = nil
		if j == 0 {
			b.RowSums = p.RowSums[i:]
		}
	}
	return b
}

// start is where line i of a matrix begins: a column or a row.
func start(column bool, i, ld int) int {
	if column {
		return i
	}
	return i * ld
}

// GemmWork is how many float32 of scratch memory GemmBlock needs for blocks of C of up to that many rows and columns.
func (t *Table) GemmWork(p *Product, rows, cols int) int {
	if rows <= 0 || p.K <= 0 {
		return 0
	}
	g := t.gemm(p)
	if cols <= 0 {
		return g.MR*g.elements(g.KC) + 2*gemmSlack
	}
	l := g.plan(rows, cols, p.K, p.RowSums != nil)
	return l.sizeA + l.sizeB + gemmSlack
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

// GemmSerial computes p on the calling goroutine. work is scratch of GemmWork(p, p.M, p.N) elements.
func (t *Table) GemmSerial(p *Product, work []float32) { t.GemmBlock(p, 0, 0, p.M, p.N, work) }

// GemmBlock computes the block of C at (i0, j0) of that many rows and columns, and the row sums that belong to it: those of its rows, if it is
// of the first columns. work is scratch of at least GemmWork(p, rows, cols) elements.
func (t *Table) GemmBlock(p *Product, i0, j0, rows, cols int, work []float32) {
	if rows <= 0 {
		return
	}
	x, g := p.block(i0, j0, rows, cols), t.gemm(p)
	if cols <= 0 {
		g.sumRows(&x, work)
		return
	}
	if x.Beta == 0 {
		x.D = nil
	}
	m, n, k := x.M, x.N, x.K
	if k <= 0 || x.Alpha == 0 {
		gemmScale(m, n, x.Beta, x.D, x.LDD, x.C, x.LDC)
		if x.Finish != nil {
			x.Finish(i0, j0, m, n)
		}
		return
	}
	l := g.plan(m, n, k, p.RowSums != nil)
	packB := x.TransB || l.packB
	work = alignToLine(work)
	packedA, packedB := work[:l.sizeA], work[l.sizeA:l.sizeA+l.sizeB]
	// op(A)[i][p] is A[i·aRow + p·aCol].
	aRow, aCol := x.LDA, 1
	if x.TransA {
		aRow, aCol = 1, x.LDA
	}
	if l.wholeA {
		for pc := 0; pc < k; pc += l.kc {
			g.packTiles(packedA[g.elements(pc)*l.tiles*l.step:], &x, 0, pc, m, min(l.kc, k-pc), l.step, x.RowSums)
		}
	}
	for jc := 0; jc < n; jc += l.nc {
		nc := min(l.nc, n-jc)
		for pc := 0; pc < k; pc += l.kc {
			kc := min(l.kc, k-pc)
			if packB {
				g.packPanels(packedB, &x, pc, jc, kc, nc)
			}
			for ic := 0; ic < m; ic += l.mc {
				mc := min(l.mc, m-ic)
				// The block of A, tile after tile.
				ap, tileRow, tileCol, tileNext := &x.A[ic*aRow+pc*aCol], aRow, aCol, l.step*aRow
				if l.packA {
					if l.wholeA {
						ap = &packedA[g.elements(pc)*l.tiles*l.step]
					} else {
						sums := x.RowSums
						if jc > 0 {
							sums = nil
						}
						g.packTiles(packedA, &x, ic, pc, mc, kc, l.step, sums)
						ap = &packedA[0]
					}
					tileRow, tileCol, tileNext = 1, l.step, l.step*g.elements(kc)
				}
				for j := 0; j < nc; {
					w := g.panel(nc - j)
					var bp *float32
					bRow := g.NR
					if packB {
						bp = &packedB[j/g.NR*g.NR*g.elements(kc)+j%g.NR]
					} else {
						bp, bRow = &x.B[pc*x.LDB+jc+j], x.LDB
					}
					cp := &x.C[ic*x.LDC+jc+j]
					dp, dRow, s := cp, x.LDC, float32(1)
					if pc == 0 {
						dp, s = nil, x.Beta
						if x.D != nil {
							dp, dRow = &x.D[ic*x.LDD+jc+j], x.LDD
						}
					}
					g.Panel(mc, w, g.elements(kc), l.step, ap, tileRow, tileCol, tileNext, bp, bRow, cp, x.LDC, dp, dRow, x.Alpha, s)
					j += w
				}
				if x.Finish != nil && pc+kc == k {
					x.Finish(i0+ic, j0+jc, mc, nc)
				}
			}
		}
	}
}

// sumRows computes the row sums of a product without columns.
func (g *GemmKernel) sumRows(x *Product, work []float32) {
	if x.RowSums == nil || x.Alpha == 0 {
		return
	}
	for i := 0; i < x.M; i += g.MR {
		for p := 0; p < x.K; p += g.KC {
			g.packTiles(work, x, i, p, min(g.MR, x.M-i), min(g.KC, x.K-p), g.MR, x.RowSums)
		}
	}
}

// packPanels packs rows pc… and columns jc… of op(B) in panels.
func (g *GemmKernel) packPanels(dst []float32, x *Product, pc, jc, kc, nc int) {
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
			g.SumRows(&sums[ic+i], tile, g.elements(kc), n, step)
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

// gemmScale computes C = beta·D.
func gemmScale(m, n int, beta float32, d []float32, ldd int, c []float32, ldc int) {
	for i := range m {
		ci := c[i*ldc : i*ldc+n]
		if d == nil || beta == 0 {
			clear(ci)
			continue
		}
		for j, v := range d[i*ldd : i*ldd+n] {
			ci[j] = beta * v
		}
	}
}

// gemmPlan is how a product is cut into blocks that stay in the caches.
type gemmPlan struct {
	step         int  // rows of a tile
	tiles        int  // of all rows
	mc, nc, kc   int  // block sizes
	packA, packB bool // B is packed in any case if it is transposed
	wholeA       bool // A is packed once, not block by block
	sizeA, sizeB int  // elements of the packed blocks
}

func (g *GemmKernel) plan(m, n, k int, sums bool) gemmPlan {
	mc, nc := g.blocks()
	p := gemmPlan{kc: min(g.KC, k), step: g.MR}
	if g.Direct {
		// As many rows in every tile: 17 rows are 9 and 8, not 14 and 3.
		p.step = ceilDiv(m, ceilDiv(m, g.MR))
	}
	p.tiles = ceilDiv(m, p.step)
	p.mc = mc / p.step * p.step
	// Packing moves every element once to save a slow access for every panel of B or tile of A that reads it.
	p.packA = !g.Direct || n > 4*g.NR || sums
	p.packB = !g.Direct || m > 4*g.MR
	p.nc = min(nc, ceilDiv(n, g.NR)*g.NR)
	if p.packA {
		if m <= mc && p.tiles*p.step*k <= mc*g.KC {
			p.wholeA = true
			p.mc = m
			p.sizeA = p.tiles*p.step*g.elements(k) + gemmSlack
			// Nothing is packed again for another block of columns: keep it so small that it comes from the nearest cache.
			p.nc = min(p.nc, 4*g.NR)
		} else {
			p.sizeA = min(p.mc, p.tiles*p.step)*g.elements(p.kc) + gemmSlack
		}
		p.sizeA = ceilDiv(p.sizeA, gemmSlack) * gemmSlack
	}
	p.sizeB = p.nc*g.elements(p.kc) + gemmSlack
	return p
}

// blocks are MC and NC: a packed block of A fills half of the second-level cache, one of B an eighth of the last. A call of Panel, which the
// garbage collector has to wait for, is kept below gemmCallFLOP.
func (g *GemmKernel) blocks() (mc, nc int) {
	c := caches()
	kc := g.elements(g.KC)
	mc = min(c.l2/2/(4*kc), gemmCallFLOP/(2*g.NR*kc))
	nc = c.l3 / 8 / (4 * kc)
	return max(mc/g.MR, 4) * g.MR, min(max(nc/g.NR, 8), 64) * g.NR
}

// gemmCallFLOP take well below 100 µs.
const gemmCallFLOP = 8 << 20

func ceilDiv(a, b int) int { return (a + b - 1) / b }

// alignToLine cuts what is before the first 64-byte boundary.
func alignToLine(s []float32) []float32 {
	if len(s) < gemmSlack {
		return s
	}
	skip := -uintptr(unsafe.Pointer(unsafe.SliceData(s))) % 64 / 4
	return s[skip:]
}
