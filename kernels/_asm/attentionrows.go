package main

import (
	"math"

	"github.com/mmcloughlin/avo/attr"
	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// attentionConstants are vectors of one number each, in memory.
type attentionConstants struct {
	c        *build.Context
	isa      ISA
	lo, hi   operand.Mem // where exp becomes 0, and (AVX2) the largest argument whose power of two is finite
	log2e    operand.Mem
	ln2      [2]operand.Mem // its leading bits, and the rest
	exp      []operand.Mem  // of (eʳ − 1 − r)/r², highest power first
	log      []operand.Mem  // of (log(1+f) − f + f²/2)/f³, highest power first
	one      operand.Mem
	half     operand.Mem
	zero     operand.Mem
	sqrtHalf operand.Mem
	lowest   operand.Mem // −Inf
	lanes    operand.Mem // as many −1 as a vector has lanes, then as many 0
}

// The polynomials are those of expf and logf in the Cephes library (Moshier).
func newAttentionConstants(c *build.Context, isa ISA) *attentionConstants {
	k := &attentionConstants{c: c, isa: isa}
	vector := func(name string, bits uint32) operand.Mem {
		m := c.StaticGlobal("attention_" + name)
		c.DataAttributes(attr.RODATA | attr.NOPTR)
		for range isa.Lanes() {
			c.AppendDatum(operand.U32(bits))
		}
		return m
	}
	number := func(name string, x float64) operand.Mem { return vector(name, math.Float32bits(float32(x))) }
	// Below it, results or the steps to them would be denormal numbers, which are slow on some CPUs.
	k.lo = number("lo", -86.6)
	if isa == AVX2 {
		k.hi = number("hi", 88)
	}
	k.log2e = number("log2e", math.Log2E)
	k.ln2 = [2]operand.Mem{number("ln2hi", 0.693359375), number("ln2lo", -2.12194440e-4)}
	for i, x := range []float64{1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1} {
		k.exp = append(k.exp, number("exp"+string(rune('0'+i)), x))
	}
	for i, x := range []float64{7.0376836292e-2, -1.1514610310e-1, 1.1676998740e-1, -1.2420140846e-1, 1.4249322787e-1, -1.6668057665e-1, 2.0000714765e-1, -2.4999993993e-1, 3.3333331174e-1} {
		k.log = append(k.log, number("log"+string(rune('0'+i)), x))
	}
	k.one, k.half, k.zero = number("one", 1), number("half", .5), number("zero", 0)
	k.sqrtHalf = vector("sqrthalf", 0x3f3504f3)
	k.lowest = number("lowest", math.Inf(-1))
	k.lanes = c.StaticGlobal("attention_lanes")
	c.DataAttributes(attr.RODATA | attr.NOPTR)
	for i := range 2 * isa.Lanes() {
		c.AppendDatum(operand.U32(map[bool]uint32{true: math.MaxUint32}[i < isa.Lanes()]))
	}
	return k
}

func (k *attentionConstants) load(m operand.Mem) reg.VecVirtual {
	v := k.isa.Vec(k.c)
	k.c.VMOVUPS(m, v)
	return v
}

// eToThe returns exp(x), 0 below lo (of that constant), and may overwrite x. A NaN stays one.
func (k *attentionConstants) eToThe(x, lo reg.VecVirtual) reg.VecVirtual {
	c := k.c
	var under reg.VecVirtual
	var normal reg.OpmaskVirtual
	if k.isa == AVX2 {
		under = k.isa.Vec(c)
		c.VCMPPS(operand.Imm(1), lo, x, under) // x < lo
		hi := k.load(k.hi)
		c.VMINPS(x, hi, x) // of two operands, the one that may be NaN comes first: it is the one returned
	} else {
		normal = c.K()
		c.VCMPPS(operand.Imm(5), lo, x, normal) // !(x < lo)
	}
	n, y := k.isa.Vec(c), k.isa.Vec(c)
	c.VMULPS(k.log2e, x, n)
	if k.isa == AVX2 {
		c.VROUNDPS(operand.Imm(8), n, n)
	} else {
		c.VRNDSCALEPS(operand.Imm(8), n, n)
	}
	c.VFNMADD231PS(k.ln2[0], n, x)
	c.VFNMADD231PS(k.ln2[1], n, x)
	c.VMOVUPS(k.exp[0], y)
	for _, p := range k.exp[1:] {
		c.VFMADD213PS(p, x, y)
	}
	sq := k.isa.Vec(c)
	c.VMULPS(x, x, sq)
	c.VADDPS(k.one, x, x)
	c.VFMADD213PS(x, sq, y) // y = (1 + r) + r²·p
	if k.isa == AVX512 {
		c.VSCALEFPS_Z(n, y, normal, y)
		return y
	}
	c.VCVTPS2DQ(n, n)
	c.VPSLLD(operand.Imm(23), n, n)
	c.VPADDD(n, y, y)
	c.VANDNPS(y, under, y)
	return y
}

// across folds a vector to its lowest lane with op, which is VADDPS or VMAXPS.
func (k *attentionConstants) across(v reg.VecVirtual, op func(...operand.Op)) {
	c, t := k.c, k.isa.Vec(k.c)
	if k.isa == AVX512 {
		c.VEXTRACTF64X4(operand.Imm(1), v, t.AsY())
		op(t.AsY(), v.AsY(), v.AsY())
	}
	c.VEXTRACTF128(operand.Imm(1), v.AsY(), t.AsX())
	op(t.AsX(), v.AsX(), v.AsX())
	c.VPERMILPS(operand.Imm(0x4e), v.AsX(), t.AsX())
	op(t.AsX(), v.AsX(), v.AsX())
	c.VPERMILPS(operand.Imm(0xb1), v.AsX(), t.AsX())
	op(t.AsX(), v.AsX(), v.AsX())
}

// attentionSoftmax: softmax of rows in place.
func attentionSoftmax(c *build.Context, isa ISA, k *attentionConstants) {
	c.Function("AttentionSoftmax")
	c.Attributes(attr.NOSPLIT)
	c.SignatureExpr("func(p *float32, ld int, top, sum *float32, m, n int, scale float32)")
	c.Doc("AttentionSoftmax computes, for each of m rows ld apart, top[i] = scale·max p[i,j], sum[i] = Σ exp(scale·p[i,j] − top[i]) and",
		"p[i,j] = exp(scale·p[i,j] − top[i])/sum[i] over j < n. ld is at least n rounded up to vectors; what lies between becomes 0. scale is positive, n at least 1.")
	load := func(name string) reg.GPVirtual { return c.Load(c.Param(name), c.GP64()).(reg.GPVirtual) }
	p, ld, tops, sums, m, n := load("p"), load("ld"), load("top"), load("sum"), load("m"), load("n")
	c.SHLQ(operand.Imm(2), ld)
	// last is the offset of the row's last vector, whose lanes beyond n are left out by a mask.
	last, rest := c.GP64(), c.GP64()
	c.LEAQ(operand.Mem{Base: n, Disp: -1}, last)
	c.ANDQ(operand.I32(-isa.Lanes()), last)
	c.SUBQ(last, n)
	c.MOVQ(operand.U32(isa.Lanes()), rest)
	c.SUBQ(n, rest)
	c.SHLQ(operand.Imm(2), last)
	lanes, lowest := c.GP64(), k.load(k.lowest)
	c.LEAQ(k.lanes, lanes)
	mask, tail := isa.Vec(c), reg.OpmaskVirtual(nil)
	c.VMOVUPS(operand.Mem{Base: lanes, Index: rest, Scale: 4}, mask)
	if isa == AVX512 {
		tail = c.K()
		c.VPMOVD2M(mask, tail)
	}
	loadLast := func() reg.VecVirtual {
		x, at := isa.Vec(c), operand.Mem{Base: p, Index: last, Scale: 1}
		if isa == AVX512 {
			c.VMOVAPS(lowest, x)
			c.VMOVUPS(at, tail, x)
		} else {
			c.VMOVUPS(at, x)
			c.VBLENDVPS(mask, x, lowest, x)
		}
		return x
	}
	scale, lo := isa.Vec(c), k.load(k.lo)
	c.VBROADCASTSS(param(c, "scale"), scale)

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
	k.across(top, c.VMAXPS)
	c.VMULSS(scale.AsX(), top.AsX(), top.AsX())
	c.VMOVSS(top.AsX(), operand.Mem{Base: tops})
	c.VBROADCASTSS(top.AsX(), top)

	x := loadLast()
	c.VFMSUB213PS(top, scale, x)
	sum := k.eToThe(x, lo)
	c.VMOVUPS(sum, operand.Mem{Base: p, Index: last, Scale: 1})
	c.XORQ(i, i)
	c.CMPQ(last, operand.Imm(0))
	c.JE(operand.LabelRef("exp_done"))
	c.Label("exp")
	x = isa.Vec(c)
	c.VMOVUPS(operand.Mem{Base: p, Index: i, Scale: 1}, x)
	c.VFMSUB213PS(top, scale, x)
	e := k.eToThe(x, lo)
	c.VMOVUPS(e, operand.Mem{Base: p, Index: i, Scale: 1})
	c.VADDPS(e, sum, sum)
	c.ADDQ(operand.Imm(uint64(isa.Bytes)), i)
	c.CMPQ(i, last)
	c.JL(operand.LabelRef("exp"))
	c.Label("exp_done")
	k.across(sum, c.VADDPS)
	c.VMOVSS(sum.AsX(), operand.Mem{Base: sums})

	inv := isa.Vec(c)
	c.VMOVSS(k.one, inv.AsX())
	c.VDIVSS(sum.AsX(), inv.AsX(), inv.AsX())
	c.VBROADCASTSS(inv.AsX(), inv)
	c.XORQ(i, i)
	c.Label("scale")
	x = isa.Vec(c)
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

// attentionLogSum: lse[i] += log(sum[i]).
func attentionLogSum(c *build.Context, isa ISA, k *attentionConstants) {
	c.Function("AttentionLogSum")
	c.Attributes(attr.NOSPLIT)
	c.SignatureExpr("func(lse, sum *float32, n int)")
	c.Doc("AttentionLogSum computes lse[i] += log(sum[i]) for i < n rounded up to vectors. Sums are normal numbers or NaN; n is at least 1.")
	lse, sum := c.Load(c.Param("lse"), c.GP64()), c.Load(c.Param("sum"), c.GP64())
	n := c.Load(c.Param("n"), c.GP64())
	c.Label("vectors")
	x := k.load(operand.Mem{Base: sum})
	// x = m·2ᵉ with m in [√½, √2): the bits of √½ are taken off first, so that the exponent changes there.
	e, f := isa.Vec(c), isa.Vec(c)
	c.VMOVUPS(k.sqrtHalf, f)
	c.VPSUBD(f, x, e)
	c.VPSRAD(operand.Imm(23), e, e)
	c.VPSLLD(operand.Imm(23), e, f)
	c.VPSUBD(f, x, f)
	c.VCVTDQ2PS(e, e)
	c.VSUBPS(k.one, f, f)
	y := k.load(k.log[0])
	for _, p := range k.log[1:] {
		c.VFMADD213PS(p, f, y)
	}
	sq := isa.Vec(c)
	c.VMULPS(f, f, sq)
	c.VMULPS(f, y, y)
	c.VMULPS(sq, y, y)
	c.VFMADD231PS(k.ln2[1], e, y)
	c.VFNMADD231PS(k.half, sq, y)
	c.VFMADD231PS(k.zero, x, y) // NaN
	c.VADDPS(f, y, y)
	c.VFMADD231PS(k.ln2[0], e, y)
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
func attentionGrad(c *build.Context, isa ISA, k *attentionConstants) {
	c.Function("AttentionGrad")
	c.Attributes(attr.NOSPLIT)
	c.SignatureExpr("func(p, ds *float32, ld int, lse, delta *float32, m, n int, scale float32)")
	c.Doc("AttentionGrad computes, for m rows ld apart, p[i,j] = exp(scale·p[i,j] − lse[i]) and ds[i,j] = p[i,j]·(ds[i,j] − delta[i])·scale",
		"for j < n rounded up to vectors, which ld must leave room for. m and n are at least 1.")
	load := func(name string) reg.GPVirtual { return c.Load(c.Param(name), c.GP64()).(reg.GPVirtual) }
	p, ds, ld, lses, deltas, m, n := load("p"), load("ds"), load("ld"), load("lse"), load("delta"), load("m"), load("n")
	c.SHLQ(operand.Imm(2), ld)
	c.SHLQ(operand.Imm(2), n)
	scale, lo := isa.Vec(c), k.load(k.lo)
	c.VBROADCASTSS(param(c, "scale"), scale)
	c.Label("rows")
	lse, delta, i := isa.Vec(c), isa.Vec(c), c.GP64()
	c.VBROADCASTSS(operand.Mem{Base: lses}, lse)
	c.VBROADCASTSS(operand.Mem{Base: deltas}, delta)
	c.XORQ(i, i)
	c.Label("vectors")
	x := isa.Vec(c)
	c.VMOVUPS(operand.Mem{Base: p, Index: i, Scale: 1}, x)
	c.VFMSUB213PS(lse, scale, x)
	e := k.eToThe(x, lo)
	c.VMOVUPS(e, operand.Mem{Base: p, Index: i, Scale: 1})
	g := isa.Vec(c)
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
	c.Function("AttentionDelta")
	c.Attributes(attr.NOSPLIT)
	c.SignatureExpr("func(delta, dy, y *float32, ld, m, d int)")
	c.Doc("AttentionDelta computes delta[i] = Σ dy[i·ld+l]·y[i·ld+l] over l < d, a multiple of 8, for i < m. m and d are at least 1.")
	load := func(name string) reg.GPVirtual { return c.Load(c.Param(name), c.GP64()).(reg.GPVirtual) }
	delta, dy, y, ld, m, d := load("delta"), load("dy"), load("y"), load("ld"), load("m"), load("d")
	c.SHLQ(operand.Imm(2), ld)
	c.SHLQ(operand.Imm(2), d)
	c.Label("rows")
	sum, i := c.YMM(), c.GP64()
	c.VXORPS(sum, sum, sum)
	c.XORQ(i, i)
	c.Label("columns")
	g := c.YMM()
	c.VMOVUPS(operand.Mem{Base: dy, Index: i, Scale: 1}, g)
	c.VFMADD231PS(operand.Mem{Base: y, Index: i, Scale: 1}, g, sum)
	c.ADDQ(operand.Imm(32), i)
	c.CMPQ(i, d)
	c.JL(operand.LabelRef("columns"))
	(&attentionConstants{c: c, isa: AVX2}).across(sum, c.VADDPS)
	c.VMOVSS(sum.AsX(), operand.Mem{Base: delta})
	c.ADDQ(ld, dy)
	c.ADDQ(ld, y)
	c.ADDQ(operand.Imm(4), delta)
	c.DECQ(m)
	c.JNE(operand.LabelRef("rows"))
	c.VZEROUPPER()
	c.RET()
}
