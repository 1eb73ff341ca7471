package main

import (
	"fmt"

	"github.com/mmcloughlin/avo/attr"
	"github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

var gemmBF16Form = gemmForm{
	name: "GemmBF16",
	panelDoc: []string{"",
		"Elements of a and b are two terms of the sum in bf16, which k counts; their products are added in float32, the second before the first."},
	multiplyAdd: vdpbf16ps,

	elementDoc: " An element is two terms in bf16, of which the second is added first.",
	prepareSum: func(c *build.Context) {
		c.MOVL(U32(0x3f803f80), reg.R8L) // 1 and 1
		c.VPBROADCASTD(reg.R8L, reg.Z8)
	},
	sum: func(c *build.Context, a, acc reg.VecPhysical) { vdpbf16ps(c, a, reg.Z8, acc) },
}

// gemmBF16 writes the kernels of matrix products of bf16 numbers, for CPUs with AVX512_BF16: the same as gemm's, for packed operands in
// which a 32-bit word holds two consecutive terms, the earlier one in the low half. The packing rounds float32 to bf16.
func gemmBF16(c *build.Context, isa ISA) {
	if isa != AVX512 {
		return
	}
	c.StaticGlobal("interleave")
	c.DataAttributes(attr.RODATA | attr.NOPTR)
	for i := range 16 {
		c.AppendDatum(U32(uint32(i | (16+i)<<16)))
	}
	gemmPanel(c, isa, gemmBF16Form)
	gemmBF16PackRows(c)
	gemmBF16PackColumns(c)
	gemmSumRows(c, isa, gemmBF16Form)
	gemmBF16Peak(c)
}

// gemmBF16PackRows rounds two rows at a time: the words of row p in one half of a register, those of row p+1 in the other, and then in turn.
func gemmBF16PackRows(c *build.Context) {
	c.Function("GemmBF16PackRows")
	c.Attributes(attr.NOSPLIT)
	c.SignatureExpr("func(dst, src *float32, ld, k, n, width int)")
	c.Doc("GemmBF16PackRows rounds k rows of n <= width <= 32 elements to bf16, two rows to a row of words: dst[p·width+j] = src[2p·ld+j],",
		"src[(2p+1)·ld+j], zeros for n <= j < width and in place of the row after an odd last one. It may write up to 16 words beyond the last row.")
	dst, src, ld, k, width := reg.RDI, reg.RSI, reg.RBX, reg.RAX, reg.RDX
	c.Load(c.Param("n"), reg.RCX)
	c.MOVQ(U64(^uint64(0)), reg.R8)
	c.SHLQ(reg.CL, reg.R8)
	c.NOTQ(reg.R8)
	c.KMOVW(reg.R8L, reg.K1)
	c.SHRQ(Imm(16), reg.R8)
	c.KMOVW(reg.R8L, reg.K2)
	masks := []reg.OpmaskPhysical{reg.K1, reg.K2}
	c.Load(c.Param("dst"), dst)
	c.Load(c.Param("src"), src)
	c.Load(c.Param("ld"), ld)
	c.SHLQ(Imm(2), ld)
	c.Load(c.Param("width"), width)
	c.SHLQ(Imm(2), width)
	c.Load(c.Param("k"), k)
	interleave := reg.Z31
	c.VMOVDQU32(NewDataAddr(NewStaticSymbol("interleave"), 0), interleave)
	round := func(vectors int, odd bool) {
		for j := range vectors {
			low, high := vec(AVX512, 2*j), vec(AVX512, 2*j+1)
			m := Mem{Base: src, Disp: 64 * j}
			c.VMOVUPS_Z(m, masks[j], low)
			if odd {
				zero(c, AVX512, high)
			} else {
				m.Index, m.Scale = ld, 1
				c.VMOVUPS_Z(m, masks[j], high)
			}
			vcvtne2ps2bf16(c, low, high, low)
			c.VPERMW(low, interleave, low)
			c.VMOVDQU32(low, Mem{Base: dst, Disp: 64 * j})
		}
	}
	c.CMPQ(width, Imm(64))
	c.JG(LabelRef("two"))
	for vectors, name := range []string{1: "one", 2: "two"} {
		if name == "" {
			continue
		}
		c.Label(name)
		c.SUBQ(Imm(2), k)
		c.JL(LabelRef(name + "_odd"))
		round(vectors, false)
		if vectors == 2 {
			// The same rows of the next panel: they are a stride apart, which no CPU foresees.
			for j := 128; j < 256; j += 64 {
				c.PREFETCHT1(Mem{Base: src, Disp: j})
				c.PREFETCHT1(Mem{Base: src, Index: ld, Scale: 1, Disp: j})
			}
		}
		c.LEAQ(Mem{Base: src, Index: ld, Scale: 2}, src)
		c.ADDQ(width, dst)
		c.JMP(LabelRef(name))
		c.Label(name + "_odd")
		c.CMPQ(k, I8(-1))
		c.JNE(LabelRef("done"))
		round(vectors, true)
		c.JMP(LabelRef("done"))
	}
	c.Label("done")
	c.VZEROUPPER()
	c.RET()
}

// gemmBF16PackColumns transposes sixteen rows of src at a time, 32 terms of them rounded to sixteen words: four rounds of shuffles, of words,
// of pairs of words and, twice, of quarters of a register. The rows of the last sixteen that there are not are copies of the last: what is
// too much of them is overwritten by the first sixteen of the next column, because the sixteens are done from the last to the first.
func gemmBF16PackColumns(c *build.Context) {
	c.Function("GemmBF16PackColumns")
	c.Attributes(attr.NOSPLIT)
	c.SignatureExpr("func(dst, src *float32, ld, k, n, width int)")
	c.Doc("GemmBF16PackColumns rounds k columns of n <= width elements to bf16, two columns to a column of words: dst[p·width+j] = src[j·ld+2p],",
		"src[j·ld+2p+1], zeros in place of the column after an odd last one; what is at n <= j < width is undefined. It may write up to 15 words beyond the last column.")
	dst, src, left, ld, k, group, width, row := reg.RDI, reg.RSI, reg.RAX, reg.RBX, reg.RDX, reg.R15, reg.R9, reg.R8
	c.Load(c.Param("n"), group)
	c.DECQ(group)
	c.ANDQ(I8(-16), group) // the first row of the last sixteen
	c.Load(c.Param("ld"), ld)
	c.SHLQ(Imm(2), ld)
	c.Load(c.Param("width"), width)
	c.SHLQ(Imm(2), width)
	c.Label("sixteen")
	c.MOVQ(group, src)
	c.IMULQ(ld, src)
	c.ADDQ(param(c, "src"), src)
	c.Load(c.Param("dst"), dst)
	c.LEAQ(Mem{Base: dst, Index: group, Scale: 4}, dst)
	c.Load(c.Param("k"), k)
	c.Load(c.Param("n"), left)
	c.SUBQ(group, left)

	z := func(i int) reg.VecPhysical { return vec(AVX512, i) }
	// load rounds columns of the sixteen rows to Z0, …, Z15.
	load := func(masked bool) {
		c.MOVQ(src, row)
		for i := range 16 {
			if masked {
				c.VMOVUPS_Z(Mem{Base: row}, reg.K1, z(16))
				c.VMOVUPS_Z(Mem{Base: row, Disp: 64}, reg.K2, z(17))
			} else {
				c.VMOVUPS(Mem{Base: row}, z(16))
				c.VMOVUPS(Mem{Base: row, Disp: 64}, z(17))
			}
			vcvtne2ps2bf16(c, z(16), z(17), z(i))
			if i < 15 {
				c.LEAQ(Mem{Base: row, Index: ld, Scale: 1}, reg.R10)
				c.CMPQ(left, Imm(uint64(i+1)))
				c.CMOVQGT(reg.R10, row)
			}
		}
	}
	// transpose returns the registers of the sixteen columns, in order.
	transpose := func() (column [16]int) {
		for i := 0; i < 16; i += 2 { // words: rows i, i+1 to Z16+i, Z17+i
			c.VPUNPCKLDQ(z(i+1), z(i), z(16+i))
			c.VPUNPCKHDQ(z(i+1), z(i), z(17+i))
		}
		for i := 0; i < 16; i += 4 { // pairs: in every quarter q, Zi+w has word 4q+w of rows i, …, i+3
			c.VPUNPCKLQDQ(z(18+i), z(16+i), z(i))
			c.VPUNPCKHQDQ(z(18+i), z(16+i), z(i+1))
			c.VPUNPCKLQDQ(z(19+i), z(17+i), z(i+2))
			c.VPUNPCKHQDQ(z(19+i), z(17+i), z(i+3))
		}
		for w := range 4 { // quarters 0, 2 (and 1, 3) of rows 0–7 and of rows 8–15
			c.VSHUFI32X4(Imm(0x88), z(4+w), z(w), z(16+w))
			c.VSHUFI32X4(Imm(0xdd), z(4+w), z(w), z(20+w))
			c.VSHUFI32X4(Imm(0x88), z(12+w), z(8+w), z(24+w))
			c.VSHUFI32X4(Imm(0xdd), z(12+w), z(8+w), z(28+w))
		}
		for w := range 4 {
			c.VSHUFI32X4(Imm(0x88), z(24+w), z(16+w), z(w))
			c.VSHUFI32X4(Imm(0x88), z(28+w), z(20+w), z(4+w))
			c.VSHUFI32X4(Imm(0xdd), z(24+w), z(16+w), z(8+w))
			c.VSHUFI32X4(Imm(0xdd), z(28+w), z(20+w), z(12+w))
		}
		for i := range column {
			column[i] = i
		}
		return column
	}
	c.SUBQ(Imm(32), k)
	c.JL(LabelRef("rest"))
	c.Label("columns")
	load(false)
	for _, v := range transpose() {
		c.VMOVDQU32(z(v), Mem{Base: dst})
		c.ADDQ(width, dst)
	}
	c.ADDQ(Imm(128), src)
	c.SUBQ(Imm(32), k)
	c.JGE(LabelRef("columns"))
	c.Label("rest")
	c.ADDQ(Imm(32), k)
	c.JE(LabelRef("next"))
	c.MOVQ(k, reg.RCX)
	c.MOVQ(U64(^uint64(0)), reg.R10)
	c.SHLQ(reg.CL, reg.R10)
	c.NOTQ(reg.R10)
	c.KMOVW(reg.R10L, reg.K1)
	c.SHRQ(Imm(16), reg.R10)
	c.KMOVW(reg.R10L, reg.K2)
	load(true)
	for i, v := range transpose() {
		c.VMOVDQU32(z(v), Mem{Base: dst})
		c.ADDQ(width, dst)
		c.CMPQ(k, Imm(uint64(2*i+2)))
		c.JLE(LabelRef("next"))
	}
	c.Label("next")
	c.SUBQ(Imm(16), group)
	c.JGE(LabelRef("sixteen"))
	c.VZEROUPPER()
	c.RET()
}

// gemmBF16Peak is peak of VDPBF16PS. The operands are 1 and 0: sums stay at 0.
func gemmBF16Peak(c *build.Context) {
	const chains = 24 // twice peakChains: the latency is longer
	c.Function("GemmBF16Peak")
	c.Attributes(attr.NOSPLIT)
	c.SignatureExpr("func(n int)")
	c.Doc(fmt.Sprintf("GemmBF16Peak runs n > 0 rounds of %d independent multiply-adds of whole vectors of pairs, to measure the ceiling of the CPU.", chains))
	n := c.Load(c.Param("n"), c.GP64())
	for i := range chains + 2 {
		zero(c, AVX512, vec(AVX512, i))
	}
	c.MOVL(U32(0x3f803f80), reg.EAX)
	c.VPBROADCASTD(reg.EAX, vec(AVX512, chains))
	c.Label("round")
	for i := range chains {
		vdpbf16ps(c, vec(AVX512, chains), vec(AVX512, chains+1), vec(AVX512, i))
	}
	c.DECQ(n)
	c.JNE(LabelRef("round"))
	c.VZEROUPPER()
	c.RET()
}
