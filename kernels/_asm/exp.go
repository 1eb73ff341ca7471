package main

import (
	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// exp: the exponential function of shifted elements.
func exp(c *build.Context, isa ISA) {
	k := begin(c, isa, "ExpShift", "func(y, x *float32, n int, scale, shift float32)", "y[i] = exp(scale·x[i] − shift)")
	y, x := k.pointer("y"), k.pointer("x")
	k.count()
	scale, shift := k.scalar("scale"), k.scalar("shift")
	bounds := k.expBounds()
	k.each(isa.expUnroll(), func(l lane) {
		v := l.load(x)
		k.VFMSUB213PS(shift, scale, v)
		l.store(k.exp(v, bounds), y)
	})
	k.end()
}

// expPolynomial approximates (exp(r) − 1 − r)/r² for |r| ≤ log(2)/2 so that the relative error of exp is at most 3.1e-9: a minimax fit by
// Lawson's iteration (1961), ascending powers.
var expPolynomial = []float64{0.49999993412062965, 0.166665201019503, 0.04166839428428625, 0.008368781058088215, 0.0013814465169880244}

// expUnroll is how many vectors an exponential is computed of at once: what the registers hold.
func (i ISA) expUnroll() int {
	if i == AVX512 {
		return 4
	}
	return 2
}

const (
	log2e = 1.44269504088896340736
	ln2   = 0.69314718055994530942
	ln2Hi = float64(float32(ln2))
	ln2Lo = ln2 - ln2Hi
)

// expBounds are the registers of the arguments beyond which exp is 0 and +Inf.
func (k *kernel) expBounds() [2]reg.VecVirtual { return [2]reg.VecVirtual{k.value(-104), k.value(89)} }

// exp replaces t by exp(t), for all t; NaN gives NaN.
func (k *kernel) exp(t reg.VecVirtual, bounds [2]reg.VecVirtual) reg.VecVirtual {
	// Of two operands of which one is NaN, these return the one written first here.
	k.VMAXPS(t, bounds[0], t)
	k.VMINPS(t, bounds[1], t)
	return k.expOfSum(t, nil)
}

// expOfSum replaces t by exp(t + rest()) for t in [−106, 89] (or NaN) and a rest of at most a few ulp of t.
func (k *kernel) expOfSum(t reg.VecVirtual, addRest func(r reg.VecVirtual)) reg.VecVirtual {
	// exp(t) = 2^e · exp(r), e the integer nearest t/ln 2: Cody, Waite 1980.
	e := k.vec()
	k.with(k.VMULPS, k.VMULPS_BCST, log2e, t, e)
	k.roundToInteger(e, e)
	r := t
	k.with(k.VFNMADD231PS, k.VFNMADD231PS_BCST, ln2Hi, e, r)
	k.with(k.VFNMADD231PS, k.VFNMADD231PS_BCST, ln2Lo, e, r)
	if addRest != nil {
		addRest(r)
	}
	p := k.polynomial(r, append([]float64{1, 1}, expPolynomial...))
	k.scaleByPower(p, e)
	return p
}

// polynomial is Σ c[i]·x^i by Horner's rule.
func (k *kernel) polynomial(x reg.VecVirtual, c []float64) reg.VecVirtual {
	p := k.value(c[len(c)-1])
	for i := len(c) - 2; i >= 0; i-- {
		k.with(k.VFMADD213PS, k.VFMADD213PS_BCST, c[i], x, p)
	}
	return p
}

func (k *kernel) roundToInteger(v, rounded reg.VecVirtual) {
	const nearestQuiet = 8
	if k.isa == AVX512 {
		k.VRNDSCALEPS(operand.Imm(nearestQuiet), v, rounded)
	} else {
		k.VROUNDPS(operand.Imm(nearestQuiet), v, rounded)
	}
}

// scaleByPower multiplies p by 2^e for an integer e in [−152, 129].
func (k *kernel) scaleByPower(p, e reg.VecVirtual) {
	if k.isa == AVX512 {
		k.VSCALEFPS(e, p, p)
		return
	}
	// In two halves, because 2^e itself may be no normal float32. Only the second product rounds.
	half := k.vec()
	k.VCVTPS2DQ(e, e)
	k.VPSRAD(operand.Imm(1), e, half)
	k.VPSUBD(half, e, e)
	for _, h := range []reg.VecVirtual{half, e} {
		k.VPADDD(k.constant(127), h, h)
		k.VPSLLD(operand.Imm(23), h, h)
		k.VMULPS(h, p, p)
	}
}

// powerLeast is where 2^t becomes 0 in float32.
const powerLeast = -150

// powerOf2 replaces t by 2^t for t up to 0; NaN gives NaN. least is powerLeast.
func (k *kernel) powerOf2(t, least reg.VecVirtual) reg.VecVirtual {
	k.VMAXPS(t, least, t) // of two operands of which one is NaN, the one written first here is returned
	e := k.vec()
	k.roundToInteger(t, e)
	k.VSUBPS(e, t, t)
	c := []float64{1, ln2}
	power := ln2
	for _, a := range expPolynomial { // of t·ln 2
		power *= ln2
		c = append(c, a*power)
	}
	p := k.polynomial(t, c)
	k.scaleByPower(p, e)
	return p
}
