package main

import "github.com/mmcloughlin/avo/build"

// l2normalize: the gradient through a division by the length, of L2 normalisation and of weight normalisation.
func l2normalize(c *build.Context, isa ISA) {
	k := begin(c, isa, "AddProjected", "func(dx, dy, y *float32, n int, a, b float32, keep uint32)",
		"dx[i] = a·(dy[i] − b·y[i]), plus what dx[i] was if keep is all ones, not 0")
	dx, dy, y := k.pointer("dx"), k.pointer("dy"), k.pointer("y")
	k.count()
	a, b, keep := k.scalar("a"), k.scalar("b"), k.scalar("keep")
	k.each(2, func(l lane) {
		v := l.load(dy)
		k.VFNMADD231PS(l.load(y), b, v)
		g := l.loadKept(dx, keep)
		k.VFMADD231PS(v, a, g)
		l.store(g, dx)
	})
	k.end()
}
