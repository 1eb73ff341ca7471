package main

import (
	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/ir"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// Instructions that neither avo nor Go's assembler knows, as their bytes. Operands are in Go's order, the destination last.

// vdpbf16ps: acc[i] += a[2i+1]·b[2i+1], then a[2i]·b[2i], of bf16 numbers, in float32 with denormals taken as 0 and flushed to it.
func vdpbf16ps(c *build.Context, b, a, acc reg.VecPhysical) {
	evex(c, "VDPBF16PS", prefixF3, 0x52, b, a, acc)
}

// vcvtne2ps2bf16: dst = low and then high, rounded to bf16, ties to even; denormals are 0, a NaN stays a quiet one.
func vcvtne2ps2bf16(c *build.Context, low, high, dst reg.VecPhysical) {
	evex(c, "VCVTNE2PS2BF16", prefixF2, 0x72, low, high, dst)
}

const (
	prefixF3 = 2
	prefixF2 = 3
)

// evex writes an instruction of three vector registers, map 0F38, W0: dst is the reg field of ModRM, b its r/m, a vvvv (Intel's manual,
// volume 2, 2.7).
func evex(c *build.Context, name string, prefix, opcode byte, b, a, dst reg.VecPhysical) {
	id := func(r reg.VecPhysical) byte { return byte(r.ID().Index()) }
	bit := func(r, n byte) byte { return r >> n & 1 }
	var length byte
	switch dst.Size() {
	case 64:
		length = 2
	case 32:
		length = 1
	}
	bytes := []byte{
		0x62,
		^bit(id(dst), 3)&1<<7 | ^bit(id(b), 4)&1<<6 | ^bit(id(b), 3)&1<<5 | ^bit(id(dst), 4)&1<<4 | 2,
		^id(a)&15<<3 | 1<<2 | prefix,
		length<<5 | ^bit(id(a), 4)&1<<3,
		opcode,
		3<<6 | id(dst)&7<<3 | id(b)&7,
	}
	c.Comment(name + " " + b.Asm() + ", " + a.Asm() + ", " + dst.Asm())
	var word uint32
	for i, v := range bytes[:4] {
		word |= uint32(v) << (8 * i)
	}
	c.Instruction(&ir.Instruction{Opcode: "LONG", Operands: []Op{U32(word)}})
	c.Instruction(&ir.Instruction{Opcode: "WORD", Operands: []Op{U16(uint16(bytes[4]) | uint16(bytes[5])<<8)}})
}
