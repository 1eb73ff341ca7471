package ptx

import "math"

func init() {
	for _, op := range []string{"fma", "rcp", "sqrt", "rsqrt", "ex2", "lg2", "sin", "cos", "tanh", "copysign", "testp"} {
		decode(op, arithmeticFloat)
	}
}

func arithmeticFloat(c *compiler, in *instr) run {
	switch in.last() {
	case "f32":
		return float(c, in)
	case "bf16", "bf16x2":
		return bfloat(c, in)
	}
	c.fail("arithmetic of .%s is unknown to the interpreter", in.last())
	return nil
}

func f32(x uint32) float32    { return math.Float32frombits(x) }
func bits32(x float32) uint32 { return math.Float32bits(x) }

// flush makes a subnormal number a zero of its sign.
func flush(x uint32) uint32 {
	if x&0x7f800000 == 0 {
		return x & 0x80000000
	}
	return x
}

const (
	canonicalNaN = 0x7fffffff
	infinity     = 0x7f800000
)

func isNaN(x uint32) bool { return x&0x7fffffff > infinity }

// fma32 is a·b + c, rounded once. In float64 the product is exact; the sum is rounded there first, which matters only where it then lies in the middle
// between two float32.
func fma32(a, b, c float32) float32 {
	p := float64(float64(a) * float64(b))
	s := p + float64(c)
	u := math.Float64bits(s)
	if u&0x1fffffff != 0x10000000 && math.Abs(s) >= 0x1p-126 {
		return float32(s)
	}
	// Round to odd, then to float32.
	back := s - p
	e := (p - (s - back)) + (float64(c) - back)
	if (e > 0 || e < 0) && u&1 == 0 {
		if (e > 0) == (s > 0) {
			u++
		} else {
			u--
		}
	}
	return float32(math.Float64frombits(u))
}

// minimum and maximum have PTX's rules: a NaN loses against a number, and -0 is below +0.
func minimum(a, b uint32) uint32 {
	switch {
	case isNaN(a) && isNaN(b):
		return canonicalNaN
	case isNaN(a):
		return b
	case isNaN(b):
		return a
	case f32(a) < f32(b) || f32(a) == f32(b) && a>>31 != 0:
		return a
	}
	return b
}

func maximum(a, b uint32) uint32 {
	switch {
	case isNaN(a) && isNaN(b):
		return canonicalNaN
	case isNaN(a):
		return b
	case isNaN(b):
		return a
	case f32(a) > f32(b) || f32(a) == f32(b) && a>>31 == 0:
		return a
	}
	return b
}

// rounding is how an instruction rounds.
func rounding(in *instr) string {
	for _, x := range in.op {
		switch x {
		case "rz", "rm", "rp":
			return x
		}
	}
	return "rn"
}

// float are the instructions of .f32.
func float(c *compiler, in *instr) run {
	d, a := c.dest32(0), c.source32(1)
	ftz, sat := in.has("ftz"), in.has("sat")
	if r := rounding(in); r != "rn" {
		c.fail("rounding .%s is unknown to the interpreter here", r)
	}
	finish := func(x uint32) uint32 { return x }
	if ftz {
		finish = flush
	}
	if sat {
		inner := finish
		finish = func(x uint32) uint32 {
			x = inner(x)
			switch v := f32(x); {
			case !(v > 0):
				return 0
			case v > 1:
				return 0x3f800000
			}
			return x
		}
	}
	one := func(f func(x float32) float32) run {
		if ftz {
			return unary32(d, a, func(x uint32) uint32 { return finish(bits32(f(f32(flush(x))))) })
		}
		return unary32(d, a, func(x uint32) uint32 { return finish(bits32(f(f32(x)))) })
	}
	two := func(f func(x, y uint32) uint32) run {
		b := c.source32(2)
		if ftz && !sat {
			return loop2(d, a, b, func(r, x, y *[32]uint32) {
				for i := range r {
					r[i] = flush(f(flush(x[i]), flush(y[i])))
				}
			})
		}
		if ftz {
			return binary32(d, a, b, func(x, y uint32) uint32 { return finish(f(flush(x), flush(y))) })
		}
		return binary32(d, a, b, func(x, y uint32) uint32 { return finish(f(x, y)) })
	}
	wide := func(f func(x float64) float64) run {
		return one(func(x float32) float32 { return float32(f(float64(x))) })
	}
	fast := !sat
	switch in.op[0] {
	case "add":
		if fast {
			return floatAdd(d, a, c.source32(2), 0, ftz)
		}
		return two(func(x, y uint32) uint32 { return bits32(f32(x) + f32(y)) })
	case "sub":
		if fast {
			return floatAdd(d, a, c.source32(2), 1<<31, ftz)
		}
		return two(func(x, y uint32) uint32 { return bits32(f32(x) - f32(y)) })
	case "mul":
		if fast {
			return floatMul(d, a, c.source32(2), ftz)
		}
		return two(func(x, y uint32) uint32 { return bits32(f32(x) * f32(y)) })
	case "div":
		return two(func(x, y uint32) uint32 { return bits32(f32(x) / f32(y)) })
	case "min", "max":
		f := minimum
		if in.op[0] == "max" {
			f = maximum
		}
		if in.has("NaN") {
			g := f
			f = func(x, y uint32) uint32 {
				if isNaN(x) || isNaN(y) {
					return canonicalNaN
				}
				return g(x, y)
			}
		}
		if in.has("xorsign") {
			c.fail(".xorsign is unknown to the interpreter")
		}
		return two(f)
	case "neg":
		return one(func(x float32) float32 { return -x })
	case "abs":
		return one(func(x float32) float32 { return f32(bits32(x) &^ (1 << 31)) })
	case "copysign":
		b := c.source32(2)
		return binary32(d, a, b, func(x, y uint32) uint32 { return x&(1<<31) | y&^(1<<31) })
	case "fma":
		b, e := c.source32(2), c.source32(3)
		if fast {
			return floatFMA(d, a, b, e, ftz)
		}
		return ternary32(d, a, b, e, func(x, y, z uint32) uint32 {
			if ftz {
				x, y, z = flush(x), flush(y), flush(z)
			}
			return finish(bits32(fma32(f32(x), f32(y), f32(z))))
		})
	case "rcp":
		return one(func(x float32) float32 { return 1 / x })
	case "sqrt":
		return wide(math.Sqrt)
	case "rsqrt":
		return wide(func(x float64) float64 {
			if x == 0 {
				return math.Copysign(math.Inf(1), x)
			}
			return 1 / math.Sqrt(x)
		})
	case "ex2":
		return wide(math.Exp2)
	case "lg2":
		return wide(math.Log2)
	case "sin":
		return wide(math.Sin)
	case "cos":
		return wide(math.Cos)
	case "tanh":
		return wide(math.Tanh)
	}
	c.fail("the interpreter does not know the instruction %s of .f32", in.op[0])
	return nil
}

