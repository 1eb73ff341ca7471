package ptx

import "math/bits"

func init() {
	decode("atom", atom)
	decode("red", atom)
}

// combine is what an atomic or a reduction does with two values.
func (c *compiler) combine(op, typ string) func(a, b uint64) uint64 {
	e := extend(typ)
	fit := truncate(c.width(typ))
	signed := typ[0] == 's'
	switch op {
	case "add":
		if typ == "f32" {
			return func(a, b uint64) uint64 { return uint64(bits32(f32(uint32(a)) + f32(uint32(b)))) }
		}
		if typ[0] != 'f' && typ[0] != 'b' {
			return func(a, b uint64) uint64 { return fit(a + b) }
		}
	case "and":
		return func(a, b uint64) uint64 { return a & b }
	case "or":
		return func(a, b uint64) uint64 { return a | b }
	case "xor":
		return func(a, b uint64) uint64 { return a ^ b }
	case "exch":
		return func(a, b uint64) uint64 { return b }
	case "inc":
		return func(a, b uint64) uint64 {
			if a >= b {
				return 0
			}
			return a + 1
		}
	case "dec":
		return func(a, b uint64) uint64 {
			if a == 0 || a > b {
				return b
			}
			return a - 1
		}
	case "min", "max":
		least := op == "min"
		if typ[0] != 'f' {
			return func(a, b uint64) uint64 {
				less := e(a) < e(b)
				if signed {
					less = int64(e(a)) < int64(e(b))
				}
				if less == least {
					return a
				}
				return b
			}
		}
	}
	c.fail("the interpreter does not know %s of .%s", op, typ)
	return nil
}

// atom{.sem}{.scope}{.space}.op.type d, [a], b{, c}; red has no d.
func atom(c *compiler, in *instr) run {
	s := c.space(in)
	typ := in.last()
	n := c.width(typ)
	first := 0
	op := ""
	for _, x := range in.op[1:] {
		switch x {
		case "add", "and", "or", "xor", "exch", "inc", "dec", "min", "max", "cas":
			op = x
		}
	}
	if in.has("vec_32_bit") || c.arg(len(in.args)-1).kind == vector {
		c.fail("atomics of vectors are unknown to the interpreter")
	}
	cl := classOf(n)
	d := -1
	if in.op[0] == "atom" {
		first = 1
		d = c.dest(cl, c.arg(0))
	}
	at := c.addressOf(c.arg(first), s)
	b := c.source(cl, c.arg(first+1))
	swap := -1
	var f func(a, b uint64) uint64
	if op == "cas" {
		swap = c.source(cl, c.arg(first+2))
	} else {
		f = c.combine(op, typ)
	}
	return func(w *warp, m uint32) {
		var p [32]uint64
		at(w, m, &p)
		value := func(reg, i int) uint64 {
			if cl == class64 {
				return w.r64(reg, m)[i]
			}
			return uint64(w.r32(reg, m)[i])
		}
		for l := m; l != 0; l &= l - 1 {
			i := bits.TrailingZeros32(l) & 31
			w.atomic(s, p[i], n, i, func(old uint64) uint64 {
				y := value(b, i)
				next := old
				if swap < 0 {
					next = f(old, y)
				} else if old == y {
					next = value(swap, i)
				}
				if d >= 0 {
					if cl == class64 {
						w.q[d][i] = old
					} else {
						w.r[d][i] = uint32(old)
					}
				}
				return next
			})
		}
		if d >= 0 {
			if cl == class64 {
				w.defQ[d] |= m
			} else {
				w.defR[d] |= m
			}
		}
		w.b.events++
	}
}

// atomic changes n bytes in one go.
func (w *warp) atomic(s space, p uint64, n, lane int, f func(old uint64) uint64) {
	s, p = w.find(s, p, lane)
	var data, defined []byte
	switch s {
	case global:
		a, at := w.globalAt(p, n, lane, "atomic change")
		w.racesAtomic(a, at, n, lane)
		w.b.run.memory.atomics.Lock()
		defer w.b.run.memory.atomics.Unlock()
		data, defined = a.data[at:at+n], a.defined[at:at+n]
	case sharedSpace:
		at := w.sharedAt(p, n, lane, "atomic change")
		data, defined = w.b.shared.data[at:at+n], w.b.shared.defined[at:at+n]
	default:
		w.fail(lane, "an atomic change of memory that is neither global nor shared")
	}
	if missing(defined) != 0 {
		w.fail(lane, "atomic change of memory that nobody wrote, at %#x", p)
	}
	if n == 8 {
		little.PutUint64(data, f(little.Uint64(data)))
	} else {
		little.PutUint32(data, uint32(f(uint64(little.Uint32(data)))))
	}
}
