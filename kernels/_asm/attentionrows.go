package main

import (
	"fmt"
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

// expLimits is a register of what bounds the argument of expOfWeight: from below (AVX-512) or from above (AVX2, which has another in memory).
func (k *kernel) expLimits() reg.VecVirtual {
	if k.isa == AVX2 {
		return k.value(88)
	}
	return k.value(expLeast)
}

// expOfWeight returns exp(t) for t up to 88, 0 below expLeast; it overwrites t. NaN gives NaN. limit is expLimits.
func (k *kernel) expOfWeight(t, limit reg.VecVirtual) reg.VecVirtual {
	var under reg.VecVirtual
	var normal reg.OpmaskVirtual
	if k.isa == AVX2 {
		const less = 1
		under = k.vec()
		k.VCMPPS(operand.Imm(less), k.constant(math.Float32bits(expLeast)), t, under)
		k.VMINPS(t, limit, t) // of two operands of which one is NaN, the one written first here is returned
	} else {
		const notLess = 5
		normal = k.K()
		k.VCMPPS(operand.Imm(notLess), limit, t, normal)
	}
	e := k.vec()
	k.with(k.VMULPS, k.VMULPS_BCST, log2e, t, e)
	k.roundToInteger(e, e)
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

// attentionRowsAtOnce is how many rows of scores are worked on at once: each waits for its maximum, then for its sum.
func (i ISA) attentionRowsAtOnce() int {
	if i == AVX512 {
		return 4
	}
	return 2
}

// rowsAtOnce writes a loop over m > 0 rows, ld bytes apart at each pointer of rows, single floats at each of single: body handles count of them
// at once, then those that are left one by one. at gives the places of one: a row of each, a float of each.
func (k *kernel) rowsAtOnce(m, ld reg.GPVirtual, rows, single []reg.GPVirtual, body func(count int, row [][]reg.GPVirtual, number func(j, r int) operand.Mem)) {
	for _, count := range []int{k.isa.attentionRowsAtOnce(), 1} {
		label, next := fmt.Sprintf("rows%d", count), "rows1"
		if count == 1 {
			next = "done"
		}
		k.Label(label)
		k.CMPQ(m, operand.Imm(uint64(count)))
		k.JL(operand.LabelRef(next))
		at := make([][]reg.GPVirtual, len(rows))
		for j, p := range rows {
			at[j] = []reg.GPVirtual{p}
			for r := 1; r < count; r++ {
				q := k.GP64()
				k.LEAQ(operand.Mem{Base: at[j][r-1], Index: ld, Scale: 1}, q)
				at[j] = append(at[j], q)
			}
		}
		body(count, at, func(j, r int) operand.Mem { return operand.Mem{Base: single[j], Disp: 4 * r} })
		for j, p := range rows {
			k.LEAQ(operand.Mem{Base: at[j][count-1], Index: ld, Scale: 1}, p)
		}
		for _, p := range single {
			k.ADDQ(operand.Imm(uint64(4*count)), p)
		}
		k.SUBQ(operand.Imm(uint64(count)), m)
		k.JMP(operand.LabelRef(label))
	}
	k.Label("done")
}

// inTurns writes f for each of count rows; their instructions take turns.
func (k *kernel) inTurns(count int, f func(r int)) {
	for r := range count {
		k.Comment(markVector)
		f(r)
	}
	k.Comment(markEnd)
}

// attentionSoftmax: softmax of rows in place.
func attentionSoftmax(c *build.Context, isa ISA) {
	k := beginRows(c, isa, "AttentionSoftmax", "func(p *float32, ld int, top, sum *float32, m, n int, scale float32)",
		"AttentionSoftmax computes, for each of m rows ld apart, top[i] = scale·max p[i,j], sum[i] = Σ exp(scale·p[i,j] − top[i]) and",
		"p[i,j] = exp(scale·p[i,j] − top[i])/sum[i] over j < n. ld is at least n rounded up to vectors; what lies between becomes 0. scale is positive, n at least 1.")
	p, tops, sums := k.pointer("p"), k.pointer("top"), k.pointer("sum")
	ld, m, n := k.wholeNumber("ld"), k.wholeNumber("m"), k.wholeNumber("n")
	c.SHLQ(operand.Imm(2), ld)
	// last is the offset of the row's last vector, whose lanes beyond n are left out by a mask.
	last := c.GP64()
	c.LEAQ(operand.Mem{Base: n, Disp: -1}, last)
	c.ANDQ(operand.I32(-isa.Lanes()), last)
	c.SUBQ(last, n)
	mask := k.maskOf(n)
	c.SHLQ(operand.Imm(2), last)
	loadLast := func(p reg.GPVirtual) reg.VecVirtual {
		x, at := k.vec(), operand.Mem{Base: p, Index: last, Scale: 1}
		if isa == AVX512 {
			k.VBROADCASTSS(k.constant(math.Float32bits(float32(math.Inf(-1)))), x)
			c.VMOVUPS(at, mask, x)
		} else {
			lowest := k.value(math.Inf(-1))
			c.VMOVUPS(at, x)
			c.VBLENDVPS(mask, x, lowest, x)
		}
		return x
	}
	scale, limits := k.scalar("scale"), k.expLimits()
	k.rowsAtOnce(m, ld, []reg.GPVirtual{p}, []reg.GPVirtual{tops, sums}, func(count int, row [][]reg.GPVirtual, number func(j, r int) operand.Mem) {
		top, sum := make([]reg.VecVirtual, count), make([]reg.VecVirtual, count)
		i := c.GP64()
		at := func(r int) operand.Mem { return operand.Mem{Base: row[0][r], Index: i, Scale: 1} }
		// each writes a loop over the vectors of the rows, from the first to before the last one or past it.
		each := func(past bool, f func(r int)) {
			k.labels++
			loop, end := fmt.Sprintf("vectors%d", k.labels), fmt.Sprintf("end%d", k.labels)
			c.XORQ(i, i)
			if !past {
				c.CMPQ(last, operand.Imm(0))
				c.JE(operand.LabelRef(end))
			}
			c.Label(loop)
			k.inTurns(count, f)
			c.ADDQ(operand.Imm(uint64(isa.Bytes)), i)
			c.CMPQ(i, last)
			if past {
				c.JLE(operand.LabelRef(loop))
			} else {
				c.JL(operand.LabelRef(loop))
			}
			c.Label(end)
		}
		k.inTurns(count, func(r int) { top[r] = loadLast(row[0][r]) })
		each(false, func(r int) { c.VMAXPS(at(r), top[r], top[r]) })
		k.inTurns(count, func(r int) {
			k.fold(c.VMAXPS, []reg.VecVirtual{top[r]})
			c.VMULSS(scale.AsX(), top[r].AsX(), top[r].AsX())
			c.VMOVSS(top[r].AsX(), number(0, r))
			c.VBROADCASTSS(top[r].AsX(), top[r])
			x := loadLast(row[0][r])
			c.VFMSUB213PS(top[r], scale, x)
			sum[r] = k.expOfWeight(x, limits)
			c.VMOVUPS(sum[r], operand.Mem{Base: row[0][r], Index: last, Scale: 1})
		})
		each(false, func(r int) {
			x := k.vec()
			c.VMOVUPS(at(r), x)
			c.VFMSUB213PS(top[r], scale, x)
			e := k.expOfWeight(x, limits)
			c.VMOVUPS(e, at(r))
			c.VADDPS(e, sum[r], sum[r])
		})
		inv := make([]reg.VecVirtual, count)
		k.inTurns(count, func(r int) {
			k.fold(c.VADDPS, []reg.VecVirtual{sum[r]})
			c.VMOVSS(sum[r].AsX(), number(1, r))
			inv[r] = k.vec()
			c.VMOVSS(k.constant(math.Float32bits(1)), inv[r].AsX())
			c.VDIVSS(sum[r].AsX(), inv[r].AsX(), inv[r].AsX())
			c.VBROADCASTSS(inv[r].AsX(), inv[r])
		})
		each(true, func(r int) {
			x := k.vec()
			c.VMULPS(at(r), inv[r], x)
			c.VMOVUPS(x, at(r))
		})
	})
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
	y := k.log(x)
	c.VADDPS(operand.Mem{Base: lse}, y, y)
	c.VMOVUPS(y, operand.Mem{Base: lse})
	c.ADDQ(operand.Imm(uint64(isa.Bytes)), lse)
	c.ADDQ(operand.Imm(uint64(isa.Bytes)), sum)
	c.SUBQ(operand.Imm(uint64(isa.Lanes())), n)
	c.JG(operand.LabelRef("vectors"))
	c.VZEROUPPER()
	c.RET()
}

// log is log(x) for normal numbers x or NaN. It overwrites x.
func (k *kernel) log(x reg.VecVirtual) reg.VecVirtual {
	// x = m·2ᵉ with m in [√½, √2): the bits of √½ are taken off first, so that the exponent changes there.
	e, f := k.vec(), k.vec()
	k.VPBROADCASTD(k.constant(sqrtHalf), f)
	k.VPSUBD(f, x, e)
	k.VPSRAD(operand.Imm(23), e, e)
	k.VPSLLD(operand.Imm(23), e, f)
	k.VPSUBD(f, x, f)
	k.VCVTDQ2PS(e, e)
	k.with(k.VSUBPS, k.VSUBPS_BCST, 1, f, f)
	y := k.polynomial(f, logPolynomial)
	sq := k.vec()
	k.VMULPS(f, f, sq)
	k.VMULPS(f, y, y)
	k.VMULPS(sq, y, y)
	k.with(k.VFMADD231PS, k.VFMADD231PS_BCST, logLn2Lo, e, y)
	k.with(k.VFNMADD231PS, k.VFNMADD231PS_BCST, .5, sq, y)
	k.with(k.VFMADD231PS, k.VFMADD231PS_BCST, 0, x, y) // NaN
	k.VADDPS(f, y, y)
	k.with(k.VFMADD231PS, k.VFMADD231PS_BCST, logLn2Hi, e, y)
	return y
}

// attentionGrad: what the backward does between its products.
func attentionGrad(c *build.Context, isa ISA) {
	k := beginRows(c, isa, "AttentionGrad", "func(p, ds *float32, ld int, lse, delta *float32, m, n int, scale float32)",
		"AttentionGrad computes, for m rows ld apart, p[i,j] = exp(scale·p[i,j] − lse[i]) and ds[i,j] = p[i,j]·(ds[i,j] − delta[i])·scale",
		"for j < n rounded up to vectors, which ld must leave room for. m and n are at least 1.")
	p, ds, lses, deltas := k.pointer("p"), k.pointer("ds"), k.pointer("lse"), k.pointer("delta")
	ld, m, n := k.wholeNumber("ld"), k.wholeNumber("m"), k.wholeNumber("n")
	c.SHLQ(operand.Imm(2), ld)
	c.SHLQ(operand.Imm(2), n)
	scale, limits := k.scalar("scale"), k.expLimits()
	k.rowsAtOnce(m, ld, []reg.GPVirtual{p, ds}, []reg.GPVirtual{lses, deltas}, func(count int, row [][]reg.GPVirtual, number func(j, r int) operand.Mem) {
		lse, delta, i := make([]reg.VecVirtual, count), make([]reg.VecVirtual, count), c.GP64()
		for r := range count {
			lse[r], delta[r] = k.vec(), k.vec()
			c.VBROADCASTSS(number(0, r), lse[r])
			c.VBROADCASTSS(number(1, r), delta[r])
		}
		c.XORQ(i, i)
		label := fmt.Sprintf("vectors%d", count)
		c.Label(label)
		k.inTurns(count, func(r int) {
			p, ds := operand.Mem{Base: row[0][r], Index: i, Scale: 1}, operand.Mem{Base: row[1][r], Index: i, Scale: 1}
			x := k.vec()
			c.VMOVUPS(p, x)
			c.VFMSUB213PS(lse[r], scale, x)
			e := k.expOfWeight(x, limits)
			c.VMOVUPS(e, p)
			g := k.vec()
			c.VMOVUPS(ds, g)
			c.VSUBPS(delta[r], g, g)
			c.VMULPS(e, g, g)
			c.VMULPS(scale, g, g)
			c.VMOVUPS(g, ds)
		})
		c.ADDQ(operand.Imm(uint64(isa.Bytes)), i)
		c.CMPQ(i, n)
		c.JL(operand.LabelRef(label))
	})
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
