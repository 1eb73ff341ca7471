package main

import (
	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// saturation: a picture and its grey levels.
func saturation(c *build.Context, isa ISA) {
	k := begin(c, isa, "Saturation", "func(red, green, blue *byte, n int, factor float32)", "c[i] = clip(l + ⌊factor·(c[i] − l)⌋) for each channel c and l = luma(red[i], green[i], blue[i])")
	planes := []reg.GPVirtual{k.pointer("red"), k.pointer("green"), k.pointer("blue")}
	k.count()
	factor := k.scalar("factor")
	k.whole(isa.Lanes(), func(i reg.GPVirtual) {
		var v [3]reg.VecVirtual
		for c, p := range planes {
			v[c] = k.loadBytes(bytesAt(p, i, 0))
		}
		l := k.luma(v[0], v[1], v[2])
		for c, p := range planes {
			x := v[c]
			k.VPSUBD(l, x, x)
			k.VCVTDQ2PS(x, x)
			k.VMULPS(factor, x, x)
			k.floor(x)
			k.VCVTTPS2DQ(x, x)
			k.VPADDD(l, x, x)
			k.storeBytes(x, bytesAt(p, i, 0))
		}
	})
	k.VZEROUPPER()
	k.RET()
}

// floor rounds down to integers.
func (k *kernel) floor(v reg.VecVirtual) {
	const downQuiet = 9
	if k.isa == AVX512 {
		k.VRNDSCALEPS(operand.Imm(downQuiet), v, v)
	} else {
		k.VROUNDPS(operand.Imm(downQuiet), v, v)
	}
}
