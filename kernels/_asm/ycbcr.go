package main

import (
	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// ycbcr: a JPEG's planes to pixels.
func ycbcr(c *build.Context, isa ISA) {
	k := begin(c, isa, "UpsampleTriangle", "func(dst, near, far *byte, n int)",
		"dst[2i] = (3·s[i] + s[i−1] + 8) >> 4 and dst[2i+1] = (3·s[i] + s[i+1] + 7) >> 4 with s = 3·near + far")
	dst, near, far := k.pointer("dst"), k.pointer("near"), k.pointer("far")
	k.count()
	three, eight, seven := k.integer(3<<16|3), k.integer(8<<16|8), k.integer(7<<16|7)
	k.whole(isa.Bytes/2, func(i reg.GPVirtual) {
		sum := func(disp int) reg.VecVirtual {
			a, b := k.of(k.VPMOVZXBW, bytesAt(near, i, disp)), k.of(k.VPMOVZXBW, bytesAt(far, i, disp))
			k.VPMULLW(three, a, a)
			k.VPADDW(b, a, a)
			return a
		}
		even, s, odd := sum(-1), sum(0), sum(1)
		k.VPMULLW(three, s, s)
		k.VPADDW(eight, even, even)
		k.VPADDW(seven, odd, odd)
		k.VPADDW(s, even, even)
		k.VPADDW(s, odd, odd)
		k.VPSRLW(operand.Imm(4), even, even)
		k.VPSRLW(operand.Imm(4), odd, odd)
		k.VPSLLW(operand.Imm(8), odd, odd)
		even = k.or(odd, even)
		k.VMOVUPS(even, operand.Mem{Base: dst, Index: i, Scale: 2})
	})
	k.VZEROUPPER()
	k.RET()

	const pixels = 16
	k = begin(c, isa, "YCbCrToRGB", "func(dst, luma, cb, cr *byte, n int)", "the pixels dst[3i], dst[3i+1], dst[3i+2] of luma[i], cb[i], cr[i]")
	dst, luma, cb, cr := k.pointer("dst"), k.pointer("luma"), k.pointer("cb"), k.pointer("cr")
	k.count()
	k.whole(pixels, func(i reg.GPVirtual) {
		var vectors [3][]reg.VecVirtual
		for from := 0; from < pixels; from += isa.Lanes() {
			y, u, v := k.loadBytes(bytesAt(luma, i, from)), k.loadBytes(bytesAt(cb, i, from)), k.loadBytes(bytesAt(cr, i, from))
			minus := func(n int32) uint32 { return uint32(-n) }
			k.withBits(k.VPADDD, k.VPADDD_BCST, minus(128), u, u)
			k.withBits(k.VPADDD, k.VPADDD_BCST, minus(128), v, v)
			red := k.ofBits(k.VPMULLD, k.VPMULLD_BCST, 91881, v)
			green := k.ofBits(k.VPMULLD, k.VPMULLD_BCST, minus(22554), u)
			k.VPADDD(k.ofBits(k.VPMULLD, k.VPMULLD_BCST, minus(46802), v), green, green)
			blue := k.ofBits(k.VPMULLD, k.VPMULLD_BCST, 116130, u)
			for c, x := range []reg.VecVirtual{red, green, blue} {
				k.withBits(k.VPADDD, k.VPADDD_BCST, 1<<15, x, x)
				k.VPSRAD(operand.Imm(16), x, x)
				k.VPADDD(y, x, x)
				vectors[c] = append(vectors[c], x)
			}
		}
		// Byte j of the 48 is pixel j/3's channel j mod 3; a channel's shuffle leaves 0 where other channels go.
		for part := range 3 {
			var sum reg.VecVirtual
			for c := range 3 {
				if part == 0 {
					vectors[c] = []reg.VecVirtual{k.packed(vectors[c])}
				}
				x := k.XMM()
				k.VPSHUFB(k.data([]string{"red", "green", "blue"}[c], 12, func(word int) uint32 {
					var bytes uint32
					for b := range 4 {
						j, from := 4*word+b, uint32(0x80)
						if j%3 == c {
							from = uint32(j / 3)
						}
						bytes |= from << (8 * b)
					}
					return bytes
				}).Offset(16*part), vectors[c][0].AsX(), x)
				if sum == nil {
					sum = x
				} else {
					k.VPOR(x, sum, sum)
				}
			}
			place := k.GP64()
			k.LEAQ(operand.Mem{Base: i, Index: i, Scale: 2}, place)
			k.VMOVDQU(sum, bytesAt(dst, place, 16*part))
		}
	})
	k.VZEROUPPER()
	k.RET()
}

// packed is 16 integers, clipped to 0 … 255, as the bytes of an XMM register's worth.
func (k *kernel) packed(v []reg.VecVirtual) reg.VecVirtual {
	x := k.XMM()
	if k.isa == AVX512 {
		k.VPMAXSD(k.zeroVector(), v[0], v[0])
		k.VPMOVUSDB(v[0], x)
		return x
	}
	k.VPACKSSDW(v[1], v[0], v[0])
	k.VPERMQ(operand.Imm(0b11_01_10_00), v[0], v[0])
	k.VEXTRACTI128(operand.Imm(1), v[0], x)
	k.VPACKUSWB(x, v[0].AsX(), x)
	return x
}
