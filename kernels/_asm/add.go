package main

import "github.com/mmcloughlin/avo/build"

// add: sums and products of arrays.
func add(c *build.Context, isa ISA) {
	k := begin(c, isa, "Add", "func(y, x *float32, n int)", "y[i] += x[i]")
	y, x := k.pointer("y"), k.pointer("x")
	k.count()
	k.each(4, func(l lane) {
		v := l.load(y)
		k.VADDPS(l.load(x), v, v)
		l.store(v, y)
	})
	k.end()

	k = begin(c, isa, "AddScaled", "func(y, x *float32, n int, a float32)", "y[i] += a·x[i]")
	y, x = k.pointer("y"), k.pointer("x")
	k.count()
	a := k.scalar("a")
	k.each(4, func(l lane) {
		v := l.load(y)
		k.VFMADD231PS(l.load(x), a, v)
		l.store(v, y)
	})
	k.end()

	k = begin(c, isa, "AddScaledTo", "func(y, x, b *float32, n int, a float32)", "y[i] = x[i] + a·b[i]")
	y, x = k.pointer("y"), k.pointer("x")
	b := k.pointer("b")
	k.count()
	a = k.scalar("a")
	k.each(4, func(l lane) {
		v := l.load(x)
		k.VFMADD231PS(l.load(b), a, v)
		l.store(v, y)
	})
	k.end()

	k = begin(c, isa, "AddProduct", "func(y, a, b *float32, n int)", "y[i] += a[i]·b[i]")
	y = k.pointer("y")
	p, q := k.pointer("a"), k.pointer("b")
	k.count()
	k.each(4, func(l lane) {
		v := l.load(y)
		k.VFMADD231PS(l.load(p), l.load(q), v)
		l.store(v, y)
	})
	k.end()

	k = begin(c, isa, "Mul", "func(y, x *float32, n int)", "y[i] *= x[i]")
	y, x = k.pointer("y"), k.pointer("x")
	k.count()
	k.each(4, func(l lane) {
		v := l.load(y)
		k.VMULPS(l.load(x), v, v)
		l.store(v, y)
	})
	k.end()

	k = begin(c, isa, "ScaleShift", "func(y, x *float32, n int, scale, shift float32)", "y[i] = scale·x[i] − shift")
	y, x = k.pointer("y"), k.pointer("x")
	k.count()
	scale, shift := k.scalar("scale"), k.scalar("shift")
	k.each(4, func(l lane) {
		v := l.load(x)
		k.VFMSUB213PS(shift, scale, v)
		l.store(v, y)
	})
	k.end()
}
