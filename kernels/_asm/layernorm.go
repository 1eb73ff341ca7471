package main

import (
	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// layernorm: whole rows, one after the other, so that a CPU begins the next while the last waits for its sums.
func layernorm(c *build.Context, isa ISA) {
	k := beginRows(c, isa, "LayerNormForward", "func(y, x, weight, bias, mean, rstd *float32, n, rows int, inv, eps float32)",
		"LayerNormForward computes, for each of the rows of n elements, mean = inv·Σ x[i], rstd = 1/√(inv·Σ (x[i] − mean)² + eps) and",
		"y[i] = (x[i] − mean)·rstd·weight[i] + bias[i], i < n. inv is 1/n; n and rows are at least 1.")
	y, x, weight, bias := k.pointer("y"), k.pointer("x"), k.pointer("weight"), k.pointer("bias")
	means, rstds := k.pointer("mean"), k.pointer("rstd")
	k.count()
	rows := k.wholeNumber("rows")
	inv, eps, one := k.scalar("inv"), k.scalar("eps"), k.value(1)
	k.Label("rows")

	acc := k.zeros(4)
	k.each(4, func(l lane) { k.VADDPS(l.load(x), acc[l.acc], acc[l.acc]) })
	mean := k.vec()
	k.VMULSS(inv.AsX(), k.fold(k.VADDPS, acc), mean.AsX())
	k.VMOVSS(mean.AsX(), operand.Mem{Base: means})
	k.VBROADCASTSS(mean.AsX(), mean)

	acc = k.zeros(4)
	k.each(4, func(l lane) {
		v := l.load(x)
		k.VSUBPS(mean, v, v)
		l.zeroRest(v)
		k.VFMADD231PS(v, v, acc[l.acc])
	})
	rstd := k.vec()
	k.VMOVAPS(eps.AsX(), rstd.AsX())
	k.VFMADD231SS(k.fold(k.VADDPS, acc), inv.AsX(), rstd.AsX())
	k.VSQRTSS(rstd.AsX(), rstd.AsX(), rstd.AsX())
	k.VDIVSS(rstd.AsX(), one.AsX(), rstd.AsX())
	k.VMOVSS(rstd.AsX(), operand.Mem{Base: rstds})
	k.VBROADCASTSS(rstd.AsX(), rstd)

	k.each(4, func(l lane) {
		v := l.load(x)
		k.VSUBPS(mean, v, v)
		k.VMULPS(rstd, v, v)
		b := l.load(bias)
		k.VFMADD231PS(l.load(weight), v, b)
		l.store(b, y)
	})
	k.nextRow(rows, []reg.GPVirtual{y, x}, []reg.GPVirtual{means, rstds})
	k.end()

	k = beginRows(c, isa, "LayerNormBackward", "func(dx, dweight, dbias, dy, x, weight, mean, rstd *float32, n, rows int, inv float32, keep uint32)",
		"LayerNormBackward computes, for each of the rows of n elements, with xhat[i] = (x[i] − mean)·rstd, g = inv·Σ dy[i]·weight[i] and",
		"gx = inv·Σ dy[i]·weight[i]·xhat[i]: dweight[i] += dy[i]·xhat[i], dbias[i] += dy[i], and dx[i] = rstd·(dy[i]·weight[i] − g − xhat[i]·gx), to which",
		"it adds what dx[i] was if keep is all ones, not 0; i < n. inv is 1/n; n and rows are at least 1. A dx of nil is not wanted.")
	dx, dweight, dbias, dy := k.pointer("dx"), k.pointer("dweight"), k.pointer("dbias"), k.pointer("dy")
	x, weight, means, rstds = k.pointer("x"), k.pointer("weight"), k.pointer("mean"), k.pointer("rstd")
	k.count()
	rows = k.wholeNumber("rows")
	inv = k.scalar("inv")
	keep := k.scalar("keep")
	k.Label("rows")

	mean, rstd = k.vec(), k.vec()
	k.VBROADCASTSS(operand.Mem{Base: means}, mean)
	k.VBROADCASTSS(operand.Mem{Base: rstds}, rstd)
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
	k.TESTQ(dx, dx)
	k.JE(operand.LabelRef("next"))
	avg, avgx := k.vec(), k.vec()
	for _, s := range []struct {
		acc []reg.VecVirtual
		avg reg.VecVirtual
	}{{g, avg}, {gx, avgx}} {
		k.VMULSS(inv.AsX(), k.fold(k.VADDPS, s.acc), s.avg.AsX())
		k.VBROADCASTSS(s.avg.AsX(), s.avg)
	}
	k.each(2, func(l lane) {
		xhat := l.load(x)
		k.VSUBPS(mean, xhat, xhat)
		k.VMULPS(rstd, xhat, xhat)
		d := l.load(dy)
		k.VFMSUB132PS(l.load(weight), avg, d)
		k.VFNMADD231PS(xhat, avgx, d)
		v := l.loadKept(dx, keep)
		k.VFMADD231PS(d, rstd, v)
		l.store(v, dx)
	})
	k.LEAQ(operand.Mem{Base: dx, Index: k.n, Scale: 4}, dx)
	k.Label("next")
	k.nextRow(rows, []reg.GPVirtual{dy, x}, []reg.GPVirtual{means, rstds})
	k.end()
}

// nextRow moves on by a row of n elements the pointers to rows and by one element those to what each row has one of, and goes back to the label
// rows while there are any.
func (k *kernel) nextRow(rows reg.GPVirtual, dense, single []reg.GPVirtual) {
	for _, p := range dense {
		k.LEAQ(operand.Mem{Base: p, Index: k.n, Scale: 4}, p)
	}
	for _, p := range single {
		k.ADDQ(operand.Imm(4), p)
	}
	k.DECQ(rows)
	k.JNE(operand.LabelRef("rows"))
}
