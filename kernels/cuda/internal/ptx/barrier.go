package ptx

import "math/bits"

func init() {
	decode("bar.sync", barSync)
	decode("barrier.sync", barSync)
	decode("bar.arrive", barArrive)
	decode("barrier.arrive", barArrive)
	decode("bar.warp.sync", barWarp)
	decode("membar", nothing)
	decode("fence", nothing)
}

func nothing(c *compiler, in *instr) run { return func(w *warp, m uint32) {} }

// bar.warp.sync mask: the lanes of the mask wait for each other.
func barWarp(c *compiler, in *instr) run {
	mask := c.source32(0)
	return func(w *warp, m uint32) {
		lane := bits.TrailingZeros32(m)
		x := w.r32(mask, m)[lane]
		if x&m != m {
			w.fail(lane, "bar.warp.sync of lanes %#x reached by %#x", x, m)
		}
		if m != x&w.live() {
			w.signal = retry
			return
		}
		w.met++
	}
}

// barrier is one of a block's sixteen.
type barrier struct {
	arrived, expected int // warps
	clock             []uint64
	far               knowledge // of the cluster's other blocks
	waiting           []*warp
}

func (c *compiler) barrierOperands(in *instr) (id, count int) {
	count = -1
	id = c.source32(0)
	if len(in.args) > 1 {
		count = c.source32(1)
	}
	return id, count
}

func barSync(c *compiler, in *instr) run {
	id, count := c.barrierOperands(in)
	return func(w *warp, m uint32) { w.arrive(m, id, count, true) }
}

func barArrive(c *compiler, in *instr) run {
	id, count := c.barrierOperands(in)
	return func(w *warp, m uint32) { w.arrive(m, id, count, false) }
}

// arrive counts the warp at a barrier; if stay, it goes on when all that are expected have come.
func (w *warp) arrive(m uint32, idReg, countReg int, stay bool) {
	lane := bits.TrailingZeros32(m)
	if w.missing(m, w.live(), func() { w.fail(lane, "a barrier that only lanes %#x of the %#x alive reach", m, w.live()) }) {
		return
	}
	id := int(w.r32(idReg, m)[lane])
	expected := len(w.b.warps)
	if countReg >= 0 {
		n := int(w.r32(countReg, m)[lane])
		if n%32 != 0 || n == 0 || n > 32*len(w.b.warps) {
			w.fail(lane, "a barrier of %d threads in a block of %d: it must be a multiple of 32", n, 32*len(w.b.warps))
		}
		expected = n / 32
	}
	if id > 15 {
		w.fail(lane, "barrier %d: there are 16", id)
	}
	b := &w.b.barriers[id]
	if b.arrived > 0 && b.expected != expected {
		w.fail(lane, "barrier %d waits for %d warps, and for %d in another warp", id, expected, b.expected)
	}
	for _, o := range b.waiting {
		if o == w {
			w.fail(lane, "a warp that waits at barrier %d arrives there again", id)
		}
	}
	b.expected = expected
	b.arrived++
	if b.clock == nil {
		b.clock = make([]uint64, len(w.clock))
	}
	w.clock[w.id]++
	join(b.clock, w.clock)
	if len(w.b.cluster.blocks) > 1 {
		b.far.join(w.far())
	}
	if stay {
		b.waiting = append(b.waiting, w)
		w.waiting = true
		w.signal = wait
	}
	if b.arrived < expected {
		return
	}
	w.b.events++
	for _, o := range b.waiting {
		o.waiting = false
		join(o.clock, b.clock)
		o.learn(b.far, true)
	}
	*b = barrier{waiting: b.waiting[:0], clock: b.clock}
	clear(b.clock)
}

// join makes known to a what is known to b.
func join(a, b []uint64) {
	for i, x := range b {
		a[i] = max(a[i], x)
	}
}

func (c *cluster) deadlock(order []*warp) {
	for _, w := range order {
		if w.done {
			continue
		}
		ended := 0
		for _, o := range w.b.warps {
			if o.done {
				ended++
			}
		}
		if w.waiting && w.pc > 0 {
			w.pc-- // the barrier
			for id, b := range w.b.barriers {
				if b.arrived > 0 && ended > 0 {
					w.fail(-1, "deadlock: %d of %d warps came to barrier %d, and %d warps have ended", b.arrived, b.expected, id, ended)
				} else if b.arrived > 0 {
					w.fail(-1, "deadlock: %d of %d warps came to barrier %d", b.arrived, b.expected, id)
				}
			}
		}
		if what := w.b.waitsFor(); what != "" {
			w.fail(-1, "deadlock: %s", what)
		}
		w.fail(-1, "deadlock: the warp waits for something that does not happen")
	}
}
