package main

import (
	"fmt"
	"strings"

	"github.com/mmcloughlin/avo/attr"
	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// attention: what AttentionTiles of package kernels is made of.
func attention(c *build.Context, isa ISA) {
	widths := 2 // in units of 8 columns
	if isa == AVX512 {
		widths = 8
	}
	for w := 1; w <= widths; w++ {
		attentionProduct(c, isa, w, gemmFloat32Form)
	}
	if isa == AVX2 {
		attentionTranspose(c)
		attentionDelta(c)
	}
	attentionSoftmax(c, isa)
	attentionLogSum(c, isa)
	attentionGrad(c, isa)
}

// attentionRows is how many rows of the product are computed at once: with the widest tile, 24 of AVX-512's 32 registers hold sums, and 12
// of AVX2's 16.
const attentionRows = 6

// attentionProduct: C (m × 8w) = or += A·B, where element (i, p) of A is a[i·ars + p·acs], so that A may be transposed, and B is not packed.
func attentionProduct(c *build.Context, isa ISA, w int, form gemmForm) {
	name := fmt.Sprintf("Attention%sProduct%d", strings.TrimPrefix(form.name, "Gemm"), 8*w)
	c.Function(name)
	c.Attributes(attr.NOSPLIT)
	c.SignatureExpr("func(c *float32, ldc int, a *float32, ars, acs int, b *float32, ldb, m, k int, add bool)")
	c.Doc(fmt.Sprintf("%s computes c[i·ldc+j] = Σ a[i·ars+p·acs]·b[p·ldb+j] over p < k for i < m and j < %d, or adds it to c if add. m and k are at least 1.", name, 8*w) + form.elementDoc)
	load := func(name string) reg.GPVirtual { return c.Load(c.Param(name), c.GP64()).(reg.GPVirtual) }
	cp, ldc, a, ars, acs, b, ldb, m := load("c"), load("ldc"), load("a"), load("ars"), load("acs"), load("b"), load("ldb"), load("m")
	for _, r := range []reg.GPVirtual{ldc, ars, acs, ldb} {
		c.SHLQ(operand.Imm(2), r)
	}
	k, add := param(c, "k"), param(c, "add")

	// The columns as vectors: as many of the widest as fit, and perhaps one of half its width.
	var bytes []int
	for rest := 32 * w; rest > 0; {
		bytes = append(bytes, min(isa.Bytes, rest))
		rest -= bytes[len(bytes)-1]
	}
	view := func(v reg.VecVirtual, j int) reg.Register {
		if bytes[j] == 64 {
			return v.AsZ()
		}
		return v.AsY()
	}
	body := func(rows int, label string) {
		acc := make([][]reg.VecVirtual, rows)
		for i := range acc {
			for range bytes {
				v := isa.Vec(c)
				acc[i] = append(acc[i], v)
				c.VXORPS(v, v, v)
			}
		}
		ap, ap3, bp, kk := c.GP64(), c.GP64(), c.GP64(), c.GP64()
		c.MOVQ(a, ap)
		if rows > 3 {
			c.LEAQ(operand.Mem{Base: a, Index: ars, Scale: 2}, ap3)
			c.ADDQ(ars, ap3)
		}
		c.MOVQ(b, bp)
		c.MOVQ(k, kk)
		row := func(base, base3, ld reg.Register, i int) operand.Mem {
			if i >= 3 {
				base, i = base3, i-3
			}
			if i == 0 {
				return operand.Mem{Base: base}
			}
			return operand.Mem{Base: base, Index: ld, Scale: uint8(i)}
		}
		c.Label(label + "_k")
		bv := make([]reg.VecVirtual, len(bytes))
		for j := range bv {
			bv[j] = isa.Vec(c)
			c.VMOVUPS(operand.Mem{Base: bp, Disp: j * isa.Bytes}, view(bv[j], j))
		}
		c.ADDQ(ldb, bp)
		for i := range rows {
			t := isa.Vec(c)
			c.VBROADCASTSS(row(ap, ap3, ars, i), view(t, 0))
			for j := range bv {
				form.multiplyAdd(c, view(bv[j], j), view(t, j), view(acc[i][j], j))
			}
		}
		c.ADDQ(acs, ap)
		if rows > 3 {
			c.ADDQ(acs, ap3)
		}
		c.DECQ(kk)
		c.JNE(operand.LabelRef(label + "_k"))

		cp3 := c.GP64()
		if rows > 3 {
			c.LEAQ(operand.Mem{Base: cp, Index: ldc, Scale: 2}, cp3)
			c.ADDQ(ldc, cp3)
		}
		at := func(i, j int) operand.Mem {
			m := row(cp, cp3, ldc, i)
			m.Disp = j * isa.Bytes
			return m
		}
		c.CMPB(add, operand.Imm(0))
		c.JE(operand.LabelRef(label + "_store"))
		for i := range acc {
			for j, v := range acc[i] {
				c.VADDPS(at(i, j), view(v, j), view(v, j))
			}
		}
		c.Label(label + "_store")
		for i := range acc {
			for j, v := range acc[i] {
				c.VMOVUPS(view(v, j), at(i, j))
			}
		}
	}
	c.Label("rows")
	c.CMPQ(m, operand.Imm(attentionRows))
	c.JL(operand.LabelRef("tail"))
	body(attentionRows, "r")
	step := c.GP64()
	for _, x := range []struct{ p, ld reg.GPVirtual }{{a, ars}, {cp, ldc}} {
		c.IMUL3Q(operand.Imm(attentionRows), x.ld, step)
		c.ADDQ(step, x.p)
	}
	c.SUBQ(operand.Imm(attentionRows), m)
	c.JMP(operand.LabelRef("rows"))
	c.Label("tail")
	for rows := 1; rows < attentionRows; rows++ {
		c.CMPQ(m, operand.Imm(uint64(rows)))
		c.JE(operand.LabelRef(fmt.Sprintf("tail%d", rows)))
	}
	c.JMP(operand.LabelRef("done"))
	for rows := 1; rows < attentionRows; rows++ {
		c.Label(fmt.Sprintf("tail%d", rows))
		body(rows, fmt.Sprintf("t%d", rows))
		c.JMP(operand.LabelRef("done"))
	}
	c.Label("done")
	c.VZEROUPPER()
	c.RET()
}

// param is a parameter in memory.
func param(c *build.Context, name string) operand.Mem {
	b, err := c.Param(name).Resolve()
	if err != nil {
		panic(err)
	}
	return b.Addr
}

// attentionTranspose: dst[j·ldd+i] = src[i·lds+j] for 8 rows i.
func attentionTranspose(c *build.Context) {
	c.Function("AttentionTranspose")
	c.Attributes(attr.NOSPLIT)
	c.SignatureExpr("func(dst *float32, ldd int, src *float32, lds, n int)")
	c.Doc("AttentionTranspose computes dst[j·ldd+i] = src[i·lds+j] for i < 8 and j < n, a multiple of 8 and at least 8.")
	load := func(name string) reg.GPVirtual { return c.Load(c.Param(name), c.GP64()).(reg.GPVirtual) }
	dst, ldd, src, lds, n := load("dst"), load("ldd"), load("src"), load("lds"), load("n")
	c.SHLQ(operand.Imm(2), ldd)
	c.SHLQ(operand.Imm(2), lds)
	ld3, src4, ldd3, dst4 := c.GP64(), c.GP64(), c.GP64(), c.GP64()
	c.LEAQ(operand.Mem{Base: lds, Index: lds, Scale: 2}, ld3)
	c.LEAQ(operand.Mem{Base: ldd, Index: ldd, Scale: 2}, ldd3)
	c.LEAQ(operand.Mem{Base: src, Index: lds, Scale: 4}, src4)
	row := func(base, ld, ld3 reg.Register, i, disp int) operand.Mem {
		switch i {
		case 0:
			return operand.Mem{Base: base, Disp: disp}
		case 3:
			return operand.Mem{Base: base, Index: ld3, Scale: 1, Disp: disp}
		}
		return operand.Mem{Base: base, Index: ld, Scale: uint8(i), Disp: disp}
	}
	c.Label("columns")
	c.LEAQ(operand.Mem{Base: dst, Index: ldd, Scale: 4}, dst4)
	for half, out := range []reg.Register{dst, dst4} {
		// Four columns: rows 0–3 in the lower lanes, rows 4–7 in the upper, so that a 4×4 transposition of both lanes is all.
		var v [4]reg.VecVirtual
		for i := range v {
			v[i] = c.YMM()
			c.VMOVUPS(row(src, lds, ld3, i, 16*half), v[i].AsX())
			c.VINSERTF128(operand.Imm(1), row(src4, lds, ld3, i, 16*half), v[i], v[i])
		}
		lo01, hi01, lo23, hi23 := c.YMM(), c.YMM(), c.YMM(), c.YMM()
		c.VUNPCKLPS(v[1], v[0], lo01)
		c.VUNPCKHPS(v[1], v[0], hi01)
		c.VUNPCKLPS(v[3], v[2], lo23)
		c.VUNPCKHPS(v[3], v[2], hi23)
		for j, x := range [][2]reg.VecVirtual{{lo01, lo23}, {hi01, hi23}} {
			even, odd := c.YMM(), c.YMM()
			c.VUNPCKLPD(x[1], x[0], even)
			c.VUNPCKHPD(x[1], x[0], odd)
			c.VMOVUPS(even, row(out, ldd, ldd3, 2*j, 0))
			c.VMOVUPS(odd, row(out, ldd, ldd3, 2*j+1, 0))
		}
	}
	c.ADDQ(operand.Imm(32), src)
	c.ADDQ(operand.Imm(32), src4)
	c.LEAQ(operand.Mem{Base: dst, Index: ldd, Scale: 8}, dst)
	c.SUBQ(operand.Imm(8), n)
	c.JNE(operand.LabelRef("columns"))
	c.VZEROUPPER()
	c.RET()
}
