package main

import (
	"fmt"

	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// Pixels are bytes in memory and 32-bit integers or float32 in registers. The functions of pictures get whole vectors: n is a multiple of what
// whole asks for, above 0; package kernels does the rest in plain Go.

// whole writes a loop over n elements, step at a time.
func (k *kernel) whole(step int, body func(i reg.GPVirtual)) {
	k.labels++
	loop := fmt.Sprintf("vectors%d", k.labels)
	i := k.GP64()
	k.XORQ(i, i)
	k.Label(loop)
	body(i)
	k.ADDQ(operand.I32(step), i)
	k.CMPQ(i, k.n)
	k.JL(operand.LabelRef(loop))
}

// bytesAt is where the i-th byte from p on lies, disp further on.
func bytesAt(p, i reg.GPVirtual, disp int) operand.Mem {
	return operand.Mem{Base: p, Index: i, Scale: 1, Disp: disp}
}

// loadBytes reads a byte into each lane.
func (k *kernel) loadBytes(m operand.Mem) reg.VecVirtual {
	v := k.vec()
	k.VPMOVZXBD(m, v)
	return v
}

// storeBytes writes each lane, clipped to 0 … 255, as a byte. v is lost.
func (k *kernel) storeBytes(v reg.VecVirtual, m operand.Mem) {
	if k.isa == AVX512 {
		k.VPMAXSD(k.zeroVector(), v, v)
		k.VPMOVUSDB(v, m)
		return
	}
	h := k.XMM()
	k.VPACKSSDW(v, v, v)
	k.VPACKUSWB(v, v, v)
	k.VEXTRACTI128(operand.Imm(1), v, h)
	k.VPUNPCKLDQ(h, v.AsX(), h)
	k.VMOVQ(h, m)
}

func (k *kernel) zeroVector() reg.VecVirtual {
	z := k.vec()
	if k.isa == AVX512 {
		k.VPXORD(z, z, z)
	} else {
		k.VPXOR(z, z, z)
	}
	return z
}

// integer is a register that holds v in every lane.
func (k *kernel) integer(v uint32) reg.VecVirtual {
	r := k.vec()
	k.VPBROADCASTD(k.constant(v), r)
	return r
}

// of is a new register with op's result.
func (k *kernel) of(op vectorOp, operands ...operand.Op) reg.VecVirtual {
	v := k.vec()
	op(append(operands, v)...)
	return v
}

// ofBits is the same with an integer constant as first operand, ofValue with a float32.
func (k *kernel) ofBits(op, bcst vectorOp, bits uint32, operands ...operand.Op) reg.VecVirtual {
	v := k.vec()
	k.withBits(op, bcst, bits, append(operands, v)...)
	return v
}

func (k *kernel) ofValue(op, bcst vectorOp, c float64, operands ...operand.Op) reg.VecVirtual {
	v := k.vec()
	k.with(op, bcst, c, append(operands, v)...)
	return v
}

// and is v AND the constant.
func (k *kernel) and(v reg.VecVirtual, bits uint32) reg.VecVirtual {
	if k.isa == AVX512 {
		return k.of(k.VPANDD_BCST, k.constant(bits), v)
	}
	r := k.vec()
	k.VPAND(k.constant(bits), v, r)
	return r
}

func (k *kernel) or(a, b reg.VecVirtual) reg.VecVirtual {
	if k.isa == AVX512 {
		return k.of(k.VPORD, a, b)
	}
	r := k.vec()
	k.VPOR(a, b, r)
	return r
}

// mask is a new opmask (AVX-512) or vector (AVX2).
func (k *kernel) mask() reg.Register {
	if k.isa == AVX512 {
		return k.K()
	}
	return k.YMM()
}

// greater and equal compare integers.
func (k *kernel) greater(a, b reg.VecVirtual) reg.Register {
	m := k.mask()
	k.VPCMPGTD(b, a, m)
	return m
}

func (k *kernel) equal(a, b reg.VecVirtual) reg.Register {
	m := k.mask()
	k.VPCMPEQD(b, a, m)
	return m
}

// choose is yes in the lanes of the mask, no in the others.
func (k *kernel) choose(m reg.Register, yes, no reg.VecVirtual) reg.VecVirtual {
	if k.isa == AVX512 {
		return k.of(k.VPBLENDMD, yes, no, m)
	}
	r := k.vec()
	k.VBLENDVPS(m, yes, no, r)
	return r
}

// dividedBy is x/c for a constant c, rounded correctly for the arguments that pictures have (tests try all): a product with 1/c, corrected by its
// remainder once. Markstein, "Computation of elementary functions on the IBM RISC System/6000 processor", 1990.
func (k *kernel) dividedBy(x reg.VecVirtual, c float64) reg.VecVirtual {
	q := k.ofValue(k.VMULPS, k.VMULPS_BCST, 1/c, x)
	rest := k.copyOf(x)
	k.with(k.VFNMADD231PS, k.VFNMADD231PS_BCST, c, q, rest)
	k.with(k.VFMADD231PS, k.VFMADD231PS_BCST, 1/c, rest, q)
	return q
}
