package main

import (
	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// resample: weighted sums of bytes that lie a stride apart.
func resample(c *build.Context, isa ISA) {
	weightedSum(c, isa, "Resample", 1<<21, "clip((½ + Σ_t weights[t]·src[t·stride+i]) >> 22)", func(k *kernel, sum reg.VecVirtual) {
		k.VPSRAD(operand.Imm(22), sum, sum)
	})
}

// boxblur: the same with other weights.
func boxblur(c *build.Context, isa ISA) {
	weightedSum(c, isa, "BoxBlur", 1<<23, "(½ + Σ_t weights[t]·src[t·stride+i]) >> 24", func(k *kernel, sum reg.VecVirtual) {
		k.VPSRLD(operand.Imm(24), sum, sum)
	})
}

// weightedSum writes the function of that name. shift takes a sum to the integer that is clipped to a byte.
func weightedSum(c *build.Context, isa ISA, name string, half uint32, doc string, shift func(k *kernel, sum reg.VecVirtual)) {
	k := begin(c, isa, name, "func(dst, src *byte, n, stride int, weights *int32, taps int)", "dst[i] = "+doc)
	dst, src, stride, weights, taps := k.pointer("dst"), k.pointer("src"), k.pointer("stride"), k.pointer("weights"), k.pointer("taps")
	k.count()
	rounding := k.integer(half)
	i, end := k.GP64(), k.GP64()
	p, w, t := k.GP64(), k.GP64(), k.GP64()
	// sums are those of that many vectors from i on.
	sums := func(vectors int, label string) []reg.VecVirtual {
		acc := make([]reg.VecVirtual, vectors)
		for j := range acc {
			acc[j] = k.copyOf(rounding)
		}
		k.LEAQ(bytesAt(src, i, 0), p)
		k.MOVQ(weights, w)
		k.MOVQ(taps, t)
		k.Label(label)
		factor := k.vec()
		k.VPBROADCASTD(operand.Mem{Base: w}, factor)
		for j := range acc {
			v := k.loadBytes(operand.Mem{Base: p, Disp: j * isa.Lanes()})
			k.VPMULLD(factor, v, v)
			k.VPADDD(v, acc[j], acc[j])
		}
		k.ADDQ(stride, p)
		k.ADDQ(operand.Imm(4), w)
		k.DECQ(t)
		k.JNZ(operand.LabelRef(label))
		for _, v := range acc {
			shift(k, v)
		}
		return acc
	}
	const block = 4
	k.XORQ(i, i)
	k.Label("blocks")
	k.LEAQ(operand.Mem{Base: i, Disp: block * isa.Lanes()}, end)
	k.CMPQ(end, k.n)
	k.JG(operand.LabelRef("singles"))
	k.storeBlock(sums(block, "blocktaps"), bytesAt(dst, i, 0))
	k.MOVQ(end, i)
	k.JMP(operand.LabelRef("blocks"))
	k.Label("singles")
	k.CMPQ(i, k.n)
	k.JGE(operand.LabelRef("done"))
	k.storeBytes(sums(1, "singletaps")[0], bytesAt(dst, i, 0))
	k.ADDQ(operand.I32(isa.Lanes()), i)
	k.JMP(operand.LabelRef("singles"))
	k.Label("done")
	k.VZEROUPPER()
	k.RET()
}

// storeBlock writes the lanes of four vectors, clipped to 0 … 255, as bytes.
func (k *kernel) storeBlock(v []reg.VecVirtual, m operand.Mem) {
	// Packing works within 128 bits: the fours of bytes come out in the order of the 128-bit lanes, then of the vectors.
	lanes := k.isa.Bytes / 16
	order := k.data("fours", k.isa.Lanes(), func(i int) uint32 { return uint32(i%lanes*4 + i/lanes) })
	a, b := k.of(k.VPACKSSDW, v[1], v[0]), k.of(k.VPACKSSDW, v[3], v[2])
	k.VPACKUSWB(b, a, a)
	index := k.vec()
	if k.isa == AVX512 {
		k.VMOVDQU32(order, index)
		k.VPERMD(a, index, a)
		k.VMOVDQU32(a, m)
	} else {
		k.VMOVDQU(order, index)
		k.VPERMD(a, index, a)
		k.VMOVDQU(a, m)
	}
}
