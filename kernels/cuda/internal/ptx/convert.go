package ptx

import (
	"math"
	"math/bits"
)

func init() { decode("cvt", cvt) }

// cvt{.rounding}{.ftz}{.sat}.dtype.stype d, a
func cvt(c *compiler, in *instr) run {
	to, from := in.op[len(in.op)-2], in.last()
	round, ftz, sat, relu := "", in.has("ftz"), in.has("sat"), in.has("relu")
	for _, x := range in.op[1 : len(in.op)-2] {
		switch x {
		case "rn", "rz", "rm", "rp", "rni", "rzi", "rmi", "rpi", "rna":
			round = x
		case "ftz", "sat", "relu", "satfinite":
		default:
			c.fail(".%s is unknown to the interpreter", x)
		}
	}
	floats := map[string]bool{"f32": true, "bf16": true}
	switch {
	case to == "bf16x2" && from == "f32":
		return c.packed(in, relu)
	case to == "bf16" && from == "f32":
		return unary32(c.dest32(0), c.source32(1), toBF16With(round, ftz, relu))
	case to == "f32" && from == "bf16":
		return unary32(c.dest32(0), c.source32(1), func(x uint32) uint32 { return x << 16 })
	case to == "tf32" && from == "f32":
		if round != "rna" {
			c.fail("rounding .%s to tf32 is unknown to the interpreter", round)
		}
		return unary32(c.dest32(0), c.source32(1), toTF32)
	case to == "f32" && from == "f32":
		f := roundFloat(round)
		return unary32(c.dest32(0), c.source32(1), func(x uint32) uint32 {
			if ftz {
				x = flush(x)
			}
			v := float32(f(float64(f32(x))))
			if sat {
				v = saturate(v)
			}
			return bits32(v)
		})
	case to == "f16" || from == "f16" || to == "f64" || from == "f64":
		c.fail("conversions between .%s and .%s are unknown to the interpreter", from, to)
	case floats[to]:
		return c.fromInteger(from, to, round)
	case floats[from]:
		return c.toInteger(to, from, round, ftz)
	}
	return c.integers(to, from, sat)
}

func saturate(v float32) float32 {
	switch {
	case !(v > 0):
		return 0
	case v > 1:
		return 1
	}
	return v
}

func toBF16With(round string, ftz, relu bool) func(x uint32) uint32 {
	return func(x uint32) uint32 {
		if ftz {
			x = flush(x)
		}
		if relu && (!(f32(x) > 0)) && !isNaN(x) {
			return 0
		}
		if round == "rz" && !isNaN(x) {
			return x >> 16
		}
		return toBF16(x)
	}
}

// packed is cvt.bf16x2.f32 d, hi, lo.
func (c *compiler) packed(in *instr, relu bool) run {
	f := toBF16With(rounding(in), false, relu)
	return binary32(c.dest32(0), c.source32(1), c.source32(2), func(hi, lo uint32) uint32 { return f(hi)<<16 | f(lo) })
}

// toTF32 rounds to ten bits of mantissa, ties away from zero.
func toTF32(x uint32) uint32 {
	if x&0x7f800000 == 0x7f800000 {
		if isNaN(x) {
			return canonicalNaN
		}
		return x
	}
	return (x + 0x1000) &^ 0x1fff
}

// roundFloat rounds to integers of the same type.
func roundFloat(how string) func(x float64) float64 {
	switch how {
	case "rni":
		return math.RoundToEven
	case "rzi":
		return math.Trunc
	case "rmi":
		return math.Floor
	case "rpi":
		return math.Ceil
	}
	return func(x float64) float64 { return x }
}

func (c *compiler) fromInteger(from, to, round string) run {
	if round != "rn" && c.width(from) > 2 {
		c.fail("rounding .%s of integers is unknown to the interpreter", round)
	}
	e := extend(from)
	signed := from[0] == 's'
	d := c.dest32(0)
	convert := func(x uint64) uint32 {
		var v float32
		if signed {
			v = float32(int64(e(x)))
		} else {
			v = float32(e(x))
		}
		if to == "bf16" {
			return toBF16(bits32(v))
		}
		return bits32(v)
	}
	if o := c.arg(1); o.kind == register && o.class == class64 {
		a := c.source64(1)
		return func(w *warp, m uint32) {
			x, r := w.r64(a, m), w.set32(d, m)
			for ; m != 0; m &= m - 1 {
				i := bits.TrailingZeros32(m) & 31
				r[i] = convert(x[i])
			}
		}
	}
	return unary32(d, c.source32(1), func(x uint32) uint32 { return convert(uint64(x)) })
}

