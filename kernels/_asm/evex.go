package main

import (
	"fmt"

	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/ir"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// Instructions that neither avo nor Go's assembler knows: avo allocates their registers as for any other, and encodeEVEX replaces them by their
// bytes. Operands are in Go's order, the destination last.

// vdpbf16ps: acc[i] += a[2i+1]·b[2i+1], then a[2i]·b[2i], of bf16 numbers, in float32 with denormals taken as 0 and flushed to it.
func vdpbf16ps(c *build.Context, b, a, acc reg.Register) {
	c.Instruction(&ir.Instruction{Opcode: "VDPBF16PS", Operands: []Op{b, a, acc}, Inputs: []Op{b, a, acc}, Outputs: []Op{acc}, ISA: []string{"AVX512_BF16"}})
}

// vcvtne2ps2bf16: dst = low and then high, rounded to bf16, ties to even; denormals are 0, a NaN stays a quiet one.
func vcvtne2ps2bf16(c *build.Context, low, high, dst reg.Register) {
	c.Instruction(&ir.Instruction{Opcode: "VCVTNE2PS2BF16", Operands: []Op{low, high, dst}, Inputs: []Op{low, high}, Outputs: []Op{dst}, ISA: []string{"AVX512_BF16"}})
}

// evexCode is an instruction's place in map 0F38, W0: its prefix as the field pp, and its opcode.
type evexCode struct{ pp, opcode byte }

var evexCodes = map[string]evexCode{
	"VDPBF16PS":      {2, 0x52}, // F3
	"VCVTNE2PS2BF16": {3, 0x72}, // F2
}

// encodeEVEX is the pass that writes the bytes of the instructions above, with the instruction as a comment.
func encodeEVEX(f *ir.Function) error {
	var nodes []ir.Node
	for _, node := range f.Nodes {
		i, ok := node.(*ir.Instruction)
		if ok {
			if code, ours := evexCodes[i.Opcode]; ours {
				nodes = append(nodes, evex(i, code)...)
				continue
			}
		}
		nodes = append(nodes, node)
	}
	f.Nodes = nodes
	return nil
}

// evex encodes an instruction of three vector registers: the last is the reg field of ModRM, the first its r/m, the second vvvv (Intel's
// manual, volume 2, 2.7).
func evex(i *ir.Instruction, code evexCode) []ir.Node {
	id := func(operand int) byte { return byte(i.Operands[operand].(reg.Physical).PhysicalIndex()) }
	inverted := func(r, bit byte) byte { return ^(r >> bit) & 1 }
	rm, vvvv, dst := id(0), id(1), id(2)
	length := byte(i.Operands[2].(reg.Register).Size() / 32) // 1: 256 bits, 2: 512
	p0 := inverted(dst, 3)<<7 | inverted(rm, 4)<<6 | inverted(rm, 3)<<5 | inverted(dst, 4)<<4 | 2
	p1 := ^vvvv&15<<3 | 1<<2 | code.pp
	p2 := length<<5 | inverted(vvvv, 4)<<3
	modRM := 3<<6 | dst&7<<3 | rm&7
	return []ir.Node{
		ir.NewComment(fmt.Sprintf("%s %s, %s, %s", i.Opcode, i.Operands[0].Asm(), i.Operands[1].Asm(), i.Operands[2].Asm())),
		&ir.Instruction{Opcode: "LONG", Operands: []Op{U32(0x62 | uint32(p0)<<8 | uint32(p1)<<16 | uint32(p2)<<24)}},
		&ir.Instruction{Opcode: "WORD", Operands: []Op{U16(uint16(code.opcode) | uint16(modRM)<<8)}},
	}
}
