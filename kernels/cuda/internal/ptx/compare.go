package ptx

import (
	"math/bits"
	"strings"
)

func init() {
	decode("setp", setp)
	decode("set", set)
	decode("selp", selp)
}

// lanes of which something is true, whatever they hold.

func lessSigned(x, y *[32]uint32) (p uint32) {
	for i := range x {
		var b uint32
		if int32(x[i]) < int32(y[i]) {
			b = 1
		}
		p |= b << i
	}
	return p
}

func lessUnsigned(x, y *[32]uint32) (p uint32) {
	for i := range x {
		var b uint32
		if x[i] < y[i] {
			b = 1
		}
		p |= b << i
	}
	return p
}

func equal(x, y *[32]uint32) (p uint32) {
	for i := range x {
		var b uint32
		if x[i] == y[i] {
			b = 1
		}
		p |= b << i
	}
	return p
}

func lessFloat(x, y *[32]uint32) (p uint32) {
	for i := range x {
		var b uint32
		if f32(x[i]) < f32(y[i]) {
			b = 1
		}
		p |= b << i
	}
	return p
}

func equalFloat(x, y *[32]uint32) (p uint32) {
	for i := range x {
		var b uint32
		if f32(x[i]) == f32(y[i]) {
			b = 1
		}
		p |= b << i
	}
	return p
}

type comparison func(x, y *[32]uint32) uint32

// integers compares by what less and equal say.
func integersCompared(op string, less comparison) comparison {
	switch op {
	case "eq":
		return equal
	case "ne":
		return func(x, y *[32]uint32) uint32 { return ^equal(x, y) }
	case "lt", "lo":
		return less
	case "gt", "hi":
		return func(x, y *[32]uint32) uint32 { return less(y, x) }
	case "le", "ls":
		return func(x, y *[32]uint32) uint32 { return ^less(y, x) }
	case "ge", "hs":
		return func(x, y *[32]uint32) uint32 { return ^less(x, y) }
	}
	return nil
}

func floatsCompared(op string) comparison {
	less, equal := lessFloat, equalFloat
	ordered := func(x, y *[32]uint32) uint32 { return equal(x, x) & equal(y, y) }
	switch op {
	case "eq":
		return equal
	case "ne":
		return func(x, y *[32]uint32) uint32 { return less(x, y) | less(y, x) }
	case "lt":
		return less
	case "le":
		return func(x, y *[32]uint32) uint32 { return less(x, y) | equal(x, y) }
	case "gt":
		return func(x, y *[32]uint32) uint32 { return less(y, x) }
	case "ge":
		return func(x, y *[32]uint32) uint32 { return less(y, x) | equal(x, y) }
	case "equ":
		return func(x, y *[32]uint32) uint32 { return ^(less(x, y) | less(y, x)) }
	case "neu":
		return func(x, y *[32]uint32) uint32 { return ^equal(x, y) }
	case "ltu":
		return func(x, y *[32]uint32) uint32 { return ^(less(y, x) | equal(x, y)) }
	case "leu":
		return func(x, y *[32]uint32) uint32 { return ^less(y, x) }
	case "gtu":
		return func(x, y *[32]uint32) uint32 { return ^(less(x, y) | equal(x, y)) }
	case "geu":
		return func(x, y *[32]uint32) uint32 { return ^less(x, y) }
	case "num":
		return ordered
	case "nan":
		return func(x, y *[32]uint32) uint32 { return ^ordered(x, y) }
	}
	return nil
}

// comparison64 is an operator of integers of 64 bits.
func comparison64(op string, signed bool) func(a, b uint64) bool {
	less := func(a, b uint64) bool { return a < b }
	if signed {
		less = func(a, b uint64) bool { return int64(a) < int64(b) }
	}
	switch op {
	case "eq":
		return func(a, b uint64) bool { return a == b }
	case "ne":
		return func(a, b uint64) bool { return a != b }
	case "lt", "lo":
		return less
	case "gt", "hi":
		return func(a, b uint64) bool { return less(b, a) }
	case "le", "ls":
		return func(a, b uint64) bool { return !less(b, a) }
	case "ge", "hs":
		return func(a, b uint64) bool { return !less(a, b) }
	}
	return nil
}

