package main

import (
	"math"

	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/reg"
)

// softmax: the passes over a row other than exp itself.
func softmax(c *build.Context, isa ISA) {
	k := begin(c, isa, "Max", "func(x *float32, n int) float32", "the largest x[i], −Inf if there is none, passing over NaN")
	x := k.pointer("x")
	k.count()
	acc := make([]reg.VecVirtual, 4)
	for i := range acc {
		acc[i] = k.value(math.Inf(-1))
	}
	k.each(4, func(l lane) {
		v, a := l.load(x), acc[l.acc]
		switch {
		case l.mask == nil:
			k.VMAXPS(a, v, a) // of a number and NaN, the operand written first
		case isa == AVX512:
			k.VMAXPS(a, v, l.mask, a)
		default:
			k.VBLENDVPS(l.mask, v, a, v)
			k.VMAXPS(a, v, a)
		}
	})
	k.end(k.fold(k.VMAXPS, acc))

	k = begin(c, isa, "SoftmaxBackward", "func(dx, dy, y *float32, n int, d float32, keep uint32)",
		"dx[i] = y[i]·(dy[i] − d), plus what dx[i] was if keep is all ones, not 0")
	dx, dy, y := k.pointer("dx"), k.pointer("dy"), k.pointer("y")
	k.count()
	d, keep := k.scalar("d"), k.scalar("keep")
	k.each(2, func(l lane) {
		v, g := l.load(dy), l.loadKept(dx, keep)
		k.VSUBPS(d, v, v)
		k.VFMADD231PS(l.load(y), v, g)
		l.store(g, dx)
	})
	k.end()

	k = begin(c, isa, "LogSoftmaxBackward", "func(dx, dy, y *float32, n int, s float32, keep uint32)",
		"dx[i] = dy[i] − exp(y[i])·s, plus what dx[i] was if keep is all ones, not 0")
	dx, dy, y = k.pointer("dx"), k.pointer("dy"), k.pointer("y")
	k.count()
	s, bounds := k.scalar("s"), k.expBounds()
	keep = k.scalar("keep")
	k.each(isa.expUnroll(), func(l lane) {
		e := k.exp(l.load(y), bounds)
		v := l.load(dy)
		k.VFNMADD231PS(e, s, v)
		k.VADDPS(l.loadKept(dx, keep), v, v)
		l.store(v, dx)
	})
	k.end()
}
