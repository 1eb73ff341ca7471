package main

import (
	"fmt"

	"github.com/mmcloughlin/avo/attr"
	"github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// gemmPackRows copies row after row, so that memory is read in long stretches; the writes of one row, a panel apart, are few enough to stay in
// the first-level cache until the next rows fill their lines. A panel is one vector wide at most, a tile's rows, or two, a panel of B.
func gemmPackRows(c *build.Context, isa ISA) {
	c.Function("GemmPackRows")
	c.Attributes(attr.NOSPLIT)
	c.SignatureExpr("func(dst *float32, next int, src *float32, ld, k, n, width int)")
	c.Doc(fmt.Sprintf("GemmPackRows copies k rows of n elements to panels of width elements, at most %d or %d: dst[j/width·next + p·width + j%%width] = src[p·ld+j].", isa.Lanes(), 2*isa.Lanes()),
		"What is beyond n in the last panel is undefined.")
	dst, next, src, ld, k, n, width := reg.RDI, reg.RDX, reg.RSI, reg.RBX, reg.RAX, reg.R12, reg.R15
	to, from, ahead, left := reg.R8, reg.R9, reg.R13, reg.RCX // in a row
	for _, p := range []struct {
		name string
		r    reg.GPPhysical
	}{{"dst", dst}, {"next", next}, {"src", src}, {"ld", ld}, {"k", k}, {"n", n}, {"width", width}} {
		c.Load(c.Param(p.name), p.r)
	}
	c.SHLQ(Imm(2), next)
	c.SHLQ(Imm(2), ld)
	// left = elements of the last panel
	c.LEAQ(Mem{Base: n, Disp: -1}, reg.RAX)
	c.XORQ(reg.RDX, reg.RDX)
	c.DIVQ(width)
	c.LEAQ(Mem{Base: reg.RDX, Disp: 1}, left)
	c.Load(c.Param("next"), next)
	c.SHLQ(Imm(2), next)
	c.Load(c.Param("k"), k)
	// Four rows on: a row is a new page, of which no CPU's prefetcher knows.
	rowAhead := reg.R11
	c.LEAQ(Mem{Base: src, Index: ld, Scale: 4}, rowAhead)

	// The first mask is the last panel's in the widest vector that it fills in part, the second that of a whole narrow panel or of the rest.
	first, second := reg.Register(reg.K1), reg.Register(reg.K2)
	if isa == AVX2 {
		first, second = reg.Y15, reg.Y14
	}
	mask := func(m reg.Register) { // of left lanes, which may be below 0
		if isa == AVX2 {
			laneMask(c, reg.ECX, m.(reg.VecPhysical).AsX().(reg.VecPhysical), m.(reg.VecPhysical))
			return
		}
		c.XORQ(reg.R10, reg.R10)
		c.TESTQ(left, left)
		c.CMOVQLT(reg.R10, left)
		c.MOVQ(I32(-1), reg.R10)
		c.BZHIQ(left, reg.R10, reg.R10)
		c.KMOVW(reg.R10L, m)
	}
	load := func(m Mem, k reg.Register, v reg.VecPhysical) {
		switch {
		case k == nil:
			c.VMOVUPS(m, v)
		case isa == AVX512:
			c.VMOVUPS_Z(m, k, v)
		default:
			c.VMASKMOVPS(m, k, v)
		}
	}
	at := func(base reg.Register, j int) Mem { return Mem{Base: base, Disp: j * isa.Bytes} }
	// row copies a row: panel for every panel but the last, last for that, and goes on to the next row.
	row := func(name string, panel, last func()) {
		c.MOVQ(dst, to)
		c.MOVQ(src, from)
		c.MOVQ(rowAhead, ahead)
		c.MOVQ(n, left)
		c.SUBQ(width, left)
		c.JLE(LabelRef(name + "_last"))
		c.Label(name + "_panel")
		panel()
		c.LEAQ(Mem{Base: from, Index: width, Scale: 4}, from)
		c.LEAQ(Mem{Base: ahead, Index: width, Scale: 4}, ahead)
		c.ADDQ(next, to)
		c.SUBQ(width, left)
		c.JG(LabelRef(name + "_panel"))
		c.Label(name + "_last")
		last()
		c.ADDQ(ld, src)
		c.ADDQ(ld, rowAhead)
		c.LEAQ(Mem{Base: dst, Index: width, Scale: 4}, dst)
	}
	c.CMPQ(width, Imm(uint64(isa.Lanes())))
	c.JLE(LabelRef("narrow"))

	mask(first)
	c.SUBQ(Imm(uint64(isa.Lanes())), left)
	mask(second)
	c.Label("wide")
	row("wide", func() {
		for j := 0; j < 2*isa.Bytes; j += 64 {
			c.PREFETCHT0(Mem{Base: ahead, Disp: j})
		}
		for j := range 2 {
			load(at(from, j), nil, vec(isa, j))
		}
		for j := range 2 {
			c.VMOVUPS(vec(isa, j), at(to, j))
		}
	}, func() {
		load(at(from, 0), first, vec(isa, 0))
		load(at(from, 1), second, vec(isa, 1))
		for j := range 2 {
			c.VMOVUPS(vec(isa, j), at(to, j))
		}
	})
	c.DECQ(k)
	c.JNE(LabelRef("wide"))
	c.VZEROUPPER()
	c.RET()

	c.Label("narrow")
	mask(first)
	c.MOVQ(width, left)
	mask(second)
	narrow := func(name string, store func(m Mem)) {
		row(name, func() {
			c.PREFETCHT0(Mem{Base: ahead})
			load(Mem{Base: from}, second, vec(isa, 0))
			store(Mem{Base: to})
		}, func() {
			load(Mem{Base: from}, first, vec(isa, 0))
			store(Mem{Base: to})
		})
	}
	if isa == AVX2 {
		// Masked stores are slow. While they stay within the panel, whole vectors are stored, and what is too much is overwritten by the next
		// rows.
		c.Label("narrow_rows")
		c.MOVQ(k, left)
		c.IMULQ(width, left)
		c.CMPQ(left, Imm(uint64(isa.Lanes())))
		c.JL(LabelRef("narrow_end"))
		narrow("narrow", func(m Mem) { c.VMOVUPS(vec(isa, 0), m) })
		c.DECQ(k)
		c.JMP(LabelRef("narrow_rows"))
		c.Label("narrow_end")
		c.TESTQ(k, k)
		c.JE(LabelRef("done"))
	}
	c.Label("end_rows")
	narrow("end", func(m Mem) {
		if isa == AVX512 {
			c.VMOVUPS(vec(isa, 0), second, m)
		} else {
			c.VMASKMOVPS(vec(isa, 0), second, m)
		}
	})
	c.DECQ(k)
	c.JNE(LabelRef("end_rows"))
	if isa == AVX2 {
		c.Label("done")
	}
	c.VZEROUPPER()
	c.RET()
}

// gemmSumRows keeps four sums of vectors, one row in each lane.
func gemmSumRows(c *build.Context, isa ISA, form gemmForm) {
	c.Function(form.name + "SumRows")
	c.Attributes(attr.NOSPLIT)
	c.SignatureExpr("func(sums, a *float32, ld, k, n int)")
	c.Doc(fmt.Sprintf(form.name+"SumRows adds up rows that are stored column after column: sums[i] += Σ_p a[p·ld+i], i < n <= %d. Its order is that of four sums", isa.Lanes()),
		"over every fourth p, s0…s3, added as (s0+s1) + (s2+s3)."+form.elementDoc)
	sums, a, ld, ld3, k, n := reg.RDI, reg.RSI, reg.RDX, reg.RBX, reg.R9, reg.RCX
	c.Load(c.Param("sums"), sums)
	c.Load(c.Param("a"), a)
	c.Load(c.Param("ld"), ld)
	c.SHLQ(Imm(2), ld)
	c.LEAQ(Mem{Base: ld, Index: ld, Scale: 2}, ld3)
	c.Load(c.Param("n"), n)
	gemmMask(c, isa, gemmWidth{vectors: 1})
	c.Load(c.Param("k"), k)
	s := func(i int) reg.VecPhysical { return vec(isa, i) }
	for i := range 4 {
		zero(c, isa, s(i))
	}
	form.prepareSum(c)
	column := []Mem{{Base: a}, {Base: a, Index: ld, Scale: 1}, {Base: a, Index: ld, Scale: 2}, {Base: a, Index: ld3, Scale: 1}}
	add := func(i int) {
		masked(c, isa, column[i], vec(isa, 4+i))
		form.sum(c, vec(isa, 4+i), s(i))
	}
	c.SUBQ(Imm(4), k)
	c.JL(LabelRef("rest"))
	c.Label("four")
	for i := range 4 {
		add(i)
	}
	c.LEAQ(Mem{Base: a, Index: ld, Scale: 4}, a)
	c.SUBQ(Imm(4), k)
	c.JGE(LabelRef("four"))
	c.Label("rest")
	for i := range 3 {
		c.CMPQ(k, I8(int8(i-3)))
		c.JL(LabelRef("end"))
		add(i)
	}
	c.Label("end")
	c.VADDPS(s(1), s(0), s(0))
	c.VADDPS(s(3), s(2), s(2))
	c.VADDPS(s(2), s(0), s(0))
	masked(c, isa, Mem{Base: sums}, s(1))
	c.VADDPS(s(1), s(0), s(0))
	if isa == AVX512 {
		c.VMOVUPS(s(0), reg.K1, Mem{Base: sums})
	} else {
		c.VMASKMOVPS(s(0), reg.Y15, Mem{Base: sums})
	}
	c.VZEROUPPER()
	c.RET()
}

// gemmPackColumns transposes eight rows of src at a time, four columns of them in four registers: the rows r and r+4 in the two halves of
// one register, so that the eight shuffles of a 4×4 transposition do both. The rows of the last eight that there are not are copies of the
// last: what is too much of them is overwritten by the first eight of the next column, because the eights are done from the last to the
// first.
func gemmPackColumns(c *build.Context, isa ISA) {
	c.Function("GemmPackColumns")
	c.Attributes(attr.NOSPLIT)
	c.SignatureExpr("func(dst, src *float32, ld, k, n, width int)")
	c.Doc("GemmPackColumns copies k columns of n <= width elements: dst[p·width+j] = src[j·ld+p]; what is at n <= j < width is undefined.",
		"It may write up to 7 elements beyond the last column.")
	row := []reg.GPPhysical{reg.R8, reg.R9, reg.R10, reg.R11, reg.R12, reg.R13, reg.RSI, reg.RDI}
	p, dst, width, k, group, ahead := reg.RAX, reg.RCX, reg.RDX, reg.RBX, reg.R15, reg.R14
	c.Load(c.Param("n"), group)
	c.DECQ(group)
	c.ANDQ(I8(-8), group) // the first row of the last eight
	c.Load(c.Param("width"), width)
	c.SHLQ(Imm(2), width)
	c.Label("eight")
	// row[i] = src + ld·(group + min(i, n-group-1))
	ld, left := reg.RBX, reg.RCX
	c.Load(c.Param("ld"), ld)
	c.Load(c.Param("n"), left)
	c.SUBQ(group, left)
	c.MOVQ(group, row[0])
	c.IMULQ(ld, row[0])
	c.SHLQ(Imm(2), row[0])
	c.ADDQ(param(c, "src"), row[0])
	for i := 1; i < 8; i++ {
		c.LEAQ(Mem{Base: row[i-1], Index: ld, Scale: 4}, reg.RAX)
		c.MOVQ(row[i-1], row[i])
		c.CMPQ(left, Imm(uint64(i)))
		c.CMOVQGT(reg.RAX, row[i])
	}
	c.Load(c.Param("dst"), dst)
	c.LEAQ(Mem{Base: dst, Index: group, Scale: 4}, dst)
	c.Load(c.Param("k"), k)
	c.XORQ(p, p)
	// What is p in a row of this panel is ahead in the row of the next one, which it is time to fetch.
	c.Load(c.Param("width"), ahead)
	c.IMULQ(param(c, "ld"), ahead)
	at := func(i int) Mem { return Mem{Base: row[i], Index: p, Scale: 4} }
	y := func(i int) reg.VecPhysical { return vec(AVX2, i) }
	four := func() {
		for i := range 4 {
			c.VMOVUPS(at(i), y(i).AsX())
			c.VINSERTF128(Imm(1), at(i+4), y(i), y(i))
		}
		c.VUNPCKLPS(y(1), y(0), y(4))
		c.VUNPCKHPS(y(1), y(0), y(5))
		c.VUNPCKLPS(y(3), y(2), y(6))
		c.VUNPCKHPS(y(3), y(2), y(7))
		c.VUNPCKLPD(y(6), y(4), y(0))
		c.VUNPCKHPD(y(6), y(4), y(1))
		c.VUNPCKLPD(y(7), y(5), y(2))
		c.VUNPCKHPD(y(7), y(5), y(3))
		for i := range 4 {
			c.VMOVUPS(y(i), Mem{Base: dst})
			c.ADDQ(width, dst)
		}
		c.ADDQ(Imm(4), p)
	}
	c.SUBQ(Imm(16), k)
	c.JL(LabelRef("fours"))
	c.Label("sixteen")
	for i := range 4 {
		for r := 2 * i; r < 2*i+2; r++ {
			c.PREFETCHT1(Mem{Base: row[r], Index: ahead, Scale: 4})
		}
		four()
	}
	c.ADDQ(Imm(16), ahead)
	c.CMPQ(p, k)
	c.JLE(LabelRef("sixteen"))
	c.Label("fours")
	c.ADDQ(Imm(12), k)
	c.CMPQ(p, k)
	c.JG(LabelRef("columns"))
	c.Label("four")
	four()
	c.CMPQ(p, k)
	c.JLE(LabelRef("four"))
	c.Label("columns")
	c.ADDQ(Imm(4), k)
	c.Label("column")
	c.CMPQ(p, k)
	c.JGE(LabelRef("next"))
	for i := range 8 {
		c.VMOVSS(at(i), reg.X0)
		c.VMOVSS(reg.X0, Mem{Base: dst, Disp: 4 * i})
	}
	c.ADDQ(width, dst)
	c.INCQ(p)
	c.JMP(LabelRef("column"))
	c.Label("next")
	c.SUBQ(Imm(8), group)
	c.JGE(LabelRef("eight"))
	c.VZEROUPPER()
	c.RET()
}
