package main

import (
	"fmt"

	"github.com/mmcloughlin/avo/attr"
	"github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// gemm writes the kernels of matrix products: GemmPanel, which multiplies, GemmPackRows and GemmPackColumns, which copy parts of a matrix
// into the order in which GemmPanel reads them, and GemmSumRows, which adds up what they have copied.
func gemm(c *build.Context, isa ISA) {
	if isa == AVX2 {
		c.StaticGlobal("lanes")
		c.DataAttributes(attr.RODATA | attr.NOPTR)
		for i := range 8 {
			c.AppendDatum(U32(uint32(i)))
		}
	}
	gemmPanel(c, isa, gemmFloat32Form)
	gemmPackRows(c, isa)
	gemmPackColumns(c, isa)
	gemmSumRows(c, isa, gemmFloat32Form)
}

// General registers of GemmPanel. The first group lives through the loop over k, the second through the loop over tiles.
var (
	gemmCount = reg.RAX // k down to 0
	gemmA0    = reg.RSI // row 0 of the tile of A, column by column
	gemmA1    = reg.RDI // row MR/2
	gemmB     = reg.R8  // row of B
	gemmARow  = reg.RBX // bytes from row to row of A
	gemmARow3 = reg.RCX
	gemmARow5 = reg.RDX
	gemmACol  = reg.R10 // bytes from column to column of A
	gemmBRow  = reg.R9  // bytes from row to row of B

	gemmC    = reg.R11 // the tile of C
	gemmD    = reg.R12 // the tile of D
	gemmA    = reg.R13 // the tile of A
	gemmLeft = reg.R15 // rows left
)

// gemmWidth is the number of columns of a panel, in registers: all of them full but the last, of which a mask says what is there.
type gemmWidth struct {
	name    string
	vectors int
	isa     ISA  // of the registers
	full    bool // the last one, too
}

// gemmForm is what the packed elements of A and B are.
type gemmForm struct {
	name        string // of the kernels: Gemm…
	panelDoc    []string
	multiplyAdd func(c *build.Context, b, a, acc reg.Register)

	elementDoc string
	prepareSum func(c *build.Context) // may use register 8
	sum        func(c *build.Context, a, acc reg.VecPhysical)
}

var gemmFloat32Form = gemmForm{
	name:        "Gemm",
	multiplyAdd: func(c *build.Context, b, a, acc reg.Register) { c.VFMADD231PS(b, a, acc) },
	prepareSum:  func(c *build.Context) {},
	sum:         func(c *build.Context, a, acc reg.VecPhysical) { c.VADDPS(a, acc, acc) },
}

// gemmPanel keeps a tile of C in registers: acc[i][j] += a[i]·b[j], one row of B and one column of A at a time. There is one loop for every
// number of rows, so that no row is computed in vain, and for every width.
func gemmPanel(c *build.Context, isa ISA, form gemmForm) {
	// The widest is first. A masked load costs a little on AVX2, so full panels have their own loops.
	mr, widths := 6, []gemmWidth{{"full", 2, AVX2, true}, {"two", 2, AVX2, false}, {"one", 1, AVX2, false}}
	if isa == AVX512 {
		// Half a register's columns cost half on CPUs that run 512-bit instructions as two of 256 bits, and 17 = 16+1 and 65 = 64+1 tokens are
		// what small pictures have.
		mr, widths = 14, []gemmWidth{{"two", 2, AVX512, false}, {"one", 1, AVX512, false}, {"half", 1, AVX2, false}}
	}
	c.Function(form.name + "Panel")
	c.Attributes(attr.NOSPLIT)
	c.SignatureExpr("func(m, n, k, step int, a *float32, aRow, aCol, aNext int, b *float32, bRow int, c *float32, ldc int, d *float32, ldd int, alpha, beta float32)")
	c.Doc(append([]string{fmt.Sprintf(form.name+"Panel computes C = alpha·A·B + beta·D for a panel of n <= %d columns, in tiles of step <= %d rows:", widths[0].vectors*isa.Lanes(), mr),
		"",
		"\tc[i·ldc+j] = alpha·Σ_p a[t·aNext + (i-t·step)·aRow + p·aCol]·b[p·bRow+j] + beta·d[i·ldd+j]    t = i/step, i < m, p < k, j < n",
		"",
		"k must not be 0. With d nil there is no beta·D; d may be c."}, form.panelDoc...)...)
	bytes := func(param string, r reg.GPPhysical) {
		c.Load(c.Param(param), r)
		c.SHLQ(Imm(2), r)
	}
	c.Load(c.Param("m"), gemmLeft)
	c.Load(c.Param("a"), gemmA)
	c.Load(c.Param("c"), gemmC)
	c.Load(c.Param("d"), gemmD)
	bytes("bRow", gemmBRow)
	bytes("aCol", gemmACol)
	c.Load(c.Param("n"), reg.RCX)
	for i, w := range widths[1:] {
		// What does not fit into this one is for the one before.
		most := w.vectors * w.isa.Lanes()
		if widths[i].full {
			most--
		}
		c.CMPQ(reg.RCX, Imm(uint64(most)))
		c.JG(LabelRef(widths[i].name))
	}
	// The narrowest is what falls through.
	for i := len(widths) - 1; i >= 0; i-- {
		w := widths[i]
		c.Label(w.name)
		if !w.full {
			gemmMask(c, isa, w)
		}
		bytes("aRow", gemmARow)
		c.LEAQ(Mem{Base: gemmARow, Index: gemmARow, Scale: 2}, gemmARow3)
		c.LEAQ(Mem{Base: gemmARow, Index: gemmARow, Scale: 4}, gemmARow5)
		c.Label(w.name + "_tile")
		c.TESTQ(gemmLeft, gemmLeft)
		c.JE(LabelRef("done"))
		rows := gemmB
		c.Load(c.Param("step"), rows)
		c.CMPQ(rows, gemmLeft)
		c.CMOVQGT(gemmLeft, rows)
		c.SUBQ(rows, gemmLeft)
		for r := mr; r > 1; r-- {
			c.CMPQ(rows, Imm(uint64(r)))
			c.JE(LabelRef(fmt.Sprintf("%s_%d", w.name, r)))
		}
		for r := 1; r <= mr; r++ {
			c.Label(fmt.Sprintf("%s_%d", w.name, r))
			gemmTile(c, isa, form, w, r, mr)
		}
	}
	c.Label("done")
	c.VZEROUPPER()
	c.RET()
}

// gemmMask sets the mask of the last vector from n in CX: K1, or Y15 on AVX2.
func gemmMask(c *build.Context, isa ISA, w gemmWidth) {
	if w.vectors > 1 {
		c.SUBQ(Imm(uint64((w.vectors-1)*w.isa.Lanes())), reg.RCX)
	}
	if isa == AVX512 {
		c.MOVL(U32(1), reg.EAX)
		c.SHLQ(reg.CL, reg.RAX)
		c.DECQ(reg.RAX)
		c.KMOVW(reg.EAX, reg.K1)
		return
	}
	laneMask(c, reg.ECX, reg.X15, reg.Y15)
}

// lanes is the constant 0, 1, …, 7, which gemm declares.
var lanes = NewDataAddr(NewStaticSymbol("lanes"), 0)

// laneMask sets the lanes of y below n.
func laneMask(c *build.Context, n reg.GPPhysical, x, y reg.VecPhysical) {
	c.VMOVD(n, x)
	c.VPBROADCASTD(x, y)
	c.VPCMPGTD(lanes, y, y)
}

// gemmTile is the loop over k and the end of one tile of r rows.
func gemmTile(c *build.Context, isa ISA, form gemmForm, w gemmWidth, r, mr int) {
	name := fmt.Sprintf("%s_%d", w.name, r)
	acc := func(i, j int) reg.VecPhysical { return vec(w.isa, i*w.vectors+j) }
	last := w.vectors - 1
	size := w.isa.Bytes
	// The registers after the accumulators of a full tile.
	free := 2 * mr
	half := mr / 2

	if r == mr {
		// C is wanted at the end of the loop: ask for it now.
		c.Load(c.Param("ldc"), reg.RAX)
		c.MOVQ(gemmC, reg.RDI)
		for i := range r {
			for j := 0; j < w.vectors*size; j += 64 {
				c.PREFETCHT0(Mem{Base: reg.RDI, Disp: j})
			}
			if i < r-1 {
				c.LEAQ(Mem{Base: reg.RDI, Index: reg.RAX, Scale: 4}, reg.RDI)
			}
		}
	}
	c.MOVQ(gemmA, gemmA0)
	if r > half {
		// gemmA1 = gemmA0 + half rows
		switch half {
		case 7:
			c.LEAQ(Mem{Base: gemmA0, Index: gemmARow, Scale: 2}, gemmA1)
			c.ADDQ(gemmARow5, gemmA1)
		case 6:
			c.LEAQ(Mem{Base: gemmA0, Index: gemmARow3, Scale: 2}, gemmA1)
		case 3:
			c.LEAQ(Mem{Base: gemmA0, Index: gemmARow3, Scale: 1}, gemmA1)
		default:
			panic("gemm: no half of that size")
		}
	}
	row := func(i int) Mem {
		base := gemmA0
		if i >= half {
			base, i = gemmA1, i-half
		}
		switch i {
		case 0:
			return Mem{Base: base}
		case 1, 2, 4:
			return Mem{Base: base, Index: gemmARow, Scale: uint8(i)}
		case 3, 6:
			return Mem{Base: base, Index: gemmARow3, Scale: uint8(i / 3)}
		default:
			return Mem{Base: base, Index: gemmARow5, Scale: 1}
		}
	}
	c.Load(c.Param("b"), gemmB)
	c.Load(c.Param("k"), gemmCount)
	for i := range r {
		for j := range w.vectors {
			zero(c, w.isa, acc(i, j))
		}
	}
	b := func(j int) reg.VecPhysical { return vec(w.isa, free+j) }
	c.Label(name + "_k")
	for j := range w.vectors {
		m := Mem{Base: gemmB, Disp: j * size}
		if j < last || w.full {
			c.VMOVUPS(m, b(j))
		} else {
			masked(c, isa, m, b(j))
		}
	}
	for i := range r {
		a := vec(w.isa, free+2)
		if isa == AVX512 {
			a = vec(w.isa, free+2+i%2)
		}
		c.VBROADCASTSS(row(i), a)
		for j := range w.vectors {
			form.multiplyAdd(c, b(j), a, acc(i, j))
		}
	}
	c.ADDQ(gemmACol, gemmA0)
	if r > half {
		c.ADDQ(gemmACol, gemmA1)
	}
	c.ADDQ(gemmBRow, gemmB)
	c.DECQ(gemmCount)
	c.JNE(LabelRef(name + "_k"))

	// acc = alpha·acc + beta·D
	alpha, beta, d := vec(w.isa, free), vec(w.isa, free+1), vec(w.isa, free+2)
	c.VBROADCASTSS(param(c, "alpha"), alpha)
	for i := range r {
		for j := range w.vectors {
			c.VMULPS(alpha, acc(i, j), acc(i, j))
		}
	}
	c.TESTQ(gemmD, gemmD)
	c.JE(LabelRef(name + "_store"))
	c.VBROADCASTSS(param(c, "beta"), beta)
	c.Load(c.Param("ldd"), reg.RAX)
	for i := range r {
		for j := range w.vectors {
			m := Mem{Base: gemmD, Disp: j * size}
			if j == last && !w.full {
				masked(c, isa, m, d)
				c.VFMADD231PS(d, beta, acc(i, j))
			} else {
				c.VFMADD231PS(m, beta, acc(i, j))
			}
		}
		c.LEAQ(Mem{Base: gemmD, Index: reg.RAX, Scale: 4}, gemmD)
	}

	c.Label(name + "_store")
	c.Load(c.Param("ldc"), reg.RAX)
	store := func(masked bool) {
		for i := range r {
			for j := range w.vectors {
				m := Mem{Base: gemmC, Disp: j * size}
				switch {
				case j < last || !masked:
					c.VMOVUPS(acc(i, j), m)
				case isa == AVX512:
					c.VMOVUPS(acc(i, j), reg.K1, m)
				default:
					c.VMASKMOVPS(acc(i, j), reg.Y15, m)
				}
			}
			c.LEAQ(Mem{Base: gemmC, Index: reg.RAX, Scale: 4}, gemmC)
		}
	}
	if isa == AVX2 && w.vectors == 1 {
		// A masked store is many times slower than a full one on some CPUs.
		c.Load(c.Param("n"), reg.RSI)
		c.CMPQ(reg.RSI, Imm(uint64(w.isa.Lanes())))
		c.JNE(LabelRef(name + "_masked"))
		store(false)
		c.JMP(LabelRef(name + "_next"))
		c.Label(name + "_masked")
	}
	store(!w.full)
	c.Label(name + "_next")
	c.Load(c.Param("aNext"), reg.RAX)
	c.LEAQ(Mem{Base: gemmA, Index: reg.RAX, Scale: 4}, gemmA)
	c.JMP(LabelRef(w.name + "_tile"))
}

// masked loads the lanes of the mask, zeros elsewhere.
func masked(c *build.Context, isa ISA, m Mem, v reg.VecPhysical) {
	if isa == AVX512 {
		c.VMOVUPS_Z(m, reg.K1, v)
	} else {
		c.VMASKMOVPS(m, reg.Y15, v)
	}
}

// zero clears a vector register.
func zero(c *build.Context, isa ISA, v reg.VecPhysical) {
	if isa == AVX512 {
		c.VPXORD(v, v, v)
	} else {
		c.VXORPS(v, v, v)
	}
}

// vec is vector register i.
func vec(isa ISA, i int) reg.VecPhysical {
	y := [...]reg.VecPhysical{reg.Y0, reg.Y1, reg.Y2, reg.Y3, reg.Y4, reg.Y5, reg.Y6, reg.Y7, reg.Y8, reg.Y9, reg.Y10, reg.Y11, reg.Y12, reg.Y13, reg.Y14, reg.Y15,
		reg.Y16, reg.Y17, reg.Y18, reg.Y19, reg.Y20, reg.Y21, reg.Y22, reg.Y23, reg.Y24, reg.Y25, reg.Y26, reg.Y27, reg.Y28, reg.Y29, reg.Y30, reg.Y31}
	if isa == AVX512 {
		return y[i].AsZ().(reg.VecPhysical)
	}
	return y[i]
}
