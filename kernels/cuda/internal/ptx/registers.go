package ptx

import "math/bits"

// r32 is the lanes of a register that is read for the lanes m.
func (w *warp) r32(reg int, m uint32) *[32]uint32 {
	if u := m &^ w.defR[reg]; u != 0 {
		w.undefined(w.b.run.program.names[class32][reg], u)
	}
	return &w.r[reg]
}

func (w *warp) r64(reg int, m uint32) *[32]uint64 {
	if u := m &^ w.defQ[reg]; u != 0 {
		w.undefined(w.b.run.program.names[class64][reg], u)
	}
	return &w.q[reg]
}

// pred is a predicate, by lane.
func (w *warp) pred(reg int, m uint32) uint32 {
	if u := m &^ w.defP[reg]; u != 0 {
		w.undefined(w.b.run.program.names[classPred][reg], u)
	}
	return w.p[reg]
}

// set32 is the lanes of a register that is written for the lanes m.
func (w *warp) set32(reg int, m uint32) *[32]uint32 {
	w.defR[reg] |= m
	return &w.r[reg]
}

func (w *warp) set64(reg int, m uint32) *[32]uint64 {
	w.defQ[reg] |= m
	return &w.q[reg]
}

func (w *warp) setPred(reg int, m, value uint32) {
	w.defP[reg] |= m
	w.p[reg] = w.p[reg]&^m | value&m
}

const all = ^uint32(0)

// Instructions whose lanes do not know of each other. The loops do all 32 lanes, what nobody runs too: a loop with no condition is faster. What they give for
// lanes outside of m is thrown away.

func loop1(d, a int, f func(r, x *[32]uint32)) run {
	return func(w *warp, m uint32) {
		x := w.r32(a, m)
		r := w.set32(d, m)
		if m == all {
			f(r, x)
			return
		}
		var t [32]uint32
		f(&t, x)
		blend(r, &t, m)
	}
}

func loop2(d, a, b int, f func(r, x, y *[32]uint32)) run {
	return func(w *warp, m uint32) {
		x, y := w.r32(a, m), w.r32(b, m)
		r := w.set32(d, m)
		if m == all {
			f(r, x, y)
			return
		}
		var t [32]uint32
		f(&t, x, y)
		blend(r, &t, m)
	}
}

func loop3(d, a, b, c int, f func(r, x, y, z *[32]uint32)) run {
	return func(w *warp, m uint32) {
		x, y, z := w.r32(a, m), w.r32(b, m), w.r32(c, m)
		r := w.set32(d, m)
		if m == all {
			f(r, x, y, z)
			return
		}
		var t [32]uint32
		f(&t, x, y, z)
		blend(r, &t, m)
	}
}

func loop64(d, a, b int, f func(r, x, y *[32]uint64)) run {
	return func(w *warp, m uint32) {
		x, y := w.r64(a, m), w.r64(b, m)
		r := w.set64(d, m)
		if m == all {
			f(r, x, y)
			return
		}
		var t [32]uint64
		f(&t, x, y)
		for ; m != 0; m &= m - 1 {
			i := bits.TrailingZeros32(m) & 31
			r[i] = t[i]
		}
	}
}

func blend(r, t *[32]uint32, m uint32) {
	for ; m != 0; m &= m - 1 {
		i := bits.TrailingZeros32(m) & 31
		r[i] = t[i]
	}
}

// The same a lane at a time, for what is rare or slow.

func unary32(d, a int, f func(a uint32) uint32) run {
	return func(w *warp, m uint32) {
		x := w.r32(a, m)
		r := w.set32(d, m)
		for ; m != 0; m &= m - 1 {
			i := bits.TrailingZeros32(m) & 31
			r[i] = f(x[i])
		}
	}
}

func binary32(d, a, b int, f func(a, b uint32) uint32) run {
	return func(w *warp, m uint32) {
		x, y := w.r32(a, m), w.r32(b, m)
		r := w.set32(d, m)
		for ; m != 0; m &= m - 1 {
			i := bits.TrailingZeros32(m) & 31
			r[i] = f(x[i], y[i])
		}
	}
}

func ternary32(d, a, b, c int, f func(a, b, c uint32) uint32) run {
	return func(w *warp, m uint32) {
		x, y, z := w.r32(a, m), w.r32(b, m), w.r32(c, m)
		r := w.set32(d, m)
		for ; m != 0; m &= m - 1 {
			i := bits.TrailingZeros32(m) & 31
			r[i] = f(x[i], y[i], z[i])
		}
	}
}

func unary64(d, a int, f func(a uint64) uint64) run {
	return func(w *warp, m uint32) {
		x := w.r64(a, m)
		r := w.set64(d, m)
		for ; m != 0; m &= m - 1 {
			i := bits.TrailingZeros32(m) & 31
			r[i] = f(x[i])
		}
	}
}

func binary64(d, a, b int, f func(a, b uint64) uint64) run {
	return func(w *warp, m uint32) {
		x, y := w.r64(a, m), w.r64(b, m)
		r := w.set64(d, m)
		for ; m != 0; m &= m - 1 {
			i := bits.TrailingZeros32(m) & 31
			r[i] = f(x[i], y[i])
		}
	}
}

func ternary64(d, a, b, c int, f func(a, b, c uint64) uint64) run {
	return func(w *warp, m uint32) {
		x, y, z := w.r64(a, m), w.r64(b, m), w.r64(c, m)
		r := w.set64(d, m)
		for ; m != 0; m &= m - 1 {
			i := bits.TrailingZeros32(m) & 31
			r[i] = f(x[i], y[i], z[i])
		}
	}
}
