package ptx

import "math/bits"

func init() {
	for _, op := range []string{"and", "or", "xor", "not", "cnot", "shl", "shr", "mad", "mul24", "mad24", "sad", "bfe", "bfi", "prmt", "brev", "popc", "clz", "bfind", "lop3", "shf"} {
		decode(op, integer)
	}
	for _, op := range []string{"add", "sub", "mul", "div", "rem", "min", "max", "abs", "neg"} {
		decode(op, arithmetic)
	}
}

// arithmetic are the opcodes that integers and floats have.
func arithmetic(c *compiler, in *instr) run {
	switch in.last() {
	case "f32":
		return float(c, in)
	case "f16", "f16x2", "f64":
		c.fail("arithmetic of .%s is unknown to the interpreter", in.last())
	case "bf16", "bf16x2":
		return bfloat(c, in)
	}
	return integer(c, in)
}

// extend is a value of an integer type in 64 bits.
func extend(typ string) func(x uint64) uint64 {
	switch typ {
	case "s8":
		return func(x uint64) uint64 { return uint64(int64(int8(x))) }
	case "s16":
		return func(x uint64) uint64 { return uint64(int64(int16(x))) }
	case "s32":
		return func(x uint64) uint64 { return uint64(int64(int32(x))) }
	}
	return truncate(widths[typ])
}

func truncate(width int) func(x uint64) uint64 {
	switch width {
	case 1:
		return func(x uint64) uint64 { return x & 0xff }
	case 2:
		return func(x uint64) uint64 { return x & 0xffff }
	case 4:
		return func(x uint64) uint64 { return x & 0xffffffff }
	}
	return func(x uint64) uint64 { return x }
}

func integer(c *compiler, in *instr) run {
	typ := in.last()
	if typ == "pred" {
		return logic(c, in)
	}
	width := c.width(typ)
	signed := typ[0] == 's'
	switch in.op[0] {
	case "mul", "mad":
		if in.has("wide") {
			return wide(c, in, typ)
		}
	}
	if in.has("cc") || in.op[0] == "addc" {
		c.fail("carries are unknown to the interpreter")
	}
	if in.has("sat") {
		c.fail("saturation of integers is unknown to the interpreter")
	}
	switch {
	case width == 8 && in.op[0] != "popc" && in.op[0] != "clz" && in.op[0] != "bfe" && in.op[0] != "bfi" && in.op[0] != "shl" && in.op[0] != "shr":
		return integer64(c, in, signed)
	case width == 8:
		return mixed64(c, in, signed)
	case width == 4:
		return integer32(c, in, signed)
	case width == 2:
		return integer16(c, in, signed, typ)
	}
	c.fail("integers of type .%s are unknown to the interpreter here", typ)
	return nil
}

func logic(c *compiler, in *instr) run {
	d := c.destPred(0)
	a := c.sourcePred(1)
	if in.op[0] == "not" {
		return func(w *warp, m uint32) { w.setPred(d, m, ^w.pred(a, m)) }
	}
	b := c.sourcePred(2)
	switch in.op[0] {
	case "and":
		return func(w *warp, m uint32) { w.setPred(d, m, w.pred(a, m)&w.pred(b, m)) }
	case "or":
		return func(w *warp, m uint32) { w.setPred(d, m, w.pred(a, m)|w.pred(b, m)) }
	case "xor":
		return func(w *warp, m uint32) { w.setPred(d, m, w.pred(a, m)^w.pred(b, m)) }
	}
	c.fail("the interpreter does not know this of predicates")
	return nil
}

// wide are products of twice the width.
func wide(c *compiler, in *instr, typ string) run {
	e := extend(typ)
	a, b := c.source32(1), c.source32(2)
	if c.width(typ) == 2 {
		d := c.dest32(0)
		if in.op[0] == "mad" {
			return ternary32(d, a, b, c.source32(3), func(x, y, z uint32) uint32 { return uint32(e(uint64(x))*e(uint64(y))) + z })
		}
		return binary32(d, a, b, func(x, y uint32) uint32 { return uint32(e(uint64(x)) * e(uint64(y))) })
	}
	d := c.dest64(0)
	plus := -1
	if in.op[0] == "mad" {
		plus = c.source64(3)
	}
	signed := typ[0] == 's'
	return func(w *warp, m uint32) {
		x, y := w.r32(a, m), w.r32(b, m)
		var z [32]uint64
		if plus >= 0 {
			z = *w.r64(plus, m)
		}
		r := w.set64(d, m)
		if m == all {
			if signed {
				for i := range r {
					r[i] = uint64(int64(int32(x[i]))*int64(int32(y[i]))) + z[i]
				}
			} else {
				for i := range r {
					r[i] = uint64(x[i])*uint64(y[i]) + z[i]
				}
			}
			return
		}
		for ; m != 0; m &= m - 1 {
			i := bits.TrailingZeros32(m) & 31
			if signed {
				r[i] = uint64(int64(int32(x[i]))*int64(int32(y[i]))) + z[i]
			} else {
				r[i] = uint64(x[i])*uint64(y[i]) + z[i]
			}
		}
	}
}

