package main

import (
	"math"

	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/reg"
)

// gelu: x·Φ(x) and its derivative Φ(x) + x·φ(x), Φ and φ the standard normal distribution function and density.
func gelu(c *build.Context, isa ISA) {
	k := begin(c, isa, "GELUForward", "func(y, x *float32, n int)", "y[i] = x[i]·Φ(x[i])")
	y, x := k.pointer("y"), k.pointer("x")
	k.count()
	g := k.geluConstants()
	k.each(isa.expUnroll(), func(l lane) {
		v := l.load(x)
		a, tail, _ := k.normalTail(v, g)
		l.store(k.geluOf(v, a, tail, g), y)
	})
	k.end()

	k = begin(c, isa, "GELUBackward", "func(dx, dy, x *float32, n int, keep uint32)",
		"dx[i] = dy[i]·(Φ(x[i]) + x[i]·φ(x[i])), plus what dx[i] was if keep is all ones, not 0")
	dx, dy, x := k.pointer("dx"), k.pointer("dy"), k.pointer("x")
	k.count()
	keep := k.scalar("keep")
	g = k.geluConstants()
	k.each(isa.expUnroll(), func(l lane) {
		v := l.load(x)
		a, tail, e := k.normalTail(v, g)
		derivative := k.geluDerivative(v, a, tail, e)
		grad := l.loadKept(dx, keep)
		k.VFMADD231PS(l.load(dy), derivative, grad)
		l.store(grad, dx)
	})
	k.end()

	k = begin(c, isa, "GELUAndDerivative", "func(y, dydx, x *float32, n int)", "y[i] = x[i]·Φ(x[i]) and dydx[i] = Φ(x[i]) + x[i]·φ(x[i])")
	y, dydx, x := k.pointer("y"), k.pointer("dydx"), k.pointer("x")
	k.count()
	g = k.geluConstants()
	k.each(isa.expUnroll(), func(l lane) {
		v := l.load(x)
		a, tail, e := k.normalTail(v, g)
		l.store(k.geluOf(v, a, tail, g), y)
		l.store(k.geluDerivative(v, a, tail, e), dydx)
	})
	k.end()
}

// geluOf is x·Φ(x) of what normalTail has computed: max(x, 0) − |x|·Φ(−|x|) on both sides, without cancellation on the left.
func (k *kernel) geluOf(x, a, tail reg.VecVirtual, g geluConstants) reg.VecVirtual {
	y := k.vec()
	k.VMAXPS(x, g.zero, y)
	k.VFNMADD231PS(a, tail, y)
	return y
}

// geluDerivative is Φ(x) + x·φ(x) = 1/2 + sign(x)·(1/2 − Φ(−|x|) + |x|·φ(x)) of what normalTail has computed. It overwrites x and e.
func (k *kernel) geluDerivative(x, a, tail, e reg.VecVirtual) reg.VecVirtual {
	k.with(k.VMULPS, k.VMULPS_BCST, 1/math.Sqrt(2*math.Pi), e, e)
	odd := k.value(0.5)
	k.VSUBPS(tail, odd, odd)
	k.VFMADD231PS(a, e, odd)
	k.withBits(k.VANDPS, k.VANDPS_BCST, 1<<31, x, x)
	k.VXORPS(x, odd, odd)
	k.with(k.VADDPS, k.VADDPS_BCST, 0.5, odd, odd)
	return odd
}

// geluBound is where Φ(−|x|) and φ(x) have become 0 in float32.
const geluBound = 14.5

type geluConstants struct{ bound, one, zero reg.VecVirtual }

func (k *kernel) geluConstants() geluConstants {
	return geluConstants{k.value(geluBound), k.value(1), k.zeros(1)[0]}
}

// millsPolynomial approximates Φ(−a)·exp(a²/2)·(1 + millsScale·a), the Mills ratio less two factors, in powers of w = a/(1 + millsScale·a) for a
// from 0 to geluBound: relative error 1.7e-08, a minimax fit by Lawson's iteration with the first term fixed. The form is that of Hastings
// (26.2.17 in Abramowitz, Stegun 1964) with more terms, and in w for his 1/(1 + millsScale·a) because near 0 w has no rounding error to speak of.
var millsPolynomial = []float64{0.5, -0.1989427537139661, 0.010854821563277703, 0.007472065674784237, 0.0005729742157620453,
	-0.0006120377665010029, 0.00022492694037373444, -0.0002047859652500291, 7.318107385565524e-05, -8.352125748799676e-06}

const millsScale = 0.4

// normalTail computes, with a = min(|x|, geluBound), Φ(−a) and e = exp(−a²/2), both to a few ulp. NaN stays NaN in all three.
func (k *kernel) normalTail(x reg.VecVirtual, g geluConstants) (a, tail, e reg.VecVirtual) {
	a = k.vec()
	k.withBits(k.VANDPS, k.VANDPS_BCST, 1<<31-1, x, a)
	k.VMINPS(a, g.bound, a) // of a number and NaN, the operand written first

	// The square's rounding error, up to 4e-6 for large a, would be exp's relative error: carry it along.
	square, rest := k.vec(), k.vec()
	k.VMULPS(a, a, square)
	k.VMOVAPS(square, rest)
	k.VFMSUB231PS(a, a, rest)
	k.with(k.VMULPS, k.VMULPS_BCST, -0.5, square, square)
	e = k.expOfSum(square, func(r reg.VecVirtual) { k.with(k.VFMADD231PS, k.VFMADD231PS_BCST, -0.5, rest, r) })

	u := k.copyOf(g.one)
	k.with(k.VFMADD231PS, k.VFMADD231PS_BCST, millsScale, a, u)
	k.VDIVPS(u, g.one, u)
	w := k.vec()
	k.VMULPS(a, u, w)
	tail = k.polynomial(w, millsPolynomial)
	k.VMULPS(u, tail, tail)
	k.VMULPS(e, tail, tail)
	return a, tail, e
}
