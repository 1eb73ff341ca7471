package ptx

import (
	"encoding/binary"
	"math/bits"
)

var little = binary.LittleEndian

func init() {
	decode("mov", mov)
	decode("cvta", cvta)
	decode("ld", ld)
	decode("ldu", ld)
	decode("st", st)
	decode("prefetch", nothing)
	decode("prefetchu", nothing)
}

func mov(c *compiler, in *instr) run {
	d, s := c.arg(0), c.arg(1)
	if d.kind == vector || s.kind == vector {
		return movVector(c, in, d, s)
	}
	switch {
	case in.last() == "pred":
		to, from := c.destPred(0), c.sourcePred(1)
		return func(w *warp, m uint32) { w.setPred(to, m, w.pred(from, m)) }
	case d.class == class64:
		to, from := c.dest64(0), -1
		if s.kind == register && s.class == class32 {
			return widen(to, c.source32(1))
		}
		from = c.source64(1)
		return func(w *warp, m uint32) {
			w.moves(class64, to, from, m)
			x, r := &w.q[from], &w.q[to]
			for ; m != 0; m &= m - 1 {
				i := bits.TrailingZeros32(m) & 31
				r[i] = x[i]
			}
		}
	}
	to, from := c.dest32(0), c.source32(1)
	return func(w *warp, m uint32) {
		w.moves(class32, to, from, m)
		x, r := &w.r[from], &w.r[to]
		if m == all {
			*r = *x
			return
		}
		for ; m != 0; m &= m - 1 {
			i := bits.TrailingZeros32(m) & 31
			r[i] = x[i]
		}
	}
}

func widen(to, from int) run {
	return func(w *warp, m uint32) {
		x, r := w.r32(from, m), w.set64(to, m)
		for i := range r {
			if m>>i&1 != 0 {
				r[i] = uint64(x[i])
			}
		}
	}
}

// moves says that lanes have a value where those of from have one: moving is no use of a value.
func (w *warp) moves(cl class, to, from int, m uint32) {
	def := w.defR
	if cl == class64 {
		def = w.defQ
	}
	def[to] = def[to]&^m | def[from]&m
	if u := m &^ def[from]; u != 0 {
		names := w.b.run.program.names[cl]
		if why, ok := w.loaded[names[from]]; ok {
			w.remember(names[to], why)
		}
	}
}

// remember notes why a register has no value.
func (w *warp) remember(name, why string) {
	if w.loaded == nil {
		w.loaded = map[string]string{}
	}
	w.loaded[name] = why
}

// movVector packs and unpacks.
func movVector(c *compiler, in *instr, d, s operand) run {
	if d.kind == vector {
		part := c.width(in.last()) / len(d.parts)
		var to []int
		if part == 8 {
			c.fail("this mov is unknown to the interpreter")
		}
		for _, p := range d.parts {
			to = append(to, c.dest(class32, p))
		}
		wide := c.width(in.last()) == 8
		from := 0
		if wide {
			from = c.source64(1)
		} else {
			from = c.source32(1)
		}
		mask := uint64(1)<<(8*part) - 1
		return func(w *warp, m uint32) {
			var x [32]uint64
			if wide {
				x = *w.r64(from, m)
			} else {
				for i, v := range w.r32(from, m) {
					x[i] = uint64(v)
				}
			}
			for j, t := range to {
				r := w.set32(t, m)
				for i := range r {
					if m>>i&1 != 0 {
						r[i] = uint32(x[i] >> (8 * part * j) & mask)
					}
				}
			}
		}
	}
	part := c.width(in.last()) / len(s.parts)
	from := c.sources(class32, s)
	if c.width(in.last()) == 8 {
		to := c.dest64(0)
		return func(w *warp, m uint32) {
			var x [32]uint64
			for j, f := range from {
				for i, v := range w.r32(f, m) {
					x[i] |= uint64(v) << (8 * part * j)
				}
			}
			r := w.set64(to, m)
			for i := range r {
				if m>>i&1 != 0 {
					r[i] = x[i]
				}
			}
		}
	}
	to := c.dest32(0)
	return func(w *warp, m uint32) {
		var x [32]uint32
		for j, f := range from {
			for i, v := range w.r32(f, m) {
				x[i] |= v << (8 * part * j)
			}
		}
		r := w.set32(to, m)
		for i := range r {
			if m>>i&1 != 0 {
				r[i] = x[i]
			}
		}
	}
}

