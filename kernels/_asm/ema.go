package main

import "github.com/mmcloughlin/avo/build"

// ema: t moves towards s.
func ema(c *build.Context, isa ISA) {
	k := begin(c, isa, "EMA", "func(t, s *float32, n int, momentum, rest float32)", "t[i] = momentum·t[i] + rest·s[i]")
	t, s := k.pointer("t"), k.pointer("s")
	k.count()
	momentum, rest := k.scalar("momentum"), k.scalar("rest")
	k.each(4, func(l lane) {
		v, old := l.load(s), l.load(t)
		k.VMULPS(rest, v, v)
		k.VFMADD231PS(old, momentum, v)
		l.store(v, t)
	})
	k.end()
}
