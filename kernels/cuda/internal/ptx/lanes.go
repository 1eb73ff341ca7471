package ptx

import "math/bits"

func init() {
	decode("shfl.sync", shfl)
	decode("vote.sync", vote)
	decode("activemask", activemask)
	decode("match", match)
	decode("redux.sync", redux)
	decode("elect.sync", elect)
}

// members says whether the lanes that run are those that the mask names; if some of them are still to come, the instruction waits for them.
func (w *warp) members(reg int, m uint32) bool {
	x := w.r32(reg, m)
	for l := m; l != 0; l &= l - 1 {
		i := bits.TrailingZeros32(l) & 31
		why := func() { w.fail(i, "the mask names lanes %#x and lanes %#x are here", x[i], m) }
		if m&^x[i] != 0 {
			why()
		}
		if w.missing(m, x[i], why) {
			return false
		}
	}
	return true
}

// shfl.sync.mode.b32 d{|p}, a, b, c, membermask
func shfl(c *compiler, in *instr) run {
	mode := in.op[2]
	d, a, b, e, members := c.dest32(0), c.source32(1), c.source32(2), c.source32(3), c.source32(4)
	p := -1
	if o := c.arg(0).pair; o != nil && o.kind != sink {
		p = c.dest(classPred, *o)
	}
	return func(w *warp, m uint32) {
		if !w.members(members, m) {
			return
		}
		x, y, z := w.r[a], w.r32(b, m), w.r32(e, m)
		def := w.defR[a]
		w.r32(a, m)
		var inside uint32
		r := w.set32(d, m)
		for l := m; l != 0; l &= l - 1 {
			i := bits.TrailingZeros32(l) & 31
			clamp, segment := int(z[i]&31), int(z[i]>>8&31)
			hi := i&segment | clamp&^segment
			lo := i & segment
			n := int(y[i] & 31)
			j := 0
			ok := false
			switch mode {
			case "up":
				j = i - n
				ok = j >= hi
			case "down":
				j = i + n
				ok = j <= hi
			case "bfly":
				j = i ^ n
				ok = j <= hi
			case "idx":
				j = lo | n&^segment
				ok = j <= hi
			}
			if !ok {
				j = i
			} else {
				inside |= 1 << i
			}
			if m>>j&1 == 0 {
				w.fail(i, "shfl reads lane %d, which is not here", j)
			}
			if def>>j&1 == 0 {
				w.fail(i, "shfl reads lane %d, whose register has no value", j)
			}
			r[i] = x[j]
		}
		if p >= 0 {
			w.setPred(p, m, inside)
		}
	}
}

// vote.sync.mode d, {!}a, membermask
func vote(c *compiler, in *instr) run {
	a, members, negate := c.sourcePred(1), c.source32(2), c.arg(1).negate
	mode := in.op[2]
	d := 0
	if mode == "ballot" {
		d = c.dest32(0)
	} else {
		d = c.destPred(0)
	}
	return func(w *warp, m uint32) {
		if !w.members(members, m) {
			return
		}
		p := w.pred(a, m)
		if negate {
			p = ^p
		}
		p &= m
		yes := false
		switch mode {
		case "ballot":
			r := w.set32(d, m)
			for l := m; l != 0; l &= l - 1 {
				r[bits.TrailingZeros32(l)&31] = p
			}
			return
		case "all":
			yes = p == m
		case "any":
			yes = p != 0
		case "uni":
			yes = p == 0 || p == m
		}
		if yes {
			w.setPred(d, m, all)
		} else {
			w.setPred(d, m, 0)
		}
	}
}

func activemask(c *compiler, in *instr) run {
	d := c.dest32(0)
	return func(w *warp, m uint32) {
		r := w.set32(d, m)
		for l := m; l != 0; l &= l - 1 {
			r[bits.TrailingZeros32(l)&31] = m
		}
	}
}

// match.any.sync.b32 d, a, membermask
func match(c *compiler, in *instr) run {
	if in.op[1] != "any" || in.last() != "b32" {
		c.fail("the interpreter knows match.any.sync.b32 alone")
	}
	d, a, members := c.dest32(0), c.source32(1), c.source32(2)
	return func(w *warp, m uint32) {
		if !w.members(members, m) {
			return
		}
		x := *w.r32(a, m)
		r := w.set32(d, m)
		for l := m; l != 0; l &= l - 1 {
			i := bits.TrailingZeros32(l) & 31
			r[i] = 0
			for k := m; k != 0; k &= k - 1 {
				if j := bits.TrailingZeros32(k) & 31; x[j] == x[i] {
					r[i] |= 1 << j
				}
			}
		}
	}
}

// redux.sync.op.type d, a, membermask
func redux(c *compiler, in *instr) run {
	d, a, members := c.dest32(0), c.source32(1), c.source32(2)
	f := c.combine(in.op[2], in.last())
	return func(w *warp, m uint32) {
		if !w.members(members, m) {
			return
		}
		x := w.r32(a, m)
		total := uint64(x[bits.TrailingZeros32(m)&31])
		for l := m & (m - 1); l != 0; l &= l - 1 {
			total = f(total, uint64(x[bits.TrailingZeros32(l)&31]))
		}
		r := w.set32(d, m)
		for l := m; l != 0; l &= l - 1 {
			r[bits.TrailingZeros32(l)&31] = uint32(total)
		}
	}
}

// elect.sync d|p, membermask: the first lane.
func elect(c *compiler, in *instr) run {
	members := c.source32(1)
	d := c.dest32(0)
	p := c.dest(classPred, *c.arg(0).pair)
	return func(w *warp, m uint32) {
		if !w.members(members, m) {
			return
		}
		first := bits.TrailingZeros32(m)
		r := w.set32(d, m)
		for l := m; l != 0; l &= l - 1 {
			r[bits.TrailingZeros32(l)&31] = uint32(first)
		}
		w.setPred(p, m, 1<<first)
	}
}