func cvta(c *compiler, in *instr) run {
	var add uint64
	for _, x := range in.op {
		switch x {
		case "shared", "shared::cta":
			add = sharedWindow
		case "local":
			add = localWindow
		}
	}
	if in.has("param") {
		add = 0 // parameters have addresses in their window already
	}
	if in.has("to") {
		add = -add
	}
	a := c.source64(1)
	return loop64(c.dest64(0), a, a, func(r, x, _ *[32]uint64) {
		for i := range r {
			r[i] = x[i] + add
		}
	})
}

// addressOf prepares the addresses of an access.
func (c *compiler) addressOf(o operand, s space) func(w *warp, m uint32, to *[32]uint64) {
	if o.kind != address {
		c.fail("an operand in brackets is missing")
	}
	base, offset := o.parts[0], uint64(o.offset)
	if base.kind == register && base.class == class32 {
		reg := base.reg
		return func(w *warp, m uint32, to *[32]uint64) {
			x := w.r32(reg, m)
			for i := range to {
				to[i] = uint64(x[i] + uint32(offset))
			}
		}
	}
	reg := c.source(class64, base)
	return func(w *warp, m uint32, to *[32]uint64) {
		x := w.r64(reg, m)
		for i := range to {
			to[i] = x[i] + offset
		}
	}
}

func ld(c *compiler, in *instr) run {
	s := c.space(in)
	typ := in.last()
	n := c.width(typ)
	dst := []operand{c.arg(0)}
	if dst[0].kind == vector {
		dst = dst[0].parts
	}
	at := c.addressOf(c.arg(1), s)
	to := make([]int, len(dst))
	wide := false
	for i, o := range dst {
		cl := class32
		if o.kind == register {
			cl = o.class
		} else if n == 8 {
			cl = class64
		}
		wide = cl == class64
		to[i] = c.dest(cl, o)
	}
	total := n * len(dst)
	signed := typ[0] == 's'
	fit := truncate(dst[0].width)
	if dst[0].kind != register {
		fit = truncate(8)
	}
	if n == 4 && !wide && (s == global || s == sharedSpace) {
		return loadWords(s, at, to)
	}
	return func(w *warp, m uint32) {
		var p [32]uint64
		at(w, m, &p)
		if n == 2 && (s == global || s == sharedSpace) && !wide && !signed && len(to) == 1 && inRow(&p, m, 2) {
			if b := w.loadRow(s, p[0], 2); b != nil {
				r := w.set32(to[0], m)
				for i := range r {
					r[i] = uint32(little.Uint16(b[2*i:]))
				}
				return
			}
		}
		for ; m != 0; m &= m - 1 {
			i := bits.TrailingZeros32(m) & 31
			b, undefined := w.load(s, p[i], total, i)
			if undefined != 0 {
				w.undefinedLoad(s, p[i], total, undefined, i)
			}
			for j, t := range to {
				var v uint64
				switch n {
				case 4:
					v = uint64(little.Uint32(b[4*j:]))
					if signed {
						v = uint64(int64(int32(v)))
					}
				case 8:
					v = little.Uint64(b[8*j:])
				case 2:
					v = uint64(little.Uint16(b[2*j:]))
					if signed {
						v = uint64(int64(int16(v)))
					}
				default:
					v = uint64(b[j])
					if signed {
						v = uint64(int64(int8(v)))
					}
				}
				if wide {
					w.q[t][i] = v
					w.defQ[t] |= 1 << i
				} else {
					w.r[t][i] = uint32(fit(v))
					w.defR[t] |= 1 << i
				}
			}
		}
	}
}

// loadWords is ld of registers of 32 bits.
func loadWords(s space, at func(w *warp, m uint32, to *[32]uint64), to []int) run {
	n := 4 * len(to)
	return func(w *warp, m uint32) {
		var p [32]uint64
		at(w, m, &p)
		for _, t := range to {
			w.defR[t] |= m
		}
		if inRow(&p, m, n) {
			if b := w.loadRow(s, p[0], n); b != nil {
				for j, t := range to {
					r := &w.r[t]
					for i := range r {
						r[i] = little.Uint32(b[n*i+4*j:])
					}
				}
				return
			}
		}
		for ; m != 0; m &= m - 1 {
			i := bits.TrailingZeros32(m) & 31
			var b []byte
			var undefined int
			if s == global {
				a, at := w.globalAt(p[i], n, i, "read")
				w.racesRead(a, at, n, i)
				b, undefined = a.data[at:at+n], missing(a.defined[at:at+n])
			} else {
				b, undefined = w.loadShared(p[i], n, i)
			}
			if undefined != 0 {
				w.undefinedLoad(s, p[i], n, undefined, i)
			}
			for j, t := range to {
				w.r[t][i] = little.Uint32(b[4*j:])
			}
		}
	}
}

