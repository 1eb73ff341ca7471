package ptx

import (
	"fmt"
	"math/bits"
	"slices"
	"strings"
)

func init() {
	decode("mbarrier.init", mbarrierInit)
	decode("mbarrier.inval", mbarrierInval)
	decode("mbarrier.arrive", mbarrierArrive)
	decode("mbarrier.arrive.expect_tx", mbarrierArrive)
	decode("mbarrier.expect_tx", mbarrierExpect)
	decode("mbarrier.test_wait", mbarrierWait)
	decode("mbarrier.try_wait", mbarrierWait)
	decode("fence.mbarrier_init", fenceInit)
	decode("fence.proxy", fenceProxy)
	decode("setmaxnreg", setmaxnreg)
	decode("griddepcontrol", nothing)
}

// mbarrier is a barrier object in shared memory (PTX ISA, "Parallel synchronization: mbarrier"): its phase ends when no arrivals and no bytes are pending.
type mbarrier struct {
	at             uint64 // in the block's shared memory
	count, pending int    // arrivals
	tx             int    // bytes expected and not come; less than 0 while they come before they are expected
	phase          int
	by             *warp // that initialised it
	fenced         bool  // the initialisation is visible to the asynchronous proxy
	now, over      knowledge
	landing        []*tmaCopy // copies under way, whose bytes it waits for
	asked          []*warp    // that waited in vain
}

// The bytes a phase can wait for (PTX ISA, "Valid range of tx-count").
const mbarrierBytes = 1<<20 - 1

func (b *block) mbarriers() map[uint64]*mbarrier {
	if b.more == nil {
		b.more = map[string]any{}
	}
	m, ok := b.more["mbarriers"].(map[uint64]*mbarrier)
	if !ok {
		m = map[uint64]*mbarrier{}
		b.more["mbarriers"] = m
	}
	return m
}

// mbarrier is the barrier at an address of the block's shared memory.
func (w *warp) mbarrier(b *block, p uint64, lane int) *mbarrier {
	m := b.mbarriers()[p]
	if m == nil {
		w.fail(lane, "there is no mbarrier at %d of shared memory: nothing initialised it", p)
	}
	return m
}

// advance ends the phase if nothing is missing.
func (m *mbarrier) advance(w *warp, lane int) {
	if m.pending == 0 && m.tx < 0 {
		w.fail(lane, "mbarrier at %d: %d bytes more came than its phase %d expects", m.at, -m.tx, m.phase)
	}
	if m.pending != 0 || m.tx != 0 {
		return
	}
	m.phase++
	m.pending = m.count
	m.over.join(m.now)
	m.now = nil
	for _, o := range m.asked {
		o.b.events++
	}
	m.asked = m.asked[:0]
}

func (m *mbarrier) arrive(w *warp, lane int) {
	if m.pending == 0 {
		w.fail(lane, "mbarrier at %d: an arrival more than the %d of its phase %d", m.at, m.count, m.phase)
	}
	w.publish(&m.now)
	m.pending--
	w.b.events++
	m.advance(w, lane)
}

func (m *mbarrier) expect(w *warp, bytes, lane int) {
	m.tx += bytes
	if bytes < 0 || m.tx > mbarrierBytes {
		w.fail(lane, "mbarrier at %d: %d bytes expected, at most %d can be", m.at, m.tx, mbarrierBytes)
	}
}

// complete is the arrival of bytes.
func (m *mbarrier) complete(w *warp, bytes, lane int) {
	m.tx -= bytes
	if m.tx < -mbarrierBytes {
		w.fail(lane, "mbarrier at %d: %d bytes came that nobody expects", m.at, -m.tx)
	}
	w.b.events++
	m.advance(w, lane)
}

// describe is for reports of deadlocks.
func (m *mbarrier) describe() string {
	s := fmt.Sprintf("mbarrier at %d in phase %d: %d of %d arrivals and %d bytes are missing", m.at, m.phase, m.pending, m.count, m.tx)
	if len(m.landing) > 0 {
		s += fmt.Sprintf(", %d copies are under way", len(m.landing))
	}
	return s
}

