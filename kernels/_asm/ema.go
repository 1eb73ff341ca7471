package main

import (
	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/reg"
)

// ema: t moves towards s.
func ema(c *build.Context, isa ISA) {
	k := begin(c, isa, "EMA", "func(t, s *float32, n int, momentum, rest float32)", "t[i] = momentum·t[i] + rest·s[i]")
	t, s := k.pointer("t"), k.pointer("s")
	k.count()
	momentum, rest := k.scalar("momentum"), k.scalar("rest")
	k.each(4, func(l lane) {
		l.follow(t, l.load(s), momentum, rest)
	})
	k.end()
}

// follow moves the elements at t towards s, which it overwrites.
func (l lane) follow(t reg.GPVirtual, s, momentum, rest reg.VecVirtual) {
	old := l.load(t)
	l.VMULPS(rest, s, s)
	l.VFMADD231PS(old, momentum, s)
	l.store(s, t)
}