func (w *warp) undefinedLoad(s space, p uint64, n, undefined, lane int) {
	s, p = w.find(s, p, lane)
	w.fail(lane, "read of %s memory that nobody wrote: %d of the %d bytes at %#x", s, undefined, n, p)
}

func st(c *compiler, in *instr) run {
	s := c.space(in)
	n := c.width(in.last())
	src := []operand{c.arg(1)}
	if src[0].kind == vector {
		src = src[0].parts
	}
	at := c.addressOf(c.arg(0), s)
	from := make([]int, len(src))
	wide := n == 8
	for i, o := range src {
		cl := class32
		if o.kind == register {
			cl = o.class
		} else if n == 8 {
			cl = class64
		}
		wide = cl == class64
		from[i] = c.source(cl, o)
	}
	total := n * len(src)
	value := func(w *warp, reg, lane int) uint64 {
		if wide {
			return w.q[reg][lane]
		}
		return uint64(w.r[reg][lane])
	}
	return func(w *warp, m uint32) {
		var p [32]uint64
		at(w, m, &p)
		for _, f := range from {
			if wide {
				w.r64(f, m)
			} else {
				w.r32(f, m)
			}
		}
		if (s == global || s == sharedSpace) && !wide && (n == 4 || n == 2 && len(from) == 1) && inRow(&p, m, total) {
			if b := w.storeRow(s, p[0], total); b != nil {
				for j, f := range from {
					x := &w.r[f]
					for i := range x {
						if n == 2 {
							little.PutUint16(b[2*i:], uint16(x[i]))
						} else {
							little.PutUint32(b[total*i+4*j:], x[i])
						}
					}
				}
				return
			}
		}
		if s != localSpace && clash(&p, m, uint64(total)) {
			w.clash(&p, m, func(lane int) (v [4]uint64) {
				for j, f := range from {
					v[j] = value(w, f, lane) & (^uint64(0) >> (64 - 8*n))
				}
				return v
			})
		}
		for ; m != 0; m &= m - 1 {
			i := bits.TrailingZeros32(m) & 31
			b := w.store(s, p[i], total, i)
			if n == 4 && !wide {
				for j, f := range from {
					little.PutUint32(b[4*j:], w.r[f][i])
				}
				continue
			}
			for j, f := range from {
				v := value(w, f, i)
				switch n {
				case 4:
					little.PutUint32(b[4*j:], uint32(v))
				case 8:
					little.PutUint64(b[8*j:], v)
				case 2:
					little.PutUint16(b[2*j:], uint16(v))
				default:
					b[j] = byte(v)
				}
			}
		}
	}
}

// clash says if lanes m may write the same bytes: false is certain.
func clash(p *[32]uint64, m uint32, n uint64) bool {
	if m&(m-1) == 0 {
		return false
	}
	if m == all { // mostly addresses that rise
		rise := true
		for i := range 31 {
			if p[i+1]-p[i]-n >= 1<<62 {
				rise = false
				break
			}
		}
		if rise {
			return false
		}
	}
	// A set of the addresses: 128 places, as stores are aligned.
	var seen [128]uint64
	for ; m != 0; m &= m - 1 {
		a := p[bits.TrailingZeros32(m)&31]
		h := a / n * 0x9e3779b97f4a7c15 >> 57
		for seen[h] != 0 {
			if seen[h] == a+1 {
				return true
			}
			h = (h + 1) & 127
		}
		seen[h] = a + 1
	}
	return false
}

// clash fails if lanes write different values to one address: nobody knows which of them stays.
func (w *warp) clash(p *[32]uint64, m uint32, value func(lane int) [4]uint64) {
	first := map[uint64]int{}
	for ; m != 0; m &= m - 1 {
		i := bits.TrailingZeros32(m)
		if j, ok := first[p[i]]; ok && value(i) != value(j) {
			w.fail(i, "race: lanes %d and %d write different values to %#x in one instruction", j, i, p[i])
		}
		first[p[i]] = i
	}
}