// waitsFor describes the barriers that a block's warps wait for in vain.
func (b *block) waitsFor() string {
	var s []string
	for _, m := range b.mbarriers() {
		if len(m.asked) > 0 {
			ids := []int{}
			for _, w := range m.asked {
				if w.b == b && !slices.Contains(ids, w.id) {
					ids = append(ids, w.id)
				}
			}
			slices.Sort(ids)
			s = append(s, fmt.Sprintf("%s; warps %v wait for it", m.describe(), ids))
		}
	}
	slices.Sort(s)
	return strings.Join(s, "\n\t")
}

func mbarrierInit(c *compiler, in *instr) run {
	at, count := c.addressOf(c.arg(0), sharedSpace), c.source32(1)
	return func(w *warp, m uint32) {
		var p [32]uint64
		at(w, m, &p)
		n := w.r32(count, m)
		for ; m != 0; m &= m - 1 {
			i := bits.TrailingZeros32(m) & 31
			w.storeShared(p[i], 8, i)
			if n[i] == 0 || n[i] > mbarrierBytes {
				w.fail(i, "an mbarrier of %d arrivals", n[i])
			}
			w.b.mbarriers()[p[i]] = &mbarrier{at: p[i], count: int(n[i]), pending: int(n[i]), by: w}
		}
	}
}

func mbarrierInval(c *compiler, in *instr) run {
	at := c.addressOf(c.arg(0), sharedSpace)
	return func(w *warp, m uint32) {
		var p [32]uint64
		at(w, m, &p)
		for ; m != 0; m &= m - 1 {
			i := bits.TrailingZeros32(m) & 31
			w.mbarrier(w.b, p[i], i)
			delete(w.b.mbarriers(), p[i])
		}
	}
}

// mbarrier.arrive{.expect_tx}{.release}{.cta|.cluster}{.shared::cta|.shared::cluster}.b64 state|_, [p]{, count|bytes}
func mbarrierArrive(c *compiler, in *instr) run {
	if in.last() != "b64" || in.has("noComplete") || in.has("relaxed") {
		c.fail("this mbarrier.arrive is unknown to the interpreter")
	}
	if c.arg(0).kind != sink {
		c.fail("the state that mbarrier.arrive returns is unknown to the interpreter: wait by parity")
	}
	far := in.has("shared::cluster")
	at := c.addressOf(c.arg(1), sharedSpace)
	value := -1
	if len(in.args) > 2 {
		value = c.source32(2)
	}
	expects := in.op[2] == "expect_tx"
	return func(w *warp, m uint32) {
		var p [32]uint64
		at(w, m, &p)
		for ; m != 0; m &= m - 1 {
			i := bits.TrailingZeros32(m) & 31
			b, q := w.b, p[i]
			if far {
				b, q = w.blockAt(q, i)
				w.alive(b, i)
			}
			o := w.mbarrier(b, q, i)
			n := 1
			if value >= 0 {
				n = int(w.r32(value, 1<<i)[i])
			}
			if expects {
				o.expect(w, n, i)
				n = 1
			}
			for range n {
				o.arrive(w, i)
			}
		}
	}
}

func mbarrierExpect(c *compiler, in *instr) run {
	at, bytes := c.addressOf(c.arg(0), sharedSpace), c.source32(1)
	return func(w *warp, m uint32) {
		var p [32]uint64
		at(w, m, &p)
		n := w.r32(bytes, m)
		for ; m != 0; m &= m - 1 {
			i := bits.TrailingZeros32(m) & 31
			w.mbarrier(w.b, p[i], i).expect(w, int(n[i]), i)
		}
	}
}

// mbarrier.{try,test}_wait.parity: true when the phase of that parity is over, which is when the current one has the other. Where copies are lazy, those
// that the barrier waits for land now.
//
// What other blocks did is known after a wait of any scope: they copy here and multiply, which is not for .release and .acquire to order. Their loads and stores
// here, which would need .cluster, are unknown to the interpreter.
func mbarrierWait(c *compiler, in *instr) run {
	if !in.has("parity") {
		c.fail("mbarrier waits by state are unknown to the interpreter: wait by parity")
	}
	to, at, parity := c.destPred(0), c.addressOf(c.arg(1), sharedSpace), c.source32(2)
	return func(w *warp, m uint32) {
		var p [32]uint64
		at(w, m, &p)
		want := w.r32(parity, m)
		var over uint32
		for l := m; l != 0; l &= l - 1 {
			i := bits.TrailingZeros32(l) & 31
			o := w.mbarrier(w.b, p[i], i)
			if want[i] > 1 {
				w.fail(i, "a parity of %d", want[i])
			}
			if o.phase&1 == int(want[i]) {
				o.land(w, i)
			}
			if o.phase&1 != int(want[i]) {
				over |= 1 << i
				w.learn(o.over, true)
			} else if !slices.Contains(o.asked, w) {
				o.asked = append(o.asked, w)
			}
		}
		w.setPred(to, m, over)
		if over != m {
			w.signal = yield
		}
	}
}

