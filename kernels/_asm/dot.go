package main

import "github.com/mmcloughlin/avo/build"

// dot: sums over elements, in four accumulators a lane.
func dot(c *build.Context, isa ISA) {
	k := begin(c, isa, "Dot", "func(x, y *float32, n int) float32", "Σ x[i]·y[i]")
	x, y := k.pointer("x"), k.pointer("y")
	k.count()
	acc := k.zeros(4)
	k.each(4, func(l lane) {
		k.VFMADD231PS(l.load(x), l.load(y), acc[l.acc])
	})
	k.end(k.fold(k.VADDPS, acc))

	k = begin(c, isa, "Sum", "func(x *float32, n int) float32", "Σ x[i]")
	x = k.pointer("x")
	k.count()
	acc = k.zeros(4)
	k.each(4, func(l lane) {
		k.VADDPS(l.load(x), acc[l.acc], acc[l.acc])
	})
	k.end(k.fold(k.VADDPS, acc))

	k = begin(c, isa, "SumSquares", "func(x *float32, n int, shift float32) float32", "Σ (x[i] − shift)²")
	x = k.pointer("x")
	k.count()
	shift := k.scalar("shift")
	acc = k.zeros(4)
	k.each(4, func(l lane) {
		v := l.load(x)
		k.VSUBPS(shift, v, v)
		l.zeroRest(v)
		k.VFMADD231PS(v, v, acc[l.acc])
	})
	k.end(k.fold(k.VADDPS, acc))
}
