package main

import (
	"github.com/mmcloughlin/avo/attr"
	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
)

// add: y[i] += x[i].
func add(c *build.Context, isa ISA) {
	c.Function("Add")
	c.Attributes(attr.NOSPLIT)
	c.SignatureExpr("func(y, x *float32, n int)")
	c.Doc("Add computes y[i] += x[i] for i < n.")
	y, x := c.Load(c.Param("y"), c.GP64()), c.Load(c.Param("x"), c.GP64())
	n := c.Load(c.Param("n"), c.GP64())
	v := isa.Vec(c)
	c.Label("vectors")
	c.CMPQ(n, operand.Imm(uint64(isa.Lanes())))
	c.JL(operand.LabelRef("tail"))
	c.VMOVUPS(operand.Mem{Base: y}, v)
	c.VADDPS(operand.Mem{Base: x}, v, v)
	c.VMOVUPS(v, operand.Mem{Base: y})
	c.ADDQ(operand.Imm(uint64(isa.Bytes)), y)
	c.ADDQ(operand.Imm(uint64(isa.Bytes)), x)
	c.SUBQ(operand.Imm(uint64(isa.Lanes())), n)
	c.JMP(operand.LabelRef("vectors"))
	c.Label("tail")
	c.TESTQ(n, n)
	c.JE(operand.LabelRef("done"))
	s := c.XMM()
	c.VMOVSS(operand.Mem{Base: y}, s)
	c.VADDSS(operand.Mem{Base: x}, s, s)
	c.VMOVSS(s, operand.Mem{Base: y})
	c.ADDQ(operand.Imm(4), y)
	c.ADDQ(operand.Imm(4), x)
	c.DECQ(n)
	c.JMP(operand.LabelRef("tail"))
	c.Label("done")
	c.VZEROUPPER()
	c.RET()
}
