package main

import (
	"github.com/mmcloughlin/avo/attr"
	"github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// attentionBF16: what AttentionBF16Tiles of package kernels is made of beyond the packing of matrix products in bf16.
func attentionBF16(c *build.Context, isa ISA) {
	if isa != AVX512 {
		return
	}
	for w := 1; w <= 8; w++ {
		attentionProduct(c, isa, w, gemmBF16Form)
	}
	attentionBF16Rows(c)
}

// attentionBF16Rows rounds 32 elements at a time, two registers to one.
func attentionBF16Rows(c *build.Context) {
	c.Function("AttentionBF16Rows")
	c.Attributes(attr.NOSPLIT)
	c.SignatureExpr("func(dst *float32, ldd int, src *float32, lds, m, n int)")
	c.Doc("AttentionBF16Rows rounds m rows of n elements to bf16, two to a word: dst[i·ldd+p] = src[i·lds+2p], src[i·lds+2p+1] for p < n/2; m is at least 1, n even.")
	load := func(name string) reg.GPVirtual { return c.Load(c.Param(name), c.GP64()).(reg.GPVirtual) }
	dst, ldd, src, lds, m := load("dst"), load("ldd"), load("src"), load("lds"), load("m")
	c.SHLQ(Imm(2), ldd)
	c.SHLQ(Imm(2), lds)
	// Masks of the last n%32 elements: the lanes of the lower register, of the upper, and of the words.
	c.Load(c.Param("n"), reg.RCX)
	c.ANDQ(Imm(31), reg.RCX)
	lanes := func(k reg.OpmaskPhysical, shift uint64) {
		x := c.GP64()
		c.MOVQ(U64(^uint64(0)), x)
		c.SHLQ(reg.CL, x)
		c.NOTQ(x)
		if shift > 0 {
			c.SHRQ(Imm(shift), x)
		}
		c.KMOVW(x.As32(), k)
	}
	lanes(reg.K1, 0)
	lanes(reg.K2, 16)
	c.SHRQ(Imm(1), reg.RCX)
	lanes(reg.K3, 0)
	from, to, left := c.GP64(), c.GP64(), c.GP64()
	c.Label("row")
	c.MOVQ(src, from)
	c.MOVQ(dst, to)
	c.Load(c.Param("n"), left)
	c.SUBQ(Imm(32), left)
	c.JL(LabelRef("rest"))
	c.Label("whole")
	low, high := c.ZMM(), c.ZMM()
	c.VMOVUPS(Mem{Base: from}, low)
	c.VMOVUPS(Mem{Base: from, Disp: 64}, high)
	vcvtne2ps2bf16(c, low, high, low)
	c.VMOVDQU32(low, Mem{Base: to})
	c.ADDQ(Imm(128), from)
	c.ADDQ(Imm(64), to)
	c.SUBQ(Imm(32), left)
	c.JGE(LabelRef("whole"))
	c.Label("rest")
	c.CMPQ(left, I8(-32))
	c.JE(LabelRef("next"))
	c.VMOVUPS_Z(Mem{Base: from}, reg.K1, low)
	c.VMOVUPS_Z(Mem{Base: from, Disp: 64}, reg.K2, high)
	vcvtne2ps2bf16(c, low, high, low)
	c.VMOVDQU32(low, reg.K3, Mem{Base: to})
	c.Label("next")
	c.ADDQ(lds, src)
	c.ADDQ(ldd, dst)
	c.DECQ(m)
	c.JNE(LabelRef("row"))
	c.VZEROUPPER()
	c.RET()
}