func integer32(c *compiler, in *instr, signed bool) run {
	d, a := c.dest32(0), c.source32(1)
	high := in.has("hi")
	switch in.op[0] {
	case "not":
		return unary32(d, a, func(x uint32) uint32 { return ^x })
	case "cnot":
		return unary32(d, a, func(x uint32) uint32 {
			if x == 0 {
				return 1
			}
			return 0
		})
	case "neg":
		return unary32(d, a, func(x uint32) uint32 { return -x })
	case "abs":
		return unary32(d, a, func(x uint32) uint32 { return abs32(x) })
	case "brev":
		return unary32(d, a, bits.Reverse32)
	case "popc":
		return unary32(d, a, func(x uint32) uint32 { return uint32(bits.OnesCount32(x)) })
	case "clz":
		return unary32(d, a, func(x uint32) uint32 { return uint32(bits.LeadingZeros32(x)) })
	case "bfind":
		shift := in.has("shiftamt")
		return unary32(d, a, func(x uint32) uint32 {
			if signed && int32(x) < 0 {
				x = ^x
			}
			n := uint32(bits.Len32(x)) - 1
			if shift && n != all {
				n = 31 - n
			}
			return n
		})
	}
	b := c.source32(2)
	switch in.op[0] {
	case "add":
		return loop2(d, a, b, func(r, x, y *[32]uint32) {
			for i := range r {
				r[i] = x[i] + y[i]
			}
		})
	case "sub":
		return loop2(d, a, b, func(r, x, y *[32]uint32) {
			for i := range r {
				r[i] = x[i] - y[i]
			}
		})
	case "and":
		return loop2(d, a, b, func(r, x, y *[32]uint32) {
			for i := range r {
				r[i] = x[i] & y[i]
			}
		})
	case "or":
		return loop2(d, a, b, func(r, x, y *[32]uint32) {
			for i := range r {
				r[i] = x[i] | y[i]
			}
		})
	case "xor":
		return loop2(d, a, b, func(r, x, y *[32]uint32) {
			for i := range r {
				r[i] = x[i] ^ y[i]
			}
		})
	case "mul":
		switch {
		case high && signed:
			return binary32(d, a, b, func(x, y uint32) uint32 { return uint32(int64(int32(x)) * int64(int32(y)) >> 32) })
		case high:
			return binary32(d, a, b, func(x, y uint32) uint32 { return uint32(uint64(x) * uint64(y) >> 32) })
		}
		return loop2(d, a, b, func(r, x, y *[32]uint32) {
			for i := range r {
				r[i] = x[i] * y[i]
			}
		})
	case "div", "rem":
		return division32(d, a, b, signed, in.op[0] == "rem")
	case "min":
		if signed {
			return loop2(d, a, b, func(r, x, y *[32]uint32) {
				for i := range r {
					r[i] = uint32(min(int32(x[i]), int32(y[i])))
				}
			})
		}
		return loop2(d, a, b, func(r, x, y *[32]uint32) {
			for i := range r {
				r[i] = min(x[i], y[i])
			}
		})
	case "max":
		if signed {
			return loop2(d, a, b, func(r, x, y *[32]uint32) {
				for i := range r {
					r[i] = uint32(max(int32(x[i]), int32(y[i])))
				}
			})
		}
		return loop2(d, a, b, func(r, x, y *[32]uint32) {
			for i := range r {
				r[i] = max(x[i], y[i])
			}
		})
	case "shl":
		return loop2(d, a, b, func(r, x, y *[32]uint32) {
			for i := range r {
				r[i] = x[i] << y[i]
			}
		})
	case "shr":
		if signed {
			return loop2(d, a, b, func(r, x, y *[32]uint32) {
				for i := range r {
					r[i] = uint32(int32(x[i]) >> y[i])
				}
			})
		}
		return loop2(d, a, b, func(r, x, y *[32]uint32) {
			for i := range r {
				r[i] = x[i] >> y[i]
			}
		})
	case "mul24":
		if high {
			break
		}
		return binary32(d, a, b, func(x, y uint32) uint32 { return x & 0xffffff * (y & 0xffffff) })
	}
	e := c.source32(3)
	switch in.op[0] {
	case "mad":
		switch {
		case high && signed:
			return ternary32(d, a, b, e, func(x, y, z uint32) uint32 { return uint32(int64(int32(x))*int64(int32(y))>>32) + z })
		case high:
			return ternary32(d, a, b, e, func(x, y, z uint32) uint32 { return uint32(uint64(x)*uint64(y)>>32) + z })
		}
		return loop3(d, a, b, e, func(r, x, y, z *[32]uint32) {
			for i := range r {
				r[i] = x[i]*y[i] + z[i]
			}
		})
	case "sad":
		return ternary32(d, a, b, e, func(x, y, z uint32) uint32 {
			if signed && int32(x) > int32(y) || !signed && x > y {
				return z + x - y
			}
			return z + y - x
		})
	case "bfe":
		return ternary32(d, a, b, e, func(x, y, z uint32) uint32 { return uint32(extract(uint64(x), y, z, 32, signed)) })
	case "prmt":
		if in.last() != "b32" {
			break
		}
		return ternary32(d, a, b, e, permute)
	case "lop3":
		table := c.arg(4).bits
		return ternary32(d, a, b, e, func(x, y, z uint32) uint32 {
			var r uint32
			for i := range 8 {
				if table>>i&1 != 0 {
					t := all
					for j, v := range []uint32{z, y, x} {
						if i>>j&1 == 0 {
							v = ^v
						}
						t &= v
					}
					r |= t
				}
			}
			return r
		})
	case "shf":
		left, wrap := in.has("l"), in.has("wrap")
		return ternary32(d, a, b, e, func(lo, hi, n uint32) uint32 {
			if wrap {
				n &= 31
			} else {
				n = min(n, 32)
			}
			v := uint64(hi)<<32 | uint64(lo)
			if left {
				return uint32(v << n >> 32)
			}
			return uint32(v >> n)
		})
	case "bfi": // d = b with len bits of a from position
		l := c.source32(4)
		return func(w *warp, m uint32) {
			x, y, p, n := w.r32(a, m), w.r32(b, m), w.r32(e, m), w.r32(l, m)
			var t [32]uint32
			for i := range t {
				t[i] = uint32(insert(uint64(x[i]), uint64(y[i]), p[i], n[i], 32))
			}
			r := w.set32(d, m)
			for ; m != 0; m &= m - 1 {
				i := bits.TrailingZeros32(m) & 31
				r[i] = t[i]
			}
		}
	}
	c.fail("the interpreter does not know the instruction %s", in.op[0])
	return nil
}

