package main

import "github.com/mmcloughlin/avo/build"

// softcrossentropy: cross-entropy of a row of logits with a soft target, and its gradient.
func softcrossentropy(c *build.Context, isa ISA) {
	k := begin(c, isa, "SoftCrossEntropyForward", "func(logits, target *float32, n int, scale, logSumExp float32) float32",
		"Σ target[i]·(scale·logits[i] − logSumExp)")
	z, t := k.pointer("logits"), k.pointer("target")
	k.count()
	scale, lse := k.scalar("scale"), k.scalar("logSumExp")
	acc := k.zeros(4)
	k.each(4, func(l lane) {
		v := l.load(z)
		k.VFMSUB213PS(lse, scale, v)
		k.VFMADD231PS(l.load(t), v, acc[l.acc])
	})
	k.end(k.fold(k.VADDPS, acc))

	k = begin(c, isa, "SoftCrossEntropyBackward", "func(dlogits, logits, target *float32, n int, scale, logSumExp, targetSum, w float32)",
		"dlogits[i] += w·(targetSum·exp(scale·logits[i] − logSumExp) − target[i])")
	dz := k.pointer("dlogits")
	z, t = k.pointer("logits"), k.pointer("target")
	k.count()
	scale, lse = k.scalar("scale"), k.scalar("logSumExp")
	sum, w, bounds := k.scalar("targetSum"), k.scalar("w"), k.expBounds()
	k.each(isa.expUnroll(), func(l lane) {
		v := l.load(z)
		k.VFMSUB213PS(lse, scale, v)
		e := k.exp(v, bounds)
		k.VFMSUB213PS(l.load(t), sum, e)
		g := l.load(dz)
		k.VFMADD231PS(e, w, g)
		l.store(g, dz)
	})
	k.end()
}
