package main

import "github.com/mmcloughlin/avo/build"

// layernorm: the passes over a row after its mean and variance (dot.go) are known.
func layernorm(c *build.Context, isa ISA) {
	k := begin(c, isa, "LayerNormForward", "func(y, x, weight, bias *float32, n int, mean, rstd float32)",
		"y[i] = (x[i] − mean)·rstd·weight[i] + bias[i]")
	y, x, weight, bias := k.pointer("y"), k.pointer("x"), k.pointer("weight"), k.pointer("bias")
	k.count()
	mean, rstd := k.scalar("mean"), k.scalar("rstd")
	k.each(2, func(l lane) {
		v := l.load(x)
		k.VSUBPS(mean, v, v)
		k.VMULPS(rstd, v, v)
		b := l.load(bias)
		k.VFMADD231PS(l.load(weight), v, b)
		l.store(b, y)
	})
	k.end()

	k = begin(c, isa, "LayerNormBackwardSums", "func(dweight, dbias, dy, x, weight *float32, n int, mean, rstd float32) (float32, float32)",
		"with xhat[i] = (x[i] − mean)·rstd: dweight[i] += dy[i]·xhat[i], dbias[i] += dy[i], Σ dy[i]·weight[i] and Σ dy[i]·weight[i]·xhat[i]")
	dweight, dbias, dy := k.pointer("dweight"), k.pointer("dbias"), k.pointer("dy")
	x, weight = k.pointer("x"), k.pointer("weight")
	k.count()
	mean, rstd = k.scalar("mean"), k.scalar("rstd")
	g, gx := k.zeros(2), k.zeros(2)
	k.each(2, func(l lane) {
		xhat := l.load(x)
		k.VSUBPS(mean, xhat, xhat)
		k.VMULPS(rstd, xhat, xhat)
		d := l.load(dy)
		dw, db := l.load(dweight), l.load(dbias)
		k.VFMADD231PS(d, xhat, dw)
		k.VADDPS(d, db, db)
		l.store(dw, dweight)
		l.store(db, dbias)
		k.VMULPS(l.load(weight), d, d)
		k.VADDPS(d, g[l.acc], g[l.acc])
		k.VFMADD231PS(d, xhat, gx[l.acc])
	})
	k.end(k.fold(k.VADDPS, g), k.fold(k.VADDPS, gx))

	k = begin(c, isa, "LayerNormBackward", "func(dx, dy, x, weight *float32, n int, mean, rstd, avg, avgx float32)",
		"dx[i] += rstd·(dy[i]·weight[i] − avg − (x[i] − mean)·rstd·avgx)")
	dx := k.pointer("dx")
	dy, x, weight = k.pointer("dy"), k.pointer("x"), k.pointer("weight")
	k.count()
	mean, rstd = k.scalar("mean"), k.scalar("rstd")
	avg, avgx := k.scalar("avg"), k.scalar("avgx")
	k.each(2, func(l lane) {
		xhat := l.load(x)
		k.VSUBPS(mean, xhat, xhat)
		k.VMULPS(rstd, xhat, xhat)
		d := l.load(dy)
		k.VFMSUB132PS(l.load(weight), avg, d)
		k.VFNMADD231PS(xhat, avgx, d)
		v := l.load(dx)
		k.VFMADD231PS(d, rstd, v)
		l.store(v, dx)
	})
	k.end()
}