func abs32(x uint32) uint32 {
	if int32(x) < 0 {
		return -x
	}
	return x
}

// extract is bfe: n bits of x from position p.
func extract(x uint64, p, n uint32, width int, signed bool) uint64 {
	p, n = p&0xff, n&0xff
	top := int(p+n) - 1
	if top > width-1 {
		top = width - 1
	}
	var r uint64
	if p < uint32(width) {
		r = x >> p
	}
	if n < 64 {
		r &= 1<<n - 1
	}
	if signed && n > 0 && n < uint32(width) && x>>top&1 != 0 {
		from := min(n, uint32(max(width-int(p), 0)))
		r |= ^uint64(0) << from
	}
	return r
}

// insert is bfi.
func insert(x, y uint64, p, n uint32, width uint32) uint64 {
	p, n = p&0xff, n&0xff
	if p >= width || n == 0 {
		return y
	}
	mask := ^uint64(0)
	if n < 64 {
		mask = 1<<n - 1
	}
	mask <<= p
	return y&^mask | x<<p&mask
}

// permute is prmt: each byte of the result is one of the eight of y:x, or copies of its sign.
func permute(x, y, selector uint32) uint32 {
	v := uint64(y)<<32 | uint64(x)
	var r uint32
	for i := range 4 {
		s := selector >> (4 * i) & 15
		b := uint32(v>>(8*(s&7))) & 0xff
		if s&8 != 0 {
			b = uint32(int32(int8(b))>>7) & 0xff
		}
		r |= b << (8 * i)
	}
	return r
}