// toInteger saturates; a NaN becomes 0, or the top bit alone of 64 bits.
func (c *compiler) toInteger(to, from, round string, ftz bool) run {
	f := roundFloat(round)
	width := c.width(to)
	signed := to[0] == 's'
	convert := func(u uint32) uint64 {
		if from == "bf16" {
			u <<= 16
		}
		if ftz {
			u = flush(u)
		}
		x := f(float64(f32(u)))
		if x != x {
			if width == 8 {
				return 1 << 63
			}
			return 0
		}
		if signed {
			lo, hi := -math.Ldexp(1, 8*width-1), math.Ldexp(1, 8*width-1)
			switch {
			case x < lo:
				x = lo
			case x >= hi:
				return uint64(1)<<(8*width-1) - 1
			}
			return uint64(int64(x))
		}
		hi := math.Ldexp(1, 8*width)
		switch {
		case x < 0:
			return 0
		case x >= hi:
			return ^uint64(0) >> (64 - 8*width)
		}
		return uint64(x)
	}
	a := c.source32(1)
	return c.toAny(to, func(w *warp, m uint32, r *[32]uint64) {
		x := w.r32(a, m)
		for ; m != 0; m &= m - 1 {
			i := bits.TrailingZeros32(m) & 31
			r[i] = convert(x[i])
		}
	})
}

// toAny writes what value gives to the destination, which may be wider than the type: signed values then fill it.
func (c *compiler) toAny(typ string, value func(w *warp, m uint32, r *[32]uint64)) run {
	if d := c.arg(0); d.class == class64 {
		to := c.dest64(0)
		return func(w *warp, m uint32) {
			var t [32]uint64
			value(w, m, &t)
			r := w.set64(to, m)
			for ; m != 0; m &= m - 1 {
				i := bits.TrailingZeros32(m) & 31
				r[i] = t[i]
			}
		}
	}
	to := c.dest32(0)
	fit := truncate(c.arg(0).width)
	return func(w *warp, m uint32) {
		var t [32]uint64
		value(w, m, &t)
		r := w.set32(to, m)
		for ; m != 0; m &= m - 1 {
			i := bits.TrailingZeros32(m) & 31
			r[i] = uint32(fit(t[i]))
		}
	}
}

func (c *compiler) integers(to, from string, sat bool) run {
	read, write := extend(from), extend(to)
	signed := from[0] == 's'
	convert := func(x uint64) uint64 { return write(read(x)) }
	if sat {
		width := c.width(to)
		convert = func(x uint64) uint64 {
			x = read(x)
			if to[0] == 's' {
				lo, hi := int64(-1)<<(8*width-1), int64(1)<<(8*width-1)-1
				if !signed {
					return min(x, uint64(hi))
				}
				return uint64(min(max(int64(x), lo), hi))
			}
			hi := ^uint64(0) >> (64 - 8*width)
			if signed && int64(x) < 0 {
				return 0
			}
			return min(x, hi)
		}
	}
	o := c.arg(1)
	if o.kind == register && o.class == class32 {
		a := c.source32(1)
		narrow := c.arg(0).class == class32 && !sat
		switch {
		case narrow && from[1:] == "32" && to[1:] == "32", narrow && to[1:] == "32" && from == "u16":
			return loop1(c.dest32(0), a, func(r, x *[32]uint32) { *r = *x })
		case narrow && from[1:] == "32" && to[1:] == "16" && c.arg(0).width == 2:
			return loop1(c.dest32(0), a, func(r, x *[32]uint32) {
				for i := range r {
					r[i] = x[i] & 0xffff
				}
			})
		case !narrow && !sat && from[1:] == "32" && to[1:] == "64":
			d := c.dest64(0)
			return func(w *warp, m uint32) {
				x, r := w.r32(a, m), w.set64(d, m)
				for ; m != 0; m &= m - 1 {
					i := bits.TrailingZeros32(m) & 31
					if signed {
						r[i] = uint64(int64(int32(x[i])))
					} else {
						r[i] = uint64(x[i])
					}
				}
			}
		}
		return c.toAny(to, func(w *warp, m uint32, r *[32]uint64) {
			x := w.r32(a, m)
			for ; m != 0; m &= m - 1 {
				i := bits.TrailingZeros32(m) & 31
				r[i] = convert(uint64(x[i]))
			}
		})
	}
	a := c.source64(1)
	return c.toAny(to, func(w *warp, m uint32, r *[32]uint64) {
		x := w.r64(a, m)
		for ; m != 0; m &= m - 1 {
			i := bits.TrailingZeros32(m) & 31
			r[i] = convert(x[i])
		}
	})
}