// floatAdd is x + y with the sign of y turned by sign.
func floatAdd(d, a, b int, sign uint32, ftz bool) run {
	if ftz {
		return loop2(d, a, b, func(r, x, y *[32]uint32) {
			for i := range r {
				r[i] = flush(bits32(f32(flush(x[i])) + f32(flush(y[i]^sign))))
			}
		})
	}
	return loop2(d, a, b, func(r, x, y *[32]uint32) {
		for i := range r {
			r[i] = bits32(f32(x[i]) + f32(y[i]^sign))
		}
	})
}

func floatMul(d, a, b int, ftz bool) run {
	if ftz {
		return loop2(d, a, b, func(r, x, y *[32]uint32) {
			for i := range r {
				r[i] = flush(bits32(f32(flush(x[i])) * f32(flush(y[i]))))
			}
		})
	}
	return loop2(d, a, b, func(r, x, y *[32]uint32) {
		for i := range r {
			r[i] = bits32(f32(x[i]) * f32(y[i]))
		}
	})
}

func floatFMA(d, a, b, e int, ftz bool) run {
	return loop3(d, a, b, e, func(r, x, y, z *[32]uint32) {
		for i := range r {
			u, v, t := x[i], y[i], z[i]
			if ftz {
				u, v, t = flush(u), flush(v), flush(t)
			}
			// As fma32, whose first case is nearly all.
			s := float64(float64(f32(u))*float64(f32(v))) + float64(f32(t))
			if n := math.Float64bits(s); n&0x1fffffff != 0x10000000 && n>>52&0x7ff >= 1023-126 || s == 0 {
				r[i] = bits32(float32(s))
				continue
			}
			r[i] = bits32(fma32(f32(u), f32(v), f32(t)))
			if ftz {
				r[i] = flush(r[i])
			}
		}
	})
}

// toBF16 rounds to nearest, ties to even.
func toBF16(x uint32) uint32 {
	if isNaN(x) {
		return 0x7fff
	}
	return (x + 0x7fff + x>>16&1) >> 16
}

// bfloat are the instructions of .bf16 and .bf16x2.
func bfloat(c *compiler, in *instr) run {
	d, a := c.dest32(0), c.source32(1)
	both := in.last() == "bf16x2"
	lanes := func(f func(x, y, z uint32) uint32) func(x, y, z uint32) uint32 {
		half := func(x, y, z uint32) uint32 { return toBF16(f(x<<16, y<<16, z<<16)) }
		if !both {
			return half
		}
		return func(x, y, z uint32) uint32 {
			return half(x&0xffff, y&0xffff, z&0xffff) | half(x>>16, y>>16, z>>16)<<16
		}
	}
	relu := in.has("relu")
	one := func(f func(x uint32) uint32) run {
		g := lanes(func(x, _, _ uint32) uint32 { return f(x) })
		return unary32(d, a, func(x uint32) uint32 { return g(x, 0, 0) })
	}
	two := func(f func(x, y uint32) uint32) run {
		g := lanes(func(x, y, _ uint32) uint32 { return f(x, y) })
		return binary32(d, a, c.source32(2), func(x, y uint32) uint32 { return g(x, y, 0) })
	}
	switch in.op[0] {
	case "neg":
		return one(func(x uint32) uint32 { return x ^ 1<<31 })
	case "abs":
		return one(func(x uint32) uint32 { return x &^ (1 << 31) })
	case "min":
		return two(minimum)
	case "max":
		return two(maximum)
	case "fma":
		return ternary32(d, a, c.source32(2), c.source32(3), lanes(func(x, y, z uint32) uint32 {
			r := bits32(fma32(f32(x), f32(y), f32(z))) // the second rounding, to bf16, is not exact where this is a tie
			if relu && !(f32(r) > 0) {
				return 0
			}
			return r
		}))
	case "ex2":
		return one(func(x uint32) uint32 { return bits32(float32(math.Exp2(float64(f32(x))))) })
	case "tanh":
		return one(func(x uint32) uint32 { return bits32(float32(math.Tanh(float64(f32(x))))) })
	}
	c.fail("the interpreter does not know the instruction %s of .%s", in.op[0], in.last())
	return nil
}