// land ends the copies that the barrier waits for.
func (m *mbarrier) land(w *warp, lane int) {
	for len(m.landing) > 0 {
		c := m.landing[0]
		m.landing = m.landing[1:]
		c.land(w, m, lane)
	}
}

// fence.mbarrier_init.release.cluster makes initialisations visible to the asynchronous proxy and the cluster.
func fenceInit(c *compiler, in *instr) run {
	return func(w *warp, m uint32) { w.fenceBarriers() }
}

func (w *warp) fenceBarriers() {
	for _, o := range w.b.mbarriers() {
		if o.by == w {
			o.fenced = true
		}
	}
}

// fence.proxy.async{.shared::cta|…}: what the warp has written, and what it knows that others have, is visible to the asynchronous proxy from now on.
func fenceProxy(c *compiler, in *instr) run {
	if in.op[2] != "async" {
		return nothing(c, in)
	}
	return func(w *warp, m uint32) {
		w.clock[w.id]++
		w.fenceBarriers()
		f := w.fences()
		f.join(w.clock)
		w.b.fences().set(w.id, w.clock[w.id])
	}
}

// fences is how much of the life of each warp is visible to the asynchronous proxy: of a block by the warps' own fences, of a warp by its own after it knew.
type fences []uint64

func (f fences) join(clock []uint64) { join(f, clock) }

func (f fences) set(id int, clock uint64) { f[id] = max(f[id], clock) }

func (w *warp) fences() fences {
	if w.more == nil {
		w.more = map[string]any{}
	}
	f, ok := w.more["fences"].(fences)
	if !ok {
		f = make(fences, len(w.clock))
		w.more["fences"] = f
	}
	return f
}

func (b *block) fences() fences {
	b.mbarriers()
	f, ok := b.more["fences"].(fences)
	if !ok {
		f = make(fences, len(b.warps)+1)
		b.more["fences"] = f
	}
	return f
}

// proxied fails if a word's last write, x of shared.writer, is of the generic proxy and not visible to the asynchronous one, by which w's instruction goes.
func (w *warp) proxied(b *block, x uint64, what string, at, lane int) {
	by := int(x >> 4 & 63)
	if x == 0 || by >= len(b.warps) || x>>10 < b.began {
		return
	}
	if b.fences()[by] > x>>10 || b == w.b && w.fences()[by] > x>>10 {
		return
	}
	w.fail(lane, "%s of shared memory at %d, which warp %d wrote with no fence.proxy.async in between", what, at, by)
}

// setmaxnreg: registers are not counted here, but the sum of those of the warps must fit what the block was launched with: 65536 of them, as ptxas shares them out.
func setmaxnreg(c *compiler, in *instr) run {
	n := int(c.arg(0).bits)
	if n < 24 || n > 256 || n%8 != 0 {
		c.fail("setmaxnreg to %d: it must be a multiple of 8 from 24 to 256", n)
	}
	return func(w *warp, m uint32) {
		w.whole(m)
		b := w.b
		b.mbarriers()
		counts, _ := b.more["registers"].(map[int]int)
		if counts == nil {
			counts = map[int]int{}
			b.more["registers"] = counts
		}
		counts[w.id] = n
		at := min(65536/(32*len(b.warps))/8*8, 255/8*8) // what a launch that fills the multiprocessor has
		sum := 0
		for _, o := range b.warps {
			if k, ok := counts[o.id]; ok {
				sum += k
			} else {
				sum += 24
			}
		}
		if sum > at*len(b.warps) {
			w.fail(-1, "setmaxnreg: warps ask for %d registers a thread on average, the block was launched with %d", sum/len(b.warps), at)
		}
	}
}
