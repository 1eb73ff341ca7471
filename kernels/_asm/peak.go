package main

import (
	"github.com/mmcloughlin/avo/attr"
	"github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// peakChains is how many multiply-adds are under way at once: more than any CPU's latency times its units.
const peakChains = 12

// peak does nothing but multiply and add: the most that a core can.
func peak(c *build.Context, isa ISA) {
	c.Function("Peak")
	c.Attributes(attr.NOSPLIT)
	c.SignatureExpr("func(n int)")
	c.Doc("Peak runs n > 0 rounds of 12 independent multiply-adds of whole vectors, to measure the ceiling of the CPU.")
	n := c.Load(c.Param("n"), c.GP64())
	a, b := vec(isa, 14), vec(isa, 15)
	// x = x·0.5 + 0.5 tends to 1: neither infinite nor denormal.
	c.MOVL(U32(0x3f000000), reg.EAX)
	c.VMOVD(reg.EAX, reg.X14)
	c.VBROADCASTSS(reg.X14, a)
	c.VBROADCASTSS(reg.X14, b)
	for i := range peakChains {
		zero(c, isa, vec(isa, i))
	}
	c.Label("round")
	for i := range peakChains {
		c.VFMADD213PS(b, a, vec(isa, i))
	}
	c.DECQ(n)
	c.JNE(LabelRef("round"))
	c.VZEROUPPER()
	c.RET()
}
