package ptx

import "math/bits"

func init() {
	decode("cp.async.ca", cpAsync)
	decode("cp.async.cg", cpAsync)
	decode("cp.async.commit_group", commitGroup)
	decode("cp.async.wait_group", waitGroup)
	decode("cp.async.wait_all", waitAll)
}

// async is the copies of a warp's threads that are under way. Groups are counted by thread.
type async struct {
	list      []asyncCopy
	committed [32]int32
}

type asyncCopy struct {
	to    int // in shared memory
	n     int
	lane  int
	group int32 // how many groups the thread had committed before this one's
	data  [16]byte
}

// cp.async.{ca,cg}.shared.global{…} [dst], [src], size{, src-size}
func cpAsync(c *compiler, in *instr) run {
	to, from := c.addressOf(c.arg(0), sharedSpace), c.addressOf(c.arg(1), global)
	n := int(c.arg(2).bits)
	if n != 4 && n != 8 && n != 16 || in.op[2] == "cg" && n != 16 {
		c.fail("an asynchronous copy of %d bytes", n)
	}
	size := -1
	if len(in.args) > 3 {
		if o := c.arg(3); o.kind == register && o.class == classPred {
			c.fail("a predicate to ignore the source is unknown to the interpreter")
		}
		size = c.source32(3)
	}
	return func(w *warp, m uint32) {
		var p, q [32]uint64
		to(w, m, &p)
		from(w, m, &q)
		for l := m; l != 0; l &= l - 1 {
			i := bits.TrailingZeros32(l) & 31
			length := n
			if size >= 0 {
				length = int(w.r32(size, m)[i])
				if length > n {
					w.fail(i, "an asynchronous copy of %d bytes with %d of the source", n, length)
				}
			}
			copied := asyncCopy{n: n, lane: i, group: w.async.committed[i]}
			if q[i]%uint64(n) != 0 {
				w.fail(i, "asynchronous copy of %d bytes from %#x, which is not aligned to them", n, q[i])
			}
			for k, step := 0, n; k < length; k += step {
				for step > length-k {
					step /= 2
				}
				b, undefined := w.load(global, q[i]+uint64(k), step, i)
				if undefined != 0 {
					w.fail(i, "asynchronous copy of memory that nobody wrote, at %#x", q[i]+uint64(k))
				}
				copy(copied.data[k:], b)
			}
			at := w.sharedAt(p[i], n, i, "asynchronous copy")
			w.sharedWrite(at, n, i)
			copied.to = at
			s := &w.b.shared
			define(s.pending[at : at+n])
			s.copies++
			if !w.b.run.modes.Lazy {
				copy(s.data[at:at+n], copied.data[:n])
			}
			w.async.list = append(w.async.list, copied)
		}
	}
}

func commitGroup(c *compiler, in *instr) run {
	return func(w *warp, m uint32) {
		for ; m != 0; m &= m - 1 {
			w.async.committed[bits.TrailingZeros32(m)&31]++
		}
	}
}

func waitGroup(c *compiler, in *instr) run {
	n := int32(c.arg(0).bits)
	return func(w *warp, m uint32) {
		w.land(m, func(a *asyncCopy) bool { return a.group < w.async.committed[a.lane]-n })
	}
}

func waitAll(c *compiler, in *instr) run {
	return func(w *warp, m uint32) { w.land(m, func(*asyncCopy) bool { return true }) }
}

// land ends the copies of the lanes m for which over says so.
func (w *warp) land(m uint32, over func(a *asyncCopy) bool) {
	s := &w.b.shared
	rest := w.async.list[:0]
	for i := range w.async.list {
		a := &w.async.list[i]
		if m>>a.lane&1 == 0 || !over(a) {
			rest = append(rest, *a)
			continue
		}
		clear(s.pending[a.to : a.to+a.n])
		s.copies--
		copy(s.data[a.to:a.to+a.n], a.data[:a.n])
		w.sharedWrite(a.to, a.n, a.lane)
		define(s.defined[a.to : a.to+a.n])
	}
	w.async.list = rest
}
