package ptx

import "math/bits"

func init() {
	decode("setp", setp)
	decode("set", set)
	decode("selp", selp)
}

// comparison is an operator as a function of the bits of two values in 64 bits.
func (c *compiler) comparison(op, typ string) func(a, b uint64) bool {
	if typ == "f32" {
		f := comparisonFloat(op)
		if f == nil {
			c.fail("comparison .%s of .f32 is unknown to the interpreter", op)
		}
		return func(a, b uint64) bool { return f(f32(uint32(a)), f32(uint32(b))) }
	}
	e := extend(typ)
	signed := typ[0] == 's'
	less := func(a, b uint64) bool {
		if signed {
			return int64(e(a)) < int64(e(b))
		}
		return e(a) < e(b)
	}
	switch op {
	case "eq":
		return func(a, b uint64) bool { return e(a) == e(b) }
	case "ne":
		return func(a, b uint64) bool { return e(a) != e(b) }
	case "lt", "lo":
		return less
	case "gt", "hi":
		return func(a, b uint64) bool { return less(b, a) }
	case "le", "ls":
		return func(a, b uint64) bool { return !less(b, a) }
	case "ge", "hs":
		return func(a, b uint64) bool { return !less(a, b) }
	}
	c.fail("comparison .%s is unknown to the interpreter", op)
	return nil
}

func comparisonFloat(op string) func(a, b float32) bool {
	switch op {
	case "eq":
		return func(a, b float32) bool { return a == b }
	case "ne":
		return func(a, b float32) bool { return a < b || a > b }
	case "lt":
		return func(a, b float32) bool { return a < b }
	case "le":
		return func(a, b float32) bool { return a <= b }
	case "gt":
		return func(a, b float32) bool { return a > b }
	case "ge":
		return func(a, b float32) bool { return a >= b }
	case "equ":
		return func(a, b float32) bool { return !(a < b || a > b) }
	case "neu":
		return func(a, b float32) bool { return a != b }
	case "ltu":
		return func(a, b float32) bool { return !(a >= b) }
	case "leu":
		return func(a, b float32) bool { return !(a > b) }
	case "gtu":
		return func(a, b float32) bool { return !(a <= b) }
	case "geu":
		return func(a, b float32) bool { return !(a < b) }
	case "num":
		return func(a, b float32) bool { return a == a && b == b }
	case "nan":
		return func(a, b float32) bool { return a != a || b != b }
	}
	return nil
}

// compared is a comparison of two operands, as a predicate by lane.
func (c *compiler) compared(in *instr, first int) func(w *warp, m uint32) uint32 {
	typ := in.last()
	if in.op[0] == "set" {
		typ = in.last()
	}
	op := in.op[1]
	if c.width(typ) == 8 {
		if typ == "f64" {
			c.fail("comparisons of .f64 are unknown to the interpreter")
		}
		f := c.comparison(op, typ)
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
	f := c.comparison(op, typ)
	if in.has("ftz") {
		g := f
		f = func(a, b uint64) bool { return g(uint64(flush(uint32(a))), uint64(flush(uint32(b)))) }
	}
	return func(w *warp, m uint32) uint32 {
		x, y := w.r32(a, m), w.r32(b, m)
		var p uint32
		for m := m; m != 0; m &= m - 1 {
			i := bits.TrailingZeros32(m) & 31
			if f(uint64(x[i]), uint64(y[i])) {
				p |= 1 << i
			}
		}
		return p
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