// compared is a comparison of two operands, as a predicate by lane.
func (c *compiler) compared(in *instr, first int) func(w *warp, m uint32) uint32 {
	typ, op := in.last(), in.op[1]
	if c.width(typ) == 8 {
		f := comparison64(op, typ[0] == 's')
		if f == nil || typ == "f64" {
			c.fail("comparison .%s of .%s is unknown to the interpreter", op, typ)
		}
		a, b := c.source64(first), c.source64(first+1)
		return func(w *warp, m uint32) uint32 {
			x, y := w.r64(a, m), w.r64(b, m)
			var p uint32
			for m := m; m != 0; m &= m - 1 {
				i := bits.TrailingZeros32(m) & 31
				if f(x[i], y[i]) {
					p |= 1 << i
				}
			}
			return p
		}
	}
	a, b := c.source32(first), c.source32(first+1)
	var f comparison
	var change func(x uint32) uint32 // of the operands
	switch {
	case typ == "f32":
		f = floatsCompared(op)
		if in.has("ftz") {
			change = flush
		}
	case typ[0] == 'f' || strings.HasPrefix(typ, "bf"):
	case typ[0] == 's':
		f = integersCompared(op, lessSigned)
		if c.width(typ) == 2 {
			change = func(x uint32) uint32 { return uint32(int32(int16(x))) }
		}
	default:
		f = integersCompared(op, lessUnsigned)
		if c.width(typ) == 2 {
			change = func(x uint32) uint32 { return x & 0xffff }
		}
	}
	if f == nil {
		c.fail("comparison .%s of .%s is unknown to the interpreter", op, typ)
	}
	return func(w *warp, m uint32) uint32 {
		x, y := w.r32(a, m), w.r32(b, m)
		if change == nil {
			return f(x, y)
		}
		var u, v [32]uint32
		for i := range u {
			u[i], v[i] = change(x[i]), change(y[i])
		}
		return f(&u, &v)
	}
}

// setp.cmp{.bool}.type p{|q}, a, b{, {!}c
func setp(c *compiler, in *instr) run {
	compare := c.compared(in, 1)
	d := c.destPred(0)
	q := -1
	if o := c.arg(0).pair; o != nil && o.kind != sink {
		q = c.dest(classPred, *o)
	}
	join, with := "", -1
	var negate bool
	if len(in.args) > 3 {
		join, with, negate = in.op[2], c.sourcePred(3), c.arg(3).negate
	}
	return func(w *warp, m uint32) {
		p := compare(w, m)
		n := ^p
		if with >= 0 {
			o := w.pred(with, m)
			if negate {
				o = ^o
			}
			switch join {
			case "and":
				p, n = p&o, n&o
			case "or":
				p, n = p|o, n|o
			case "xor":
				p, n = p^o, n^o
			}
		}
		w.setPred(d, m, p)
		if q >= 0 {
			w.setPred(q, m, n)
		}
	}
}

// set.cmp.dtype.stype d, a, b: all ones or 1.0f.
func set(c *compiler, in *instr) run {
	if len(in.args) > 3 {
		c.fail("set with a predicate is unknown to the interpreter")
	}
	compare := c.compared(in, 1)
	d := c.dest32(0)
	yes := all
	if in.op[len(in.op)-2] == "f32" {
		yes = 0x3f800000
	}
	return func(w *warp, m uint32) {
		p := compare(w, m)
		r := w.set32(d, m)
		for ; m != 0; m &= m - 1 {
			i := bits.TrailingZeros32(m) & 31
			r[i] = 0
			if p>>i&1 != 0 {
				r[i] = yes
			}
		}
	}
}

// selp.type d, a, b, p. The value that is not chosen need not have one.
func selp(c *compiler, in *instr) run {
	p := c.sourcePred(3)
	if c.width(in.last()) == 8 {
		d, a, b := c.dest64(0), c.source64(1), c.source64(2)
		return func(w *warp, m uint32) {
			q := w.pred(p, m)
			x, y := w.r64(a, m&q), w.r64(b, m&^q)
			r := w.set64(d, m)
			for ; m != 0; m &= m - 1 {
				i := bits.TrailingZeros32(m) & 31
				if q>>i&1 != 0 {
					r[i] = x[i]
				} else {
					r[i] = y[i]
				}
			}
		}
	}
	d, a, b := c.dest32(0), c.source32(1), c.source32(2)
	return func(w *warp, m uint32) {
		q := w.pred(p, m)
		x, y := w.r32(a, m&q), w.r32(b, m&^q)
		r := w.set32(d, m)
		t := *y
		blend(&t, x, q)
		if m == all {
			*r = t
			return
		}
		blend(r, &t, m)
	}
}
