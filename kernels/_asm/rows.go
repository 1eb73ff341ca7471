package main

import (
	"fmt"
	"slices"

	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// rows is a kernel of m > 0 rows of n > 0 elements, one row after the other in memory. It works on several at once, because each of them waits for
// its sums, and loads only once what they share. Every row's own sums are added up in the same order, whether it is one of several or alone.
type rows struct {
	*kernel
	m        reg.GPVirtual // those that are left
	row      reg.GPVirtual // bytes
	three    reg.GPVirtual // bytes of three rows
	whole    reg.GPVirtual // bytes of a row's whole vectors
	mask     reg.Register  // of the lanes of the rest
	count    int           // at once
	unroll   int           // vectors of each row a turn
	pointers []reg.GPVirtual
}

// rows loads the arguments n and m. It works on 4 rows at once (AVX-512) or on 2.
func (k *kernel) rows(unroll int) *rows {
	r := &rows{kernel: k, m: k.wholeNumber("m"), row: k.wholeNumber("n"), three: k.GP64(), whole: k.GP64(), count: 2, unroll: unroll}
	if k.isa == AVX512 {
		r.count = 4
	}
	rest := k.GP64()
	k.MOVQ(r.row, rest)
	k.ANDQ(operand.Imm(uint64(k.isa.Lanes()-1)), rest)
	r.mask = k.maskOf(rest)
	k.SHLQ(operand.Imm(2), r.row)
	k.LEAQ(operand.Mem{Base: r.row, Index: r.row, Scale: 2}, r.three)
	k.MOVQ(r.row, r.whole)
	k.ANDQ(operand.I32(-k.isa.Bytes), r.whole)
	return r
}

// label is a label of that name, of which there may be others.
func (k *kernel) label(name string) string {
	k.labels++
	return fmt.Sprintf("%s%d", name, k.labels)
}

// forAll writes loops over the rows: body handles count of them, then those that are left one by one. Pointers to rows move on, and those to what
// each row has one number of.
func (k *rows) forAll(arrays, numbers []reg.GPVirtual, body func()) {
	for k.count > 0 {
		loop, end := k.label("rows"), k.label("rowsEnd")
		k.Label(loop)
		k.CMPQ(k.m, operand.Imm(uint64(k.count)))
		k.JL(operand.LabelRef(end))
		body()
		for _, p := range arrays {
			k.next(p)
		}
		for _, p := range numbers {
			k.ADDQ(operand.Imm(uint64(4*k.count)), p)
		}
		k.SUBQ(operand.Imm(uint64(k.count)), k.m)
		k.JMP(operand.LabelRef(loop))
		k.Label(end)
		if k.count == 1 {
			return
		}
		k.count = 1
	}
}

const cacheLine = 64 // bytes

// next moves a pointer to rows on by those in work.
func (k *rows) next(p reg.GPVirtual) {
	switch k.count {
	case 4:
		k.ADDQ(k.row, p)
		k.ADDQ(k.three, p)
	case 2:
		k.LEAQ(operand.Mem{Base: p, Index: k.row, Scale: 2}, p)
	default:
		k.ADDQ(k.row, p)
	}
}

// cell is a vector of one of the rows in work.
type cell struct {
	*rows
	r    int          // the row
	acc  int          // which accumulator is its own
	j    int          // which of its row's vectors of this turn it is
	mask reg.Register // in a row's last vector
	once map[reg.GPVirtual]reg.VecVirtual
}

// accumulators are those of all cells, of zeros.
func (k *rows) accumulators() []reg.VecVirtual { return k.zeros(k.count * k.unroll) }

// foldEach combines all accumulators of each row into a float32 in the low lane of a register.
func (k *rows) foldEach(op vectorOp, acc []reg.VecVirtual) []reg.VecVirtual {
	folded := make([]reg.VecVirtual, k.count)
	k.inTurns(k.count, func(r int) {
		folded[r] = acc[r*k.unroll]
		k.fold(op, acc[r*k.unroll:(r+1)*k.unroll])
	})
	return folded
}

// each writes a loop over the vectors of the rows in work. pointers are all that body uses, to rows and to what rows share. The rows at ahead that
// are 4 further on are fetched from memory: a CPU that sees a few short streams does not do so by itself.
func (k *rows) each(pointers, ahead []reg.GPVirtual, body func(c cell)) {
	pointers = slices.Clone(pointers)
	var fetched []reg.GPVirtual
	for _, p := range ahead {
		q := k.GP64()
		k.LEAQ(operand.Mem{Base: p, Index: k.row, Scale: 4}, q)
		fetched = append(fetched, q)
	}
	pointers = append(pointers, fetched...)
	left := k.GP64()
	k.MOVQ(k.whole, left)
	turn := func(unroll int, mask reg.Register) {
		once := make([]map[reg.GPVirtual]reg.VecVirtual, unroll)
		k.inTurns(k.count*unroll, func(i int) {
			r, j := i%k.count, i/k.count
			if r == 0 {
				once[j] = map[reg.GPVirtual]reg.VecVirtual{}
			}
			c := cell{k, r, r*k.unroll + j, j, mask, once[j]}
			body(c)
			for _, p := range fetched {
				c.lane().fetch(p)
			}
		})
	}
	unrolls := []int{k.unroll, 1}
	if k.unroll == 1 {
		unrolls = unrolls[1:]
	}
	for _, unroll := range unrolls {
		loop, end := k.label("vectors"), k.label("vectorsEnd")
		bytes := operand.I32(unroll * k.isa.Bytes)
		k.Label(loop)
		k.CMPQ(left, bytes)
		k.JL(operand.LabelRef(end))
		turn(unroll, nil)
		for _, p := range pointers {
			k.ADDQ(bytes, p)
		}
		k.SUBQ(bytes, left)
		k.JMP(operand.LabelRef(loop))
		k.Label(end)
	}
	done := k.label("done")
	k.CMPQ(k.whole, k.row)
	k.JE(operand.LabelRef(done))
	turn(1, k.mask)
	k.Label(done)
	for _, p := range pointers {
		k.SUBQ(k.whole, p)
	}
}

// lane is the cell as a vector of elements at pointers.
func (c cell) lane() lane {
	l := lane{kernel: c.kernel, disp: c.j * c.isa.Bytes, mask: c.mask}
	switch c.r {
	case 1:
		l.index, l.scale = c.row, 1
	case 2:
		l.index, l.scale = c.row, 2
	case 3:
		l.index, l.scale = c.three, 1
	}
	return l
}

func (c cell) load(p reg.GPVirtual) reg.VecVirtual     { return c.lane().load(p) }
func (c cell) store(v reg.VecVirtual, p reg.GPVirtual) { c.lane().store(v, p) }
func (c cell) zeroRest(v reg.VecVirtual)               { c.lane().zeroRest(v) }
func (c cell) loadKept(p reg.GPVirtual, keep reg.VecVirtual) reg.VecVirtual {
	return c.lane().loadKept(p, keep)
}

// shared loads what all rows have in common at their places: the first of them does.
func (c cell) shared(p reg.GPVirtual) reg.VecVirtual {
	v, ok := c.once[p]
	if !ok {
		c.r = 0
		v = c.load(p)
		c.once[p] = v
	}
	return v
}

// storeShared writes what shared has loaded, once the last row has changed it.
func (c cell) storeShared(v reg.VecVirtual, p reg.GPVirtual) {
	if c.r == c.count-1 {
		c.r = 0
		c.store(v, p)
	}
}

// number is the place of row r's number.
func (k *rows) number(p reg.GPVirtual, r int) operand.Mem { return operand.Mem{Base: p, Disp: 4 * r} }
