package main

import (
	"fmt"
	"math"

	"github.com/mmcloughlin/avo/attr"
	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// kernel is a function of elements being written: its context, instruction set and the register that holds the number of elements.
type kernel struct {
	*build.Context
	isa     ISA
	n       reg.GPVirtual
	labels  int
	vectors map[string]operand.Mem // the data of the file, by name
}

// begin starts the function of that name. Its arguments are pointers, then n int, then scalars; it may return float32s.
func begin(c *build.Context, isa ISA, name, signature, doc string) *kernel {
	c.Function(name)
	c.Attributes(attr.NOSPLIT)
	c.Pragma("noescape")
	c.SignatureExpr(signature)
	c.Doc(name + " computes " + doc + ", i < n.")
	if files[c] == nil {
		files[c] = map[string]operand.Mem{}
	}
	return &kernel{Context: c, isa: isa, vectors: files[c]}
}

// files holds the read-only data of every file being written.
var files = map[*build.Context]map[string]operand.Mem{}

// pointer loads a pointer argument.
func (k *kernel) pointer(name string) reg.GPVirtual {
	p := k.GP64()
	k.Load(k.Param(name), p)
	return p
}

// wholeNumber loads an int argument.
func (k *kernel) wholeNumber(name string) reg.GPVirtual { return k.pointer(name) }

// count loads the argument n.
func (k *kernel) count() {
	k.n = k.GP64()
	k.Load(k.Param("n"), k.n)
}

// scalar loads a float32 or uint32 argument into all lanes.
func (k *kernel) scalar(name string) reg.VecVirtual {
	a, err := k.Param(name).Resolve()
	if err != nil {
		panic(err)
	}
	v := k.vec()
	k.VBROADCASTSS(a.Addr, v)
	return v
}

// vec is a new vector register.
func (k *kernel) vec() reg.VecVirtual { return k.isa.Vec(k.Context) }

// vectorOp is an instruction on vector registers.
type vectorOp func(ops ...operand.Op)

// with writes op with the constant c in every lane as its first operand. AVX-512 broadcasts it from 4 bytes, in the instruction bcst; AVX2 has a
// vector of it in memory.
func (k *kernel) with(op, bcst vectorOp, c float64, ops ...operand.Op) {
	k.withBits(op, bcst, math.Float32bits(float32(c)), ops...)
}

func (k *kernel) withBits(op, bcst vectorOp, bits uint32, ops ...operand.Op) {
	if k.isa == AVX512 {
		op = bcst
	}
	op(append([]operand.Op{k.constant(bits)}, ops...)...)
}

func (k *kernel) constant(bits uint32) operand.Mem {
	n := k.isa.Lanes()
	if k.isa == AVX512 {
		n = 1
	}
	return k.data(fmt.Sprintf("c_%08x", bits), n, func(int) uint32 { return bits })
}

// data is n read-only words of the file, by their name.
func (k *kernel) data(name string, n int, element func(i int) uint32) operand.Mem {
	if m, ok := k.vectors[name]; ok {
		return m
	}
	m := k.StaticGlobal(name)
	k.DataAttributes(attr.RODATA | attr.NOPTR)
	for i := range n {
		k.AppendDatum(operand.U32(element(i)))
	}
	k.vectors[name] = m
	return m
}

// value is a register that holds v in every lane.
func (k *kernel) value(v float64) reg.VecVirtual {
	r := k.vec()
	k.VBROADCASTSS(k.constant(math.Float32bits(float32(v))), r)
	return r
}

// zeros are n registers of zeros.
func (k *kernel) zeros(n int) []reg.VecVirtual {
	r := make([]reg.VecVirtual, n)
	for i := range r {
		r[i] = k.vec()
		k.VXORPS(r[i], r[i], r[i])
	}
	return r
}

// lane is a vector's worth of elements in a loop: where they are, and which of them exist.
type lane struct {
	*kernel
	index reg.GPVirtual
	scale uint8 // of index in bytes; 0: there is none
	disp  int
	acc   int          // which of the loop's accumulators is its own
	mask  reg.Register // in the tail: an opmask (AVX-512) or a vector (AVX2); nil elsewhere
}

// each writes loops over n elements: unroll vectors a turn, their instructions in turns, then one, then the rest under a mask. body handles one
// vector.
func (k *kernel) each(unroll int, body func(l lane)) {
	k.labels++
	label := func(s string) string { return fmt.Sprintf("%s%d", s, k.labels) }
	lanes := k.isa.Lanes()
	i, end := k.GP64(), k.GP64()
	k.XORQ(i, i)
	for _, u := range []int{unroll, 1} {
		name := label("single")
		next := label("tail")
		if u > 1 {
			name, next = label("unrolled"), label("single")
		}
		k.Label(name)
		k.LEAQ(operand.Mem{Base: i, Disp: u * lanes}, end)
		k.CMPQ(end, k.n)
		k.JG(operand.LabelRef(next))
		for j := range u {
			k.Comment(markVector)
			body(lane{k, i, 4, j * k.isa.Bytes, j, nil})
		}
		k.Comment(markEnd)
		k.MOVQ(end, i)
		k.JMP(operand.LabelRef(name))
		if unroll == 1 {
			break
		}
	}
	k.Label(label("tail"))
	k.MOVQ(k.n, end)
	k.SUBQ(i, end)
	k.JE(operand.LabelRef(label("done")))
	body(lane{k, i, 4, 0, 0, k.maskOf(end)})
	k.Label(label("done"))
}

// maskOf makes the mask of the first count lanes.
func (k *kernel) maskOf(count reg.GPVirtual) reg.Register {
	if k.isa == AVX512 {
		bits, m := k.GP64(), k.K()
		k.MOVQ(operand.I32(-1), bits)
		k.BZHIQ(count, bits, bits)
		k.KMOVW(bits.As32(), m)
		return m
	}
	m := k.YMM()
	k.VMOVD(count.As32(), m.AsX())
	k.VPBROADCASTD(m.AsX(), m)
	k.VPCMPGTD(k.data("numbers", k.isa.Lanes(), func(i int) uint32 { return uint32(i) }), m, m)
	return m
}

func (l lane) at(p reg.GPVirtual) operand.Mem {
	if l.scale == 0 {
		return operand.Mem{Base: p, Disp: l.disp}
	}
	return operand.Mem{Base: p, Index: l.index, Scale: l.scale, Disp: l.disp}
}

// load reads the elements at p; those that do not exist are 0.
func (l lane) load(p reg.GPVirtual) reg.VecVirtual {
	v := l.vec()
	switch {
	case l.mask == nil:
		l.VMOVUPS(l.at(p), v)
	case l.isa == AVX512:
		l.VMOVUPS_Z(l.at(p), l.mask, v)
	default:
		l.VMASKMOVPS(l.at(p), l.mask, v)
	}
	return v
}

// loadKept is load, of zeros where keep has zeros: of memory that a gradient is added to, or that it overwrites.
func (l lane) loadKept(p reg.GPVirtual, keep reg.VecVirtual) reg.VecVirtual {
	if l.mask == nil {
		v := l.vec()
		l.VANDPS(l.at(p), keep, v)
		return v
	}
	v := l.load(p)
	l.VANDPS(keep, v, v)
	return v
}

// store writes the elements of v that exist to p.
func (l lane) store(v reg.VecVirtual, p reg.GPVirtual) {
	switch {
	case l.mask == nil:
		l.VMOVUPS(v, l.at(p))
	case l.isa == AVX512:
		l.VMOVUPS(v, l.mask, l.at(p))
	default:
		l.VMASKMOVPS(v, l.mask, l.at(p))
	}
}

// zeroRest makes the elements of v that do not exist 0.
func (l lane) zeroRest(v reg.VecVirtual) {
	switch {
	case l.mask == nil:
	case l.isa == AVX512:
		l.VMOVAPS_Z(v, l.mask, v)
	default:
		l.VANDPS(l.mask, v, v)
	}
}

// copyOf is a new register with the content of v.
func (k *kernel) copyOf(v reg.VecVirtual) reg.VecVirtual {
	r := k.vec()
	k.VMOVAPS(v, r)
	return r
}

// fold combines all lanes of all accumulators into one float32 in the low lane of a register.
func (k *kernel) fold(op vectorOp, acc []reg.VecVirtual) reg.Register {
	for n := len(acc); n > 1; n = (n + 1) / 2 {
		for i := range n / 2 {
			op(acc[n-1-i], acc[i], acc[i])
		}
	}
	v := acc[0]
	if k.isa == AVX512 {
		h := k.YMM()
		k.VEXTRACTF64X4(operand.Imm(1), v, h)
		op(h, v.AsY(), v.AsY())
	}
	h := k.XMM()
	if k.isa == AVX512 {
		k.VEXTRACTF32X4(operand.Imm(1), v.AsY(), h) // reaches all 32 registers
	} else {
		k.VEXTRACTF128(operand.Imm(1), v.AsY(), h)
	}
	op(h, v.AsX(), v.AsX())
	k.VPERMILPS(operand.Imm(0b01_00_11_10), v.AsX(), h)
	op(h, v.AsX(), v.AsX())
	k.VPERMILPS(operand.Imm(0b10_11_00_01), v.AsX(), h)
	op(h, v.AsX(), v.AsX())
	return v.AsX()
}

// end returns from the function with results.
func (k *kernel) end(results ...reg.Register) {
	for i, r := range results {
		a, err := k.ReturnIndex(i).Resolve()
		if err != nil {
			panic(err)
		}
		k.VMOVSS(r, a.Addr)
	}
	k.VZEROUPPER()
	k.RET()
}