func division32(d, a, b int, signed, rem bool) run {
	return func(w *warp, m uint32) {
		x, y := w.r32(a, m), w.r32(b, m)
		r := w.set32(d, m)
		for ; m != 0; m &= m - 1 {
			i := bits.TrailingZeros32(m) & 31
			x, y := x[i], y[i]
			switch {
			case y == 0:
				w.fail(i, "division of %d by zero", x)
			case signed && rem:
				r[i] = uint32(int64(int32(x)) % int64(int32(y)))
			case signed:
				r[i] = uint32(int64(int32(x)) / int64(int32(y)))
			case rem:
				r[i] = x % y
			default:
				r[i] = x / y
			}
		}
	}
}

func integer16(c *compiler, in *instr, signed bool, typ string) run {
	d, a := c.dest32(0), c.source32(1)
	e := extend(typ)
	one := func(f func(x uint64) uint64) run {
		return unary32(d, a, func(x uint32) uint32 { return uint32(f(e(uint64(x)))) & 0xffff })
	}
	switch in.op[0] {
	case "not":
		return one(func(x uint64) uint64 { return ^x })
	case "neg":
		return one(func(x uint64) uint64 { return -x })
	case "abs":
		return one(func(x uint64) uint64 { return uint64(max(int64(x), -int64(x))) })
	}
	b := c.source32(2)
	two := func(f func(x, y uint64) uint64) run {
		return binary32(d, a, b, func(x, y uint32) uint32 { return uint32(f(e(uint64(x)), e(uint64(y)))) & 0xffff })
	}
	switch in.op[0] {
	case "add":
		return two(func(x, y uint64) uint64 { return x + y })
	case "sub":
		return two(func(x, y uint64) uint64 { return x - y })
	case "mul":
		if in.has("hi") {
			return two(func(x, y uint64) uint64 { return x * y >> 16 })
		}
		return two(func(x, y uint64) uint64 { return x * y })
	case "and":
		return two(func(x, y uint64) uint64 { return x & y })
	case "or":
		return two(func(x, y uint64) uint64 { return x | y })
	case "xor":
		return two(func(x, y uint64) uint64 { return x ^ y })
	case "min":
		return two(func(x, y uint64) uint64 { return uint64(min(int64(x), int64(y))) })
	case "max":
		return two(func(x, y uint64) uint64 { return uint64(max(int64(x), int64(y))) })
	case "shl":
		return binary32(d, a, b, func(x, y uint32) uint32 { return x << y & 0xffff })
	case "shr":
		return binary32(d, a, b, func(x, y uint32) uint32 { return uint32(int64(e(uint64(x)))>>y) & 0xffff })
	case "mad":
		f := c.source32(3)
		return ternary32(d, a, b, f, func(x, y, z uint32) uint32 { return (x*y + z) & 0xffff })
	}
	c.fail("the interpreter does not know the instruction %s of 16 bits", in.op[0])
	return nil
}

