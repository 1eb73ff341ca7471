package main

import (
	"math"

	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// softmax: the passes over a row other than exp itself.
func softmax(c *build.Context, isa ISA) {
	k := begin(c, isa, "Max", "func(x *float32, n int) float32", "the largest x[i], −Inf if there is none, passing over NaN")
	x := k.pointer("x")
	k.count()
	acc := k.lowest(4)
	k.each(4, func(l lane) { l.raise(acc[l.acc], l.load(x)) })
	k.end(k.fold(k.VMAXPS, acc))

	// exp(scale·(x − max)) for all of a row no more than max. The difference is exact where it is small.
	k = begin(c, isa, "ExpBelow", "func(y, x, ahead *float32, n int, max, scaleLog2e float32) float32", "y[i] = 2^(scaleLog2e·(x[i] − max)) and Σ y[i], for x[i] up to max, and fetches ahead[i] into the cache")
	y, x, ahead := k.pointer("y"), k.pointer("x"), k.pointer("ahead")
	k.count()
	top, scale, least := k.scalar("max"), k.scalar("scaleLog2e"), k.value(powerLeast)
	acc = k.zeros(isa.expUnroll())
	k.each(isa.expUnroll(), func(l lane) {
		v := l.load(x)
		l.fetch(ahead)
		k.VSUBPS(top, v, v)
		k.VMULPS(scale, v, v)
		v = k.powerOf2(v, least)
		l.store(v, y)
		l.zeroRest(v)
		k.VADDPS(v, acc[l.acc], acc[l.acc])
	})
	k.end(k.fold(k.VADDPS, acc))

	k = begin(c, isa, "SumExpBelow", "func(x, ahead *float32, n int, max, scaleLog2e float32) float32", "Σ 2^(scaleLog2e·(x[i] − max)), for x[i] up to max, and fetches ahead[i] into the cache")
	x, ahead = k.pointer("x"), k.pointer("ahead")
	k.count()
	top, scale, least = k.scalar("max"), k.scalar("scaleLog2e"), k.value(powerLeast)
	acc = k.zeros(isa.expUnroll())
	k.each(isa.expUnroll(), func(l lane) {
		v := l.load(x)
		l.fetch(ahead)
		k.VSUBPS(top, v, v)
		k.VMULPS(scale, v, v)
		v = k.powerOf2(v, least)
		l.zeroRest(v)
		k.VADDPS(v, acc[l.acc], acc[l.acc])
	})
	k.end(k.fold(k.VADDPS, acc))

	k = begin(c, isa, "MaxDifference", "func(y, x, center *float32, n int) float32", "y[i] = x[i] − center[i] and the largest of them, passing over NaN")
	y, x = k.pointer("y"), k.pointer("x")
	center := k.pointer("center")
	k.count()
	acc = k.lowest(4)
	k.each(4, func(l lane) {
		v := l.load(x)
		k.VSUBPS(l.load(center), v, v)
		l.store(v, y)
		l.raise(acc[l.acc], v)
	})
	k.end(k.fold(k.VMAXPS, acc))

	k = beginRows(c, isa, "SoftmaxRows", "func(y, x *float32, n, m int, scaleLog2e float32)",
		"SoftmaxRows computes y[i] = 2^(scaleLog2e·(x[i] − max x))/Σ 2^(scaleLog2e·(x[j] − max x)) for each of m rows of n elements. n and m are at least 1.")
	y, x = k.pointer("y"), k.pointer("x")
	scale, least = k.scalar("scaleLog2e"), k.value(powerLeast)
	rows := k.rows(1)
	rows.forAll([]reg.GPVirtual{y, x}, nil, func() {
		_, sum := rows.sumExpBelow(x, scale, least, []reg.GPVirtual{x, y}, func(c cell, v reg.VecVirtual) { c.store(v, y) })
		k.inTurns(rows.count, func(r int) {
			one := k.vec()
			k.VMOVSS(k.constant(math.Float32bits(1)), one.AsX())
			k.VDIVSS(sum[r].AsX(), one.AsX(), sum[r].AsX())
			k.VBROADCASTSS(sum[r].AsX(), sum[r])
		})
		rows.each([]reg.GPVirtual{y}, nil, func(c cell) {
			v := c.load(y)
			k.VMULPS(sum[c.r], v, v)
			c.store(v, y)
		})
	})
	k.end()

	k = beginRows(c, isa, "LogSumExpRows", "func(lse, x *float32, n, m int, scale, scaleLog2e float32)",
		"LogSumExpRows computes lse = scale·max x + log Σ 2^(scaleLog2e·(x[j] − max x)) for each of m rows of n elements. n and m are at least 1.")
	lse, x := k.pointer("lse"), k.pointer("x")
	s1 := k.scalar("scale")
	scale, least = k.scalar("scaleLog2e"), k.value(powerLeast)
	rows = k.rows(1)
	rows.forAll([]reg.GPVirtual{x}, []reg.GPVirtual{lse}, func() {
		top, sum := rows.sumExpBelow(x, scale, least, []reg.GPVirtual{x}, func(cell, reg.VecVirtual) {})
		y := k.log(rows.pack(sum))
		k.VFMADD231PS(s1, rows.pack(top), y)
		at := operand.Mem{Base: lse}
		switch rows.count {
		case 4:
			k.VMOVUPS(y.AsX(), at)
		case 2:
			k.VMOVLPS(y.AsX(), at)
		default:
			k.VMOVSS(y.AsX(), at)
		}
	})
	k.end()

	k = beginRows(c, isa, "LogSoftmaxRows", "func(y, x *float32, n, m int, scale, scaleLog2e float32)",
		"LogSoftmaxRows computes y[i] = scale·x[i] − scale·max x − log Σ 2^(scaleLog2e·(x[j] − max x)) for each of m rows of n elements. n and m are at least 1.")
	y, x = k.pointer("y"), k.pointer("x")
	s1 = k.scalar("scale")
	scale, least = k.scalar("scaleLog2e"), k.value(powerLeast)
	rows = k.rows(1)
	rows.forAll([]reg.GPVirtual{y, x}, nil, func() {
		top, sum := rows.sumExpBelow(x, scale, least, []reg.GPVirtual{x}, func(cell, reg.VecVirtual) {})
		for r := range sum {
			sum[r] = k.log(sum[r])
			k.VFMADD231SS(s1.AsX(), top[r].AsX(), sum[r].AsX())
			k.VBROADCASTSS(sum[r].AsX(), sum[r])
		}
		rows.each([]reg.GPVirtual{x, y}, []reg.GPVirtual{y}, func(c cell) {
			v := c.load(x)
			k.VFMSUB213PS(sum[c.r], s1, v)
			c.store(v, y)
		})
	})
	k.end()

	k = beginRows(c, isa, "SoftmaxBackward", "func(dx, dy, y *float32, n, m int, keep uint32)",
		"SoftmaxBackward computes dx[i] = y[i]·(dy[i] − Σ dy[j]·y[j]) for each of m rows of n elements, plus what dx[i] was if keep is all ones, not 0.",
		"n and m are at least 1.")
	dx, dy, y := k.pointer("dx"), k.pointer("dy"), k.pointer("y")
	keep := k.scalar("keep")
	rows = k.rows(2)
	rows.forAll([]reg.GPVirtual{dx, dy, y}, nil, func() {
		sums := rows.accumulators()
		rows.each([]reg.GPVirtual{dy, y}, []reg.GPVirtual{dy, y}, func(c cell) { k.VFMADD231PS(c.load(dy), c.load(y), sums[c.acc]) })
		d := rows.foldEach(k.VADDPS, sums)
		k.inTurns(rows.count, func(r int) { k.VBROADCASTSS(d[r].AsX(), d[r]) })
		rows.each([]reg.GPVirtual{dx, dy, y}, []reg.GPVirtual{dx}, func(c cell) {
			v, g := c.load(dy), c.loadKept(dx, keep)
			k.VSUBPS(d[c.r], v, v)
			k.VFMADD231PS(c.load(y), v, g)
			c.store(g, dx)
		})
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

// sumExpBelow writes, for the rows in work, their maxima and the sums of exponentials above them, of which it gives each to use.
func (k *rows) sumExpBelow(x reg.GPVirtual, scaleLog2e, least reg.VecVirtual, pointers []reg.GPVirtual, use func(cell, reg.VecVirtual)) (top, sum []reg.VecVirtual) {
	top = k.lowest(k.count)
	k.each([]reg.GPVirtual{x}, []reg.GPVirtual{x}, func(c cell) { c.lane().raise(top[c.r], c.load(x)) })
	k.foldEach(k.VMAXPS, top)
	k.inTurns(k.count, func(r int) { k.VBROADCASTSS(top[r].AsX(), top[r]) })
	sum = k.zeros(k.count)
	k.each(pointers, pointers[1:], func(c cell) {
		v := c.load(x)
		k.VSUBPS(top[c.r], v, v)
		k.VMULPS(scaleLog2e, v, v)
		v = k.powerOf2(v, least)
		use(c, v)
		c.zeroRest(v)
		k.VADDPS(v, sum[c.r], sum[c.r])
	})
	k.foldEach(k.VADDPS, sum)
	return top, sum
}

// pack puts the low lanes of one register for each row in work into the low lanes of one.
func (k *rows) pack(v []reg.VecVirtual) reg.VecVirtual {
	p := k.copyOf(v[0])
	if k.count > 1 {
		k.VUNPCKLPS(v[1].AsX(), p.AsX(), p.AsX())
	}
	if k.count > 2 {
		q := k.vec()
		k.VUNPCKLPS(v[3].AsX(), v[2].AsX(), q.AsX())
		k.VUNPCKLPD(q.AsX(), p.AsX(), p.AsX())
	}
	return p
}

// lowest are n registers of −Inf.
func (k *kernel) lowest(n int) []reg.VecVirtual {
	r := make([]reg.VecVirtual, n)
	for i := range r {
		r[i] = k.value(math.Inf(-1))
	}
	return r
}

// raise makes top the larger of it and the elements of v that exist, passing over NaN. It overwrites v.
func (l lane) raise(top, v reg.VecVirtual) {
	switch {
	case l.mask == nil:
		l.VMAXPS(top, v, top) // of a number and NaN, the operand written first
	case l.isa == AVX512:
		l.VMAXPS(top, v, l.mask, top)
	default:
		l.VBLENDVPS(l.mask, v, top, v)
		l.VMAXPS(top, v, top)
	}
}

// fetch brings the elements at p into the first-level cache.
func (l lane) fetch(p reg.GPVirtual) {
	if l.disp%cacheLine == 0 {
		l.PREFETCHT0(l.at(p))
	}
}
