package main

import (
	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/reg"
)

// blend: a picture and a grey level. Its products are not fused with sums: the bytes depend on the rounding of each.
func blend(c *build.Context, isa ISA) {
	k := begin(c, isa, "BlendGrey", "func(x *byte, n int, grey, factor float32)", "x[i] = clip(grey + factor·(x[i] − grey))")
	x := k.pointer("x")
	k.count()
	grey, factor, most := k.scalar("grey"), k.scalar("factor"), k.value(255)
	k.whole(isa.Lanes(), func(i reg.GPVirtual) {
		v := k.loadBytes(bytesAt(x, i, 0))
		k.VCVTDQ2PS(v, v)
		k.VSUBPS(grey, v, v)
		k.VMULPS(factor, v, v)
		k.VADDPS(grey, v, v)
		k.VMINPS(v, most, v)
		k.VCVTTPS2DQ(v, v)
		k.storeBytes(v, bytesAt(x, i, 0))
	})
	k.VZEROUPPER()
	k.RET()
}
