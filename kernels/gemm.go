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

	// Peak runs n rounds of as many independent multiply-adds as PeakFLOP counts operations; see Table.Ceiling.
	Peak     func(n int)
	PeakFLOP int
}

// gemmSlack is what packing may write beyond its end, and what aligning to a cache line may cost, in elements.
const gemmSlack = 16

// gemmPackDepth columns of a panel of B are transposed at a time, so that the part of the panel that is written, in several rounds, stays in
// the first-level cache.
const gemmPackDepth = 128

// GemmWork is how many float32 of scratch memory GemmSerial needs for a product of that size.
func (t *Table) GemmWork(m, n, k int) int {
	if m <= 0 || n <= 0 || k <= 0 {
		return 0
	}
	p := t.planGemm(m, n, k)
	return p.sizeA + p.sizeB + gemmSlack
}

// GemmSerial computes C = alpha·op(A)·op(B) + beta·C on the calling goroutine, where op transposes if asked. C is m×n, op(A) m×k, op(B) k×n;
// all are row-major with leading dimensions lda, ldb, ldc. With beta 0, C need not be initialised; with alpha 0, A and B are not read. work
// is scratch of GemmWork elements.
//
// An element's bits depend on its row of op(A), its column of op(B) and K, not on where it is in which matrix: a product may be cut into
// blocks of C as one likes.
func (t *Table) GemmSerial(transA, transB bool, m, n, k int, alpha float32, a []float32, lda int, b []float32, ldb int, beta float32, c []float32, ldc int, work []float32) {
	d := c
	if beta == 0 {
		d = nil
	}
	t.GemmAdd(transA, transB, m, n, k, alpha, a, lda, b, ldb, beta, d, ldc, c, ldc, work)
}

// GemmAdd is GemmSerial with another matrix to add: C = alpha·op(A)·op(B) + beta·D. D is m×n with leading dimension ldd, which may be 0: a row
// that is added to every row of C, as the bias of a linear layer. D may be C; a nil D is none.
func (t *Table) GemmAdd(transA, transB bool, m, n, k int, alpha float32, a []float32, lda int, b []float32, ldb int, beta float32, d []float32, ldd int, c []float32, ldc int, work []float32) {
	if m <= 0 || n <= 0 {
		return
	}
	if k <= 0 || alpha == 0 {
		gemmScale(m, n, beta, d, ldd, c, ldc)
		return
	}
	g := &t.Gemm
	p := t.planGemm(m, n, k)
	packB := transB || p.packB
	work = alignToLine(work)
	packedA, packedB := work[:p.sizeA], work[p.sizeA:p.sizeA+p.sizeB]
	// op(A)[i][p] is a[i·aRow + p·aCol].
	aRow, aCol := lda, 1
	packA := g.PackColumns
	if transA {
		aRow, aCol = 1, lda
		packA = g.PackRows
	}
	if p.wholeA {
		for pc := 0; pc < k; pc += p.kc {
			g.packTiles(packA, packedA[pc*p.tiles*p.step:], a[pc*aCol:], lda, aRow, m, min(p.kc, k-pc), p.step)
		}
	}
	for jc := 0; jc < n; jc += p.nc {
		nc := min(p.nc, n-jc)
		for pc := 0; pc < k; pc += p.kc {
			kc := min(p.kc, k-pc)
			if packB {
				for j := 0; j < nc; j += g.NR {
					w := min(g.NR, nc-j)
					if transB {
						for p := 0; p < kc; p += gemmPackDepth {
							g.PackColumns(&packedB[j*kc+p*g.NR], &b[(jc+j)*ldb+pc+p], ldb, min(gemmPackDepth, kc-p), w, g.NR)
						}
					} else {
						g.PackRows(&packedB[j*kc], &b[pc*ldb+jc+j], ldb, kc, w, g.NR)
					}
				}
			}
			for ic := 0; ic < m; ic += p.mc {
				mc := min(p.mc, m-ic)
				// The block of A, tile after tile.
				ap, tileRow, tileCol, tileNext := &a[ic*aRow+pc*aCol], aRow, aCol, p.step*aRow
				if p.packA {
					if p.wholeA {
						ap = &packedA[pc*p.tiles*p.step]
					} else {
						g.packTiles(packA, packedA, a[ic*aRow+pc*aCol:], lda, aRow, mc, kc, p.step)
						ap = &packedA[0]
					}
					tileRow, tileCol, tileNext = 1, p.step, p.step*kc
				}
				for j := 0; j < nc; {
					w := g.panel(nc - j)
					var bp *float32
					bRow := g.NR
					if packB {
						bp = &packedB[j/g.NR*g.NR*kc+j%g.NR]
					} else {
						bp, bRow = &b[pc*ldb+jc+j], ldb
					}
					cp := &c[ic*ldc+jc+j]
					dp, dRow, s := cp, ldc, float32(1)
					if pc == 0 {
						dp, s = nil, beta
						if d != nil {
							dp, dRow = &d[ic*ldd+jc+j], ldd
						}
					}
					g.Panel(mc, w, kc, p.step, ap, tileRow, tileCol, tileNext, bp, bRow, cp, ldc, dp, dRow, alpha, s)
					j += w
				}
			}
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

// packTiles packs m rows of op(A) in tiles of step rows.
func (g *GemmKernel) packTiles(pack func(dst, src *float32, ld, k, n, width int), dst, a []float32, lda, aRow, m, k, step int) {
	for i := 0; i < m; i += step {
		pack(&dst[i*k], &a[i*aRow], lda, k, min(step, m-i), step)
	}
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

func (t *Table) planGemm(m, n, k int) gemmPlan {
	g := &t.Gemm
	mc, nc := g.blocks()
	p := gemmPlan{kc: min(g.KC, k), step: g.MR}
	if g.Direct {
		// As many rows in every tile: 17 rows are 9 and 8, not 14 and 3.
		p.step = ceilDiv(m, ceilDiv(m, g.MR))
	}
	p.tiles = ceilDiv(m, p.step)
	p.mc = mc / p.step * p.step
	// Packing moves every element once to save a slow access for every panel of B or tile of A that reads it.
	p.packA = !g.Direct || n > 4*g.NR
	p.packB = !g.Direct || m > 4*g.MR
	p.nc = min(nc, ceilDiv(n, g.NR)*g.NR)
	if p.packA {
		if m <= mc && p.tiles*p.step*k <= mc*g.KC {
			p.wholeA = true
			p.mc = m
			p.sizeA = p.tiles*p.step*k + gemmSlack
			// Nothing is packed again for another block of columns: keep it so small that it comes from the nearest cache.
			p.nc = min(p.nc, 4*g.NR)
		} else {
			p.sizeA = min(p.mc, p.tiles*p.step)*p.kc + gemmSlack
		}
		p.sizeA = ceilDiv(p.sizeA, gemmSlack) * gemmSlack
	}
	p.sizeB = p.nc*p.kc + gemmSlack
	return p
}

// blocks are MC and NC: a packed block of A fills half of the second-level cache, one of B an eighth of the last. A call of Panel, which the
// garbage collector has to wait for, is kept below gemmCallFLOP.
func (g *GemmKernel) blocks() (mc, nc int) {
	c := caches()
	mc = min(c.l2/2/(4*g.KC), gemmCallFLOP/(2*g.NR*g.KC))
	nc = c.l3 / 8 / (4 * g.KC)
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
