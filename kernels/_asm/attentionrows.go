package main

import (
	"math"

	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// beginRows starts a function of m rows of n elements, which writes its loops itself.
func beginRows(c *build.Context, isa ISA, name, signature string, doc ...string) *kernel {
	k := begin(c, isa, name, signature, "")
	k.Doc(doc...)
	return k
}

// expLeast is where expOfWeight becomes 0: below it, results or the steps to them would be denormal numbers, which are slow on some CPUs.
const expLeast = -86.6

// expOfWeight returns exp(t) for t up to 88, 0 below least, which holds expLeast; it overwrites t. NaN gives NaN.
func (k *kernel) expOfWeight(t, least reg.VecVirtual) reg.VecVirtual {
	var under reg.VecVirtual
	var normal reg.OpmaskVirtual
	if k.isa == AVX2 {
		const less = 1
		under = k.vec()
		k.VCMPPS(operand.Imm(less), least, t, under)
		k.VMINPS(t, k.value(88), t) // of two operands of which one is NaN, the one written first here is returned
	} else {
		const notLess = 5
		normal = k.K()
		k.VCMPPS(operand.Imm(notLess), least, t, normal)
	}
	e := k.vec()
	k.with(k.VMULPS, k.VMULPS_BCST, log2e, t, e)
	k.roundToInteger(e)
	k.with(k.VFNMADD231PS, k.VFNMADD231PS_BCST, ln2Hi, e, t)
	k.with(k.VFNMADD231PS, k.VFNMADD231PS_BCST, ln2Lo, e, t)
	p := k.polynomial(t, append([]float64{1, 1}, expPolynomial...))
	if k.isa == AVX512 {
		k.VSCALEFPS_Z(e, p, normal, p)
		return p
	}
	// All numbers are normal here: 2ᵉ is added to the exponent.
	k.VCVTPS2DQ(e, e)
	k.VPSLLD(operand.Imm(23), e, e)
	k.VPADDD(e, p, p)
	k.VANDNPS(p, under, p)
	return p
}

// attentionSoftmax: softmax of rows in place.
func attentionSoftmax(c *build.Context, isa ISA) {
	k := beginRows(c, isa, "AttentionSoftmax", "func(p *float32, ld int, top, sum *float32, m, n int, scale float32)",
		"AttentionSoftmax computes, for each of m rows ld apart, top[i] = scale·max p[i,j], sum[i] = Σ exp(scale·p[i,j] − top[i]) and",
		"p[i,j] = exp(scale·p[i,j] − top[i])/sum[i] over j < n. ld is at least n rounded up to vectors; what lies between becomes 0. scale is positive, n at least 1.")
	load := k.pointer // and whole numbers, which are loaded alike
	p, ld, tops, sums, m, n := load("p"), load("ld"), load("top"), load("sum"), load("m"), load("n")
	c.SHLQ(operand.Imm(2), ld)
	// last is the offset of the row's last vector, whose lanes beyond n are left out by a mask.
	last, lowest := c.GP64(), k.value(math.Inf(-1))
	c.LEAQ(operand.Mem{Base: n, Disp: -1}, last)
	c.ANDQ(operand.I32(-isa.Lanes()), last)
	c.SUBQ(last, n)
	mask := k.maskOf(n)
	c.SHLQ(operand.Imm(2), last)
	loadLast := func() reg.VecVirtual {
		x, at := k.vec(), operand.Mem{Base: p, Index: last, Scale: 1}
		if isa == AVX512 {
			c.VMOVAPS(lowest, x)
			c.VMOVUPS(at, mask, x)
		} else {
			c.VMOVUPS(at, x)
			c.VBLENDVPS(mask, x, lowest, x)
		}
		return x
	}
	scale, least := k.scalar("scale"), k.value(expLeast)

	c.Label("rows")
	top, i := loadLast(), c.GP64()
	c.XORQ(i, i)
	c.CMPQ(last, operand.Imm(0))
	c.JE(operand.LabelRef("max_done"))
	c.Label("max")
	c.VMAXPS(operand.Mem{Base: p, Index: i, Scale: 1}, top, top)
	c.ADDQ(operand.Imm(uint64(isa.Bytes)), i)
	c.CMPQ(i, last)
	c.JL(operand.LabelRef("max"))
	c.Label("max_done")
	k.fold(c.VMAXPS, []reg.VecVirtual{top})
	c.VMULSS(scale.AsX(), top.AsX(), top.AsX())
	c.VMOVSS(top.AsX(), operand.Mem{Base: tops})
	c.VBROADCASTSS(top.AsX(), top)

	x := loadLast()
	c.VFMSUB213PS(top, scale, x)
	sum := k.expOfWeight(x, least)
	c.VMOVUPS(sum, operand.Mem{Base: p, Index: last, Scale: 1})
	c.XORQ(i, i)
	c.CMPQ(last, operand.Imm(0))
	c.JE(operand.LabelRef("exp_done"))
	c.Label("exp")
	x = k.vec()
	c.VMOVUPS(operand.Mem{Base: p, Index: i, Scale: 1}, x)
	c.VFMSUB213PS(top, scale, x)
	e := k.expOfWeight(x, least)
	c.VMOVUPS(e, operand.Mem{Base: p, Index: i, Scale: 1})
	c.VADDPS(e, sum, sum)
	c.ADDQ(operand.Imm(uint64(isa.Bytes)), i)
	c.CMPQ(i, last)
	c.JL(operand.LabelRef("exp"))
	c.Label("exp_done")
	k.fold(c.VADDPS, []reg.VecVirtual{sum})
	c.VMOVSS(sum.AsX(), operand.Mem{Base: sums})

	inv := k.vec()
	c.VMOVSS(k.constant(math.Float32bits(1)), inv.AsX())
	c.VDIVSS(sum.AsX(), inv.AsX(), inv.AsX())
	c.VBROADCASTSS(inv.AsX(), inv)
	c.XORQ(i, i)
	c.Label("scale")
	x = k.vec()
	c.VMULPS(operand.Mem{Base: p, Index: i, Scale: 1}, inv, x)
	c.VMOVUPS(x, operand.Mem{Base: p, Index: i, Scale: 1})
	c.ADDQ(operand.Imm(uint64(isa.Bytes)), i)
	c.CMPQ(i, last)
	c.JLE(operand.LabelRef("scale"))

	c.ADDQ(ld, p)
	c.ADDQ(operand.Imm(4), tops)
	c.ADDQ(operand.Imm(4), sums)
	c.DECQ(m)
	c.JNE(operand.LabelRef("rows"))
	c.VZEROUPPER()
	c.RET()
}

// logPolynomial approximates (log(1+f) − f + f²/2)/f³ for 1+f in [√½, √2], ascending powers: that of logf in the Cephes library (Moshier).
var logPolynomial = []float64{3.3333331174e-1, -2.4999993993e-1, 2.0000714765e-1, -1.6668057665e-1, 1.4249322787e-1, -1.2420140846e-1,
	1.1676998740e-1, -1.1514610310e-1, 7.0376836292e-2}

const (
	logLn2Hi = 0.693359375 // its products with exponents are exact
	logLn2Lo = ln2 - logLn2Hi
	sqrtHalf = 0x3f3504f3 // the bits of √½
)

// attentionLogSum: lse[i] += log(sum[i]).
func attentionLogSum(c *build.Context, isa ISA) {
	k := beginRows(c, isa, "AttentionLogSum", "func(lse, sum *float32, n int)",
		"AttentionLogSum computes lse[i] += log(sum[i]) for i < n rounded up to vectors. Sums are normal numbers or NaN; n is at least 1.")
	lse, sum := c.Load(c.Param("lse"), c.GP64()), c.Load(c.Param("sum"), c.GP64())
	n := c.Load(c.Param("n"), c.GP64())
	c.Label("vectors")
	x := k.vec()
	c.VMOVUPS(operand.Mem{Base: sum}, x)
	// x = m·2ᵉ with m in [√½, √2): the bits of √½ are taken off first, so that the exponent changes there.
	e, f := k.vec(), k.vec()
	c.VPBROADCASTD(k.constant(sqrtHalf), f)
	c.VPSUBD(f, x, e)
	c.VPSRAD(operand.Imm(23), e, e)
	c.VPSLLD(operand.Imm(23), e, f)
	c.VPSUBD(f, x, f)
	c.VCVTDQ2PS(e, e)
	k.with(k.VSUBPS, k.VSUBPS_BCST, 1, f, f)
	y := k.polynomial(f, logPolynomial)
	sq := k.vec()
	c.VMULPS(f, f, sq)
	c.VMULPS(f, y, y)
	c.VMULPS(sq, y, y)
	k.with(k.VFMADD231PS, k.VFMADD231PS_BCST, logLn2Lo, e, y)
	k.with(k.VFNMADD231PS, k.VFNMADD231PS_BCST, .5, sq, y)
	k.with(k.VFMADD231PS, k.VFMADD231PS_BCST, 0, x, y) // NaN
	c.VADDPS(f, y, y)
	k.with(k.VFMADD231PS, k.VFMADD231PS_BCST, logLn2Hi, e, y)
	c.VADDPS(operand.Mem{Base: lse}, y, y)
	c.VMOVUPS(y, operand.Mem{Base: lse})
	c.ADDQ(operand.Imm(uint64(isa.Bytes)), lse)
	c.ADDQ(operand.Imm(uint64(isa.Bytes)), sum)
	c.SUBQ(operand.Imm(uint64(isa.Lanes())), n)
	c.JG(operand.LabelRef("vectors"))
	c.VZEROUPPER()
	c.RET()
}

// attentionGrad: what the backward does between its products.
func attentionGrad(c *build.Context, isa ISA) {
	k := beginRows(c, isa, "AttentionGrad", "func(p, ds *float32, ld int, lse, delta *float32, m, n int, scale float32)",
		"AttentionGrad computes, for m rows ld apart, p[i,j] = exp(scale·p[i,j] − lse[i]) and ds[i,j] = p[i,j]·(ds[i,j] − delta[i])·scale",
		"for j < n rounded up to vectors, which ld must leave room for. m and n are at least 1.")
	load := k.pointer // and whole numbers, which are loaded alike
	p, ds, ld, lses, deltas, m, n := load("p"), load("ds"), load("ld"), load("lse"), load("delta"), load("m"), load("n")
	c.SHLQ(operand.Imm(2), ld)
	c.SHLQ(operand.Imm(2), n)
	scale, least := k.scalar("scale"), k.value(expLeast)
	c.Label("rows")
	lse, delta, i := k.vec(), k.vec(), c.GP64()
	c.VBROADCASTSS(operand.Mem{Base: lses}, lse)
	c.VBROADCASTSS(operand.Mem{Base: deltas}, delta)
	c.XORQ(i, i)
	c.Label("vectors")
	x := k.vec()
	c.VMOVUPS(operand.Mem{Base: p, Index: i, Scale: 1}, x)
	c.VFMSUB213PS(lse, scale, x)
	e := k.expOfWeight(x, least)
	c.VMOVUPS(e, operand.Mem{Base: p, Index: i, Scale: 1})
	g := k.vec()
	c.VMOVUPS(operand.Mem{Base: ds, Index: i, Scale: 1}, g)
	c.VSUBPS(delta, g, g)
	c.VMULPS(e, g, g)
	c.VMULPS(scale, g, g)
	c.VMOVUPS(g, operand.Mem{Base: ds, Index: i, Scale: 1})
	c.ADDQ(operand.Imm(uint64(isa.Bytes)), i)
	c.CMPQ(i, n)
	c.JL(operand.LabelRef("vectors"))
	c.ADDQ(ld, p)
	c.ADDQ(ld, ds)
	c.ADDQ(operand.Imm(4), lses)
	c.ADDQ(operand.Imm(4), deltas)
	c.DECQ(m)
	c.JNE(operand.LabelRef("rows"))
	c.VZEROUPPER()
	c.RET()
}

// attentionDelta: products of rows with rows.
func attentionDelta(c *build.Context) {
	k := beginRows(c, AVX2, "AttentionDelta", "func(delta, dy, y *float32, ld, m, d int)",
		"AttentionDelta computes delta[i] = Σ dy[i·ld+l]·y[i·ld+l] over l < d, a multiple of 8, for i < m. m and d are at least 1.")
	load := k.pointer // and whole numbers, which are loaded alike
	delta, dy, y, ld, m, d := load("delta"), load("dy"), load("y"), load("ld"), load("m"), load("d")
	c.SHLQ(operand.Imm(2), ld)
	c.SHLQ(operand.Imm(2), d)
	c.Label("rows")
	sum, i := k.vec(), c.GP64()
	c.VXORPS(sum, sum, sum)
	c.XORQ(i, i)
	c.Label("columns")
	g := k.vec()
	c.VMOVUPS(operand.Mem{Base: dy, Index: i, Scale: 1}, g)
	c.VFMADD231PS(operand.Mem{Base: y, Index: i, Scale: 1}, g, sum)
	c.ADDQ(operand.Imm(32), i)
	c.CMPQ(i, d)
	c.JL(operand.LabelRef("columns"))
	k.fold(c.VADDPS, []reg.VecVirtual{sum})
	c.VMOVSS(sum.AsX(), operand.Mem{Base: delta})
	c.ADDQ(ld, dy)
	c.ADDQ(ld, y)
	c.ADDQ(operand.Imm(4), delta)
	c.DECQ(m)
	c.JNE(operand.LabelRef("rows"))
	c.VZEROUPPER()
	c.RET()
}