func integer64(c *compiler, in *instr, signed bool) run {
	d, a := c.dest64(0), c.source64(1)
	switch in.op[0] {
	case "not":
		return unary64(d, a, func(x uint64) uint64 { return ^x })
	case "neg":
		return unary64(d, a, func(x uint64) uint64 { return -x })
	case "abs":
		return unary64(d, a, func(x uint64) uint64 { return uint64(max(int64(x), -int64(x))) })
	case "brev":
		return unary64(d, a, bits.Reverse64)
	}
	b := c.source64(2)
	switch in.op[0] {
	case "add":
		return loop64(d, a, b, func(r, x, y *[32]uint64) {
			for i := range r {
				r[i] = x[i] + y[i]
			}
		})
	case "sub":
		return loop64(d, a, b, func(r, x, y *[32]uint64) {
			for i := range r {
				r[i] = x[i] - y[i]
			}
		})
	case "mul":
		switch {
		case in.has("hi") && signed:
			return binary64(d, a, b, func(x, y uint64) uint64 {
				hi, _ := bits.Mul64(x, y)
				if int64(x) < 0 {
					hi -= y
				}
				if int64(y) < 0 {
					hi -= x
				}
				return hi
			})
		case in.has("hi"):
			return binary64(d, a, b, func(x, y uint64) uint64 { hi, _ := bits.Mul64(x, y); return hi })
		}
		return loop64(d, a, b, func(r, x, y *[32]uint64) {
			for i := range r {
				r[i] = x[i] * y[i]
			}
		})
	case "and":
		return loop64(d, a, b, func(r, x, y *[32]uint64) {
			for i := range r {
				r[i] = x[i] & y[i]
			}
		})
	case "or":
		return loop64(d, a, b, func(r, x, y *[32]uint64) {
			for i := range r {
				r[i] = x[i] | y[i]
			}
		})
	case "xor":
		return binary64(d, a, b, func(x, y uint64) uint64 { return x ^ y })
	case "min":
		if signed {
			return binary64(d, a, b, func(x, y uint64) uint64 { return uint64(min(int64(x), int64(y))) })
		}
		return binary64(d, a, b, func(x, y uint64) uint64 { return min(x, y) })
	case "max":
		if signed {
			return binary64(d, a, b, func(x, y uint64) uint64 { return uint64(max(int64(x), int64(y))) })
		}
		return binary64(d, a, b, func(x, y uint64) uint64 { return max(x, y) })
	case "div", "rem":
		rem := in.op[0] == "rem"
		return func(w *warp, m uint32) {
			x, y := w.r64(a, m), w.r64(b, m)
			r := w.set64(d, m)
			for ; m != 0; m &= m - 1 {
				i := bits.TrailingZeros32(m) & 31
				x, y := x[i], y[i]
				switch {
				case y == 0:
					w.fail(i, "division of %d by zero", x)
				case signed && rem && y == ^uint64(0):
					r[i] = 0
				case signed && y == ^uint64(0):
					r[i] = -x
				case signed && rem:
					r[i] = uint64(int64(x) % int64(y))
				case signed:
					r[i] = uint64(int64(x) / int64(y))
				case rem:
					r[i] = x % y
				default:
					r[i] = x / y
				}
			}
		}
	case "mad":
		return ternary64(d, a, b, c.source64(3), func(x, y, z uint64) uint64 { return x*y + z })
	}
	c.fail("the interpreter does not know the instruction %s of 64 bits", in.op[0])
	return nil
}

// mixed64 are instructions of 64 bits with operands or results of 32.
func mixed64(c *compiler, in *instr, signed bool) run {
	a := c.source64(1)
	switch in.op[0] {
	case "popc", "clz":
		d := c.dest32(0)
		count := func(x uint64) uint32 { return uint32(bits.LeadingZeros64(x)) }
		if in.op[0] == "popc" {
			count = func(x uint64) uint32 { return uint32(bits.OnesCount64(x)) }
		}
		return func(w *warp, m uint32) {
			x, r := w.r64(a, m), w.set32(d, m)
			for ; m != 0; m &= m - 1 {
				i := bits.TrailingZeros32(m) & 31
				r[i] = count(x[i])
			}
		}
	case "shl", "shr":
		d, b := c.dest64(0), c.source32(2)
		left := in.op[0] == "shl"
		return func(w *warp, m uint32) {
			x, n := w.r64(a, m), w.r32(b, m)
			r := w.set64(d, m)
			if left && m == all {
				for i := range r {
					r[i] = x[i] << n[i]
				}
				return
			}
			for ; m != 0; m &= m - 1 {
				i := bits.TrailingZeros32(m) & 31
				switch {
				case left:
					r[i] = x[i] << n[i]
				case signed:
					r[i] = uint64(int64(x[i]) >> n[i])
				default:
					r[i] = x[i] >> n[i]
				}
			}
		}
	case "bfe":
		d, b, e := c.dest64(0), c.source32(2), c.source32(3)
		return func(w *warp, m uint32) {
			x, p, n := w.r64(a, m), w.r32(b, m), w.r32(e, m)
			r := w.set64(d, m)
			for ; m != 0; m &= m - 1 {
				i := bits.TrailingZeros32(m) & 31
				r[i] = extract(x[i], p[i], n[i], 64, signed)
			}
		}
	}
	d, b, e, l := c.dest64(0), c.source64(2), c.source32(3), c.source32(4)
	return func(w *warp, m uint32) {
		x, y, p, n := w.r64(a, m), w.r64(b, m), w.r32(e, m), w.r32(l, m)
		r := w.set64(d, m)
		for ; m != 0; m &= m - 1 {
			i := bits.TrailingZeros32(m) & 31
			r[i] = insert(x[i], y[i], p[i], n[i], 64)
		}
	}
}
