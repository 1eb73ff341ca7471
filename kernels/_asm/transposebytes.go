package main

import (
	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// transposeBytes: eight rows of bytes become columns. Its time goes to stores of eight bytes, which wider registers would not change: AVX2 alone.
func transposeBytes(c *build.Context, isa ISA) {
	if isa != AVX2 {
		return
	}
	const rows, columns = 8, 32
	k := begin(c, isa, "TransposeBytes", "func(dst *byte, ldd int, src *byte, lds, n int)", "dst[i·ldd+j] = src[j·lds+i] for j < 8 and a multiple n of 32")
	dst, src := k.pointer("dst"), k.pointer("src")
	ldd, lds := k.pointer("ldd"), k.pointer("lds")
	k.count()
	ldd3, lds3 := k.GP64(), k.GP64()
	k.LEAQ(operand.Mem{Base: ldd, Index: ldd, Scale: 2}, ldd3)
	k.LEAQ(operand.Mem{Base: lds, Index: lds, Scale: 2}, lds3)
	// four are the addresses of four rows, ld apart.
	four := func(p, ld, ld3 reg.GPVirtual) [4]operand.Mem {
		return [4]operand.Mem{{Base: p}, {Base: p, Index: ld, Scale: 1}, {Base: p, Index: ld, Scale: 2}, {Base: p, Index: ld3, Scale: 1}}
	}
	low, high := k.GP64(), k.GP64()
	k.whole(columns, func(i reg.GPVirtual) {
		k.MOVQ(src, low)
		k.LEAQ(operand.Mem{Base: src, Index: lds, Scale: 4}, high)
		r := make([]reg.VecVirtual, rows)
		for j := range r {
			r[j] = k.YMM()
			p := low
			if j >= 4 {
				p = high
			}
			k.VMOVDQU(four(p, lds, lds3)[j%4], r[j])
		}
		k.ADDQ(operand.I32(columns), src)
		// Each step interleaves what belongs side by side: bytes of rows j and j+1, pairs of rows j and j+2, fours of rows j and j+4.
		interleave := func(lo, hi func(...operand.Op), at func(j int) (a, b int)) {
			next := make([]reg.VecVirtual, 0, rows)
			for j := range rows / 2 {
				a, b := at(j)
				l, h := k.YMM(), k.YMM()
				lo(r[b], r[a], l)
				hi(r[b], r[a], h)
				next = append(next, l, h)
			}
			r = next
		}
		interleave(k.VPUNPCKLBW, k.VPUNPCKHBW, func(j int) (int, int) { return 2 * j, 2*j + 1 })
		interleave(k.VPUNPCKLWD, k.VPUNPCKHWD, func(j int) (int, int) { return j/2*4 + j%2, j/2*4 + j%2 + 2 })
		interleave(k.VPUNPCKLDQ, k.VPUNPCKHDQ, func(j int) (int, int) { return j, j + 4 })
		// r[j] holds columns 2j and 2j+1 and, in its upper half, those 16 further on.
		for half := range 2 {
			for j := range rows {
				x := r[j].AsX()
				if half == 1 {
					x = k.XMM()
					k.VEXTRACTI128(operand.Imm(1), r[j], x)
				}
				at := four(dst, ldd, ldd3)
				k.VMOVQ(x, at[2*j%4])
				k.VMOVHPS(x, at[2*j%4+1])
				if j%2 == 1 {
					k.LEAQ(operand.Mem{Base: dst, Index: ldd, Scale: 4}, dst)
				}
			}
		}
	})
	k.VZEROUPPER()
	k.RET()
}
