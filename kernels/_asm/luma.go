package main

import (
	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// luma: grey levels.
func luma(c *build.Context, isa ISA) {
	k := begin(c, isa, "Luma", "func(dst, red, green, blue *byte, n int)", "dst[i] = luma(red[i], green[i], blue[i])")
	dst, r, g, b := k.pointer("dst"), k.pointer("red"), k.pointer("green"), k.pointer("blue")
	k.count()
	k.whole(isa.Lanes(), func(i reg.GPVirtual) {
		l := k.luma(k.loadBytes(bytesAt(r, i, 0)), k.loadBytes(bytesAt(g, i, 0)), k.loadBytes(bytesAt(b, i, 0)))
		k.storeBytes(l, bytesAt(dst, i, 0))
	})
	k.VZEROUPPER()
	k.RET()

	k = begin(c, isa, "LumaSum", "func(red, green, blue *byte, n int) uint32", "Σ luma(red[i], green[i], blue[i])")
	r, g, b = k.pointer("red"), k.pointer("green"), k.pointer("blue")
	k.count()
	sum := k.zeroVector()
	k.whole(isa.Lanes(), func(i reg.GPVirtual) {
		l := k.luma(k.loadBytes(bytesAt(r, i, 0)), k.loadBytes(bytesAt(g, i, 0)), k.loadBytes(bytesAt(b, i, 0)))
		k.VPADDD(l, sum, sum)
	})
	k.end(k.fold(k.VPADDD, []reg.VecVirtual{sum}))
}

// luma is (19595·r + 38470·g + 7471·b + 2¹⁵) >> 16.
func (k *kernel) luma(r, g, b reg.VecVirtual) reg.VecVirtual {
	l := k.ofBits(k.VPMULLD, k.VPMULLD_BCST, 19595, r)
	k.VPADDD(k.ofBits(k.VPMULLD, k.VPMULLD_BCST, 38470, g), l, l)
	k.VPADDD(k.ofBits(k.VPMULLD, k.VPMULLD_BCST, 7471, b), l, l)
	k.withBits(k.VPADDD, k.VPADDD_BCST, 1<<15, l, l)
	k.VPSRLD(operand.Imm(16), l, l)
	return l
}
