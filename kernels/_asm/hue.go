package main

import (
	"math"

	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// hue: colours turned on the colour circle. Steps and roundings are those of kernels/hue.go.
func hue(c *build.Context, isa ISA) {
	k := begin(c, isa, "ShiftHue", "func(red, green, blue *byte, n int, shift uint32)", "the colours red[i], green[i], blue[i] with their hue moved by shift")
	planes := []reg.GPVirtual{k.pointer("red"), k.pointer("green"), k.pointer("blue")}
	k.count()
	shift := k.scalar("shift")
	k.whole(isa.Lanes(), func(i reg.GPVirtual) {
		r, g, b := k.loadBytes(bytesAt(planes[0], i, 0)), k.loadBytes(bytesAt(planes[1], i, 0)), k.loadBytes(bytesAt(planes[2], i, 0))
		hi, lo := k.of(k.VPMAXSD, g, r), k.of(k.VPMINSD, g, r)
		k.VPMAXSD(b, hi, hi)
		k.VPMINSD(b, lo, lo)
		range_ := k.of(k.VPSUBD, lo, hi)
		toMiddle := k.of(k.VPADDD, hi, hi) // hi − mid = 2·hi + lo − (r + g + b)
		k.VPADDD(lo, toMiddle, toMiddle)
		k.VPSUBD(r, toMiddle, toMiddle)
		k.VPSUBD(g, toMiddle, toMiddle)
		k.VPSUBD(b, toMiddle, toMiddle)
		// Of the other two channels, the one that comes first on the circle and the one after it.
		isGreen, isRed := k.equal(hi, g), k.equal(hi, r)
		first, second := k.choose(isGreen, b, r), k.choose(isGreen, r, g)
		first, second = k.choose(isRed, g, first), k.choose(isRed, b, second)
		base := k.choose(isRed, k.value(1), k.choose(isGreen, k.value(3), k.value(5)))
		clockwise := k.greater(second, first)
		far := toMiddle
		k.VCVTDQ2PS(far, far)
		k.VDIVPS(k.floatFromOne(range_), far, far)
		ahead := k.of(k.VSUBPS, far, base)
		k.with(k.VSUBPS, k.VSUBPS_BCST, 2, base, base)
		k.VADDPS(far, base, base)
		turn := k.dividedBy(k.choose(clockwise, base, ahead), 6)
		negative := k.of(k.VPSRAD, operand.Imm(31), turn)
		k.VADDPS(k.and(negative, math.Float32bits(1)), turn, turn)
		h := k.ofValue(k.VMULPS, k.VMULPS_BCST, 255, turn)
		k.VCVTTPS2DQ(h, h)
		k.VPADDD(shift, h, h)
		h = k.and(h, 255)
		saturation := k.of(k.VCVTDQ2PS, range_)
		k.VDIVPS(k.floatFromOne(hi), saturation, saturation)
		k.with(k.VMULPS, k.VMULPS_BCST, 255, saturation, saturation)
		k.VCVTTPS2DQ(saturation, saturation)

		sector := k.ofBits(k.VPMULLD, k.VPMULLD_BCST, 6*257, h) // 6h/255 = (6h+1)·257 >> 16 for 6h < 2¹²
		k.withBits(k.VPADDD, k.VPADDD_BCST, 257, sector, sector)
		k.VPSRLD(operand.Imm(16), sector, sector)
		part := k.ofBits(k.VPMULLD, k.VPMULLD_BCST, 6, h)
		k.VPSUBD(k.ofBits(k.VPMULLD, k.VPMULLD_BCST, 255, sector), part, part)
		k.VCVTDQ2PS(saturation, saturation)
		saturation = k.dividedBy(saturation, 255)
		k.VCVTDQ2PS(part, part)
		fraction := k.dividedBy(part, 255)
		one := k.value(1)
		odd := k.equal(k.and(sector, 1), k.integer(1))
		fraction = k.choose(odd, fraction, k.of(k.VSUBPS, fraction, one))
		value := k.of(k.VCVTDQ2PS, hi)
		middle := k.of(k.VMULPS, fraction, saturation)
		// hi, the middle and the low byte of each colour, to be put in order.
		bytes := hi
		for j, x := range []reg.VecVirtual{middle, saturation} {
			x = k.of(k.VSUBPS, x, one)
			k.VMULPS(value, x, x)
			k.with(k.VADDPS, k.VADDPS_BCST, 0.5, x, x)
			k.VCVTTPS2DQ(x, x)
			k.VPSLLD(operand.Imm(uint64(8*(j+1))), x, x)
			bytes = k.or(x, bytes)
		}
		order := k.vec()
		k.VPERMD(k.data("sectors", isa.Lanes(), func(i int) uint32 {
			const hi, mid, low, zero = 0, 1, 2, 0x80 << 24
			return [8]uint32{
				hi | mid<<8 | low<<16 | zero,
				mid | hi<<8 | low<<16 | zero,
				low | hi<<8 | mid<<16 | zero,
				low | mid<<8 | hi<<16 | zero,
				mid | low<<8 | hi<<16 | zero,
				hi | low<<8 | mid<<16 | zero,
				hi | mid<<8 | low<<16 | zero, // hue 255 is 0
			}[i%8]
		}), sector, order)
		k.VPADDD(k.data("places", isa.Lanes(), func(i int) uint32 { return uint32(i%4*4) * 0x010101 }), order, order)
		rgb := k.of(k.VPSHUFB, order, bytes)
		k.storeBytes(k.and(rgb, 255), bytesAt(planes[0], i, 0))
		k.storeBytes(k.and(k.of(k.VPSRLD, operand.Imm(8), rgb), 255), bytesAt(planes[1], i, 0))
		k.VPSRLD(operand.Imm(16), rgb, rgb)
		k.storeBytes(rgb, bytesAt(planes[2], i, 0))
	})
	k.VZEROUPPER()
	k.RET()
}

// floatFromOne is max(v, 1) as float32: a divisor whose dividend is 0 where v is.
func (k *kernel) floatFromOne(v reg.VecVirtual) reg.VecVirtual {
	d := k.ofBits(k.VPMAXSD, k.VPMAXSD_BCST, 1, v)
	k.VCVTDQ2PS(d, d)
	return d
}
