package main

import (
	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// solarize: bytes from a threshold on inverted.
func solarize(c *build.Context, isa ISA) {
	k := begin(c, isa, "Solarize", "func(x *byte, n int, threshold uint32)", "x[i] = 255 − x[i] where x[i] ≥ threshold")
	x := k.pointer("x")
	k.count()
	threshold := k.scalar("threshold")
	k.VPBROADCASTB(threshold.AsX(), threshold)
	k.whole(isa.Bytes, func(i reg.GPVirtual) {
		v := k.vec()
		if isa == AVX512 {
			bright, all := k.K(), k.integer(0xffffffff)
			const notLess = 5
			k.VMOVDQU8(bytesAt(x, i, 0), v)
			k.VPCMPUB(operand.Imm(notLess), threshold, v, bright)
			k.VPSUBB(v, all, bright, v)
			k.VMOVDQU8(v, bytesAt(x, i, 0))
			return
		}
		k.VMOVDQU(bytesAt(x, i, 0), v)
		bright := k.of(k.VPMAXUB, threshold, v)
		k.VPCMPEQB(bright, v, bright)
		k.VPXOR(bright, v, v)
		k.VMOVDQU(v, bytesAt(x, i, 0))
	})
	k.VZEROUPPER()
	k.RET()
}
