package main

import (
	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// normalize: bytes to the network's input.
func normalize(c *build.Context, isa ISA) {
	k := begin(c, isa, "NormalizeBytes", "func(dst *float32, src *byte, n int, mean, std float32)", "dst[i] = (src[i]/255 − mean)/std")
	dst, src := k.pointer("dst"), k.pointer("src")
	k.count()
	mean, std := k.scalar("mean"), k.scalar("std")
	k.whole(isa.Lanes(), func(i reg.GPVirtual) {
		v := k.loadBytes(bytesAt(src, i, 0))
		k.VCVTDQ2PS(v, v)
		v = k.dividedBy(v, 255)
		k.VSUBPS(mean, v, v)
		k.VDIVPS(std, v, v)
		k.VMOVUPS(v, operand.Mem{Base: dst, Index: i, Scale: 4})
	})
	k.VZEROUPPER()
	k.RET()
}
