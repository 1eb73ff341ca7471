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
	k.each(1, func(l lane) {
		v := l.load(x)
		a, tail, _ := k.normalTail(v, g)
		// x·Φ(x) = max(x, 0) − |x|·Φ(−|x|) on both sides, without cancellation on the left.
		k.VMAXPS(v, g.zero, v)
		k.VFNMADD231PS(a, tail, v)
		l.store(v, y)
	})
	k.end()

	k = begin(c, isa, "GELUBackward", "func(dx, dy, x *float32, n int)", "dx[i] += dy[i]·(Φ(x[i]) + x[i]·φ(x[i]))")
	dx, dy, x := k.pointer("dx"), k.pointer("dy"), k.pointer("x")
	k.count()
	g = k.geluConstants()
	k.each(1, func(l lane) {
		v := l.load(x)
		a, tail, e := k.normalTail(v, g)
		// Φ(x) + x·φ(x) = 1/2 + sign(x)·(1/2 − Φ(−|x|) + |x|·φ(x)).
		k.VMULPS(k.constant(1/math.Sqrt(2*math.Pi)), e, e)
		odd := k.value(0.5)
		k.VSUBPS(tail, odd, odd)
		k.VFMADD231PS(a, e, odd)
		k.VANDPS(k.constantBits(1<<31), v, v)
		k.VXORPS(v, odd, odd)
		k.VADDPS(k.constant(0.5), odd, odd)
		grad := l.load(dx)
		k.VFMADD231PS(l.load(dy), odd, grad)
		l.store(grad, dx)
	})
	k.end()
}

// geluBound is where Φ(−|x|) and φ(x) have become 0 in float32.
const geluBound = 14.5

type geluConstants struct{ bound, one, zero reg.VecVirtual }

func (k *kernel) geluConstants() geluConstants {
	return geluConstants{k.value(geluBound), k.value(1), k.zeros(1)[0]}
}

// millsPolynomial approximates Φ(−a)/exp(−a²/2), the Mills ratio less a factor, as a polynomial in u = 1/(1 + millsScale·a) without constant
// term, for a from 0 to geluBound: relative error 2.9e-8, a minimax fit by Lawson's iteration, ascending powers from u itself. The form is
// that of Hastings 1955, 26.2.17 in Abramowitz, Stegun 1964, with more terms.
var millsPolynomial = []float64{0.10375663351396303, 0.10305754027472341, 0.10274209371747518, 0.052146319691420494, 0.15833334166779034,
	-0.14717365517596817, 0.24819464260791962, -0.1512334755464423, 0.030176545015346}

const millsScale = 0.26

// normalTail computes, with a = min(|x|, geluBound), Φ(−a) and e = exp(−a²/2), both to a few ulp. NaN stays NaN in all three.
func (k *kernel) normalTail(x reg.VecVirtual, g geluConstants) (a, tail, e reg.VecVirtual) {
	a = k.vec()
	k.VANDPS(k.constantBits(1<<31-1), x, a)
	k.VMINPS(a, g.bound, a) // of a number and NaN, the operand written first

	// The square's rounding error, up to 4e-6 for large a, would be exp's relative error: carry it along.
	square, rest := k.vec(), k.vec()
	k.VMULPS(a, a, square)
	k.VMOVAPS(square, rest)
	k.VFMSUB231PS(a, a, rest)
	k.VMULPS(k.constant(-0.5), square, square)
	e = k.expOfSum(square, func(r reg.VecVirtual) { k.VFMADD231PS(k.constant(-0.5), rest, r) })

	u := k.copyOf(g.one)
	k.VFMADD231PS(k.constant(millsScale), a, u)
	k.VDIVPS(u, g.one, u)
	tail = k.polynomial(u, millsPolynomial)
	k.VMULPS(u, tail, tail)
	k.VMULPS(e, tail, tail)
	return a, tail, e
}
