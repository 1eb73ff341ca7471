package ptx

import "math/bits"

func init() {
	decode("mapa", mapa)
	decode("barrier.cluster.arrive", clusterArrive)
	decode("barrier.cluster.wait", clusterWait)
	for name, value := range map[string]func(w *warp, lane int) uint32{
		"%cluster_ctarank":  func(w *warp, _ int) uint32 { return uint32(w.b.rank) },
		"%cluster_nctarank": func(w *warp, _ int) uint32 { return uint32(len(w.b.cluster.blocks)) },
		"%clusterid.x":      func(w *warp, _ int) uint32 { return uint32(w.b.index[0] / w.b.run.cluster[0]) },
		"%nclusterid.x":     func(w *warp, _ int) uint32 { return uint32(w.b.run.grid[0] / w.b.run.cluster[0]) },
	} {
		specialRegisters[name] = value
	}
}

// knowledge is, by block of the cluster and warp, what of the warps' lives is known to be over: the clocks of a warp and of those it heard of.
type knowledge [][]uint64

func (k *knowledge) join(o knowledge) {
	for len(*k) < len(o) {
		*k = append(*k, nil)
	}
	for r, clock := range o {
		if (*k)[r] == nil {
			(*k)[r] = append([]uint64(nil), clock...)
		} else {
			join((*k)[r], clock)
		}
	}
}

// far is what the warp knows of the warps of the cluster's other blocks; at their start that what blocks before them did is over.
func (w *warp) far() knowledge {
	if w.more == nil {
		w.more = map[string]any{}
	}
	k, ok := w.more["far"].(knowledge)
	if !ok {
		for _, b := range w.b.cluster.blocks {
			clock := make([]uint64, len(b.warps)+1)
			for i := range clock {
				clock[i] = b.began
			}
			k = append(k, clock)
		}
		w.more["far"] = k
	}
	return k
}

// knows is the clocks of a block's warps that the warp knows of.
func (w *warp) knows(b *block) []uint64 {
	if b == w.b {
		return w.clock
	}
	return w.far()[b.rank]
}

// publish ends an epoch of the warp and adds what it knows to k.
func (w *warp) publish(k *knowledge) {
	w.clock[w.id]++
	if len(w.b.cluster.blocks) == 1 {
		k.join(knowledge{w.clock})
		return
	}
	own := w.far()
	own[w.b.rank] = w.clock
	k.join(own)
}

// learn adds k to what the warp knows; without cluster only of its own block.
func (w *warp) learn(k knowledge, cluster bool) {
	if w.b.rank < len(k) && k[w.b.rank] != nil {
		join(w.clock, k[w.b.rank])
	}
	if cluster && len(w.b.cluster.blocks) > 1 {
		far := w.far()
		for r, clock := range k {
			if r != w.b.rank && clock != nil {
				join(far[r], clock)
			}
		}
	}
}

// Addresses of .shared::cluster have 32 bits: those of the own block are those of .shared::cta, those of block r begin at (r+1)·sharedSpan.

// blockAt is the block of such an address, and the address there.
func (w *warp) blockAt(p uint64, lane int) (*block, uint64) {
	r := int(p / sharedSpan)
	if r == 0 {
		return w.b, p
	}
	if r > len(w.b.cluster.blocks) {
		w.fail(lane, "address %#x is in no block of the cluster", p)
	}
	return w.b.cluster.blocks[r-1], p % sharedSpan
}

// alive fails if a block that another one of the cluster turns to has ended: its shared memory may be another's.
func (w *warp) alive(b *block, lane int) {
	if b == w.b {
		return
	}
	for _, o := range b.warps {
		if !o.done {
			return
		}
	}
	w.fail(lane, "block %d of the cluster has ended, and its shared memory with it", b.rank)
}

// mapa.shared::cluster.u32 d, a, block
func mapa(c *compiler, in *instr) run {
	if !in.has("shared::cluster") || in.last() != "u32" {
		c.fail("this mapa is unknown to the interpreter")
	}
	to, from, rank := c.dest32(0), c.source32(1), c.source32(2)
	return func(w *warp, m uint32) {
		a, r := w.r32(from, m), w.r32(rank, m)
		d := w.set32(to, m)
		for ; m != 0; m &= m - 1 {
			i := bits.TrailingZeros32(m) & 31
			if int(r[i]) >= len(w.b.cluster.blocks) {
				w.fail(i, "mapa to block %d of a cluster of %d", r[i], len(w.b.cluster.blocks))
			}
			d[i] = a[i]%uint32(sharedSpan) + (r[i]+1)*uint32(sharedSpan)
		}
	}
}

// clusterBarrier is the barrier of a cluster, which all its threads arrive at and wait for.
type clusterBarrier struct {
	arrived   int // lanes
	phase     int
	now, over knowledge
	lanes     map[*warp]*[32]int // phases that the lanes arrived at, plus 1
}

func (c *cluster) barrier() *clusterBarrier {
	b := c.blocks[0]
	b.mbarriers()
	k, ok := b.more["cluster barrier"].(*clusterBarrier)
	if !ok {
		k = &clusterBarrier{lanes: map[*warp]*[32]int{}}
		b.more["cluster barrier"] = k
	}
	return k
}

func clusterArrive(c *compiler, in *instr) run {
	release := !in.has("relaxed")
	aligned := in.has("aligned")
	return func(w *warp, m uint32) {
		if aligned && m != w.live() {
			w.fail(bits.TrailingZeros32(m), "barrier.cluster.arrive.aligned that only lanes %#x of the %#x alive reach", m, w.live())
		}
		k := w.b.cluster.barrier()
		lanes := k.lanes[w]
		if lanes == nil {
			lanes = &[32]int{}
			k.lanes[w] = lanes
		}
		for l := m; l != 0; l &= l - 1 {
			i := bits.TrailingZeros32(l)
			if lanes[i] == k.phase+1 {
				w.fail(i, "a second arrival at the cluster's barrier before the first was waited for")
			}
			lanes[i] = k.phase + 1
			k.arrived++
		}
		if release {
			w.publish(&k.now)
		}
		w.b.events++
		total := 0
		for _, b := range w.b.cluster.blocks {
			total += b.threads[0] * b.threads[1] * b.threads[2]
		}
		if k.arrived == total {
			k.phase++
			k.arrived = 0
			k.over.join(k.now)
			k.now = nil
		}
	}
}

func clusterWait(c *compiler, in *instr) run {
	return func(w *warp, m uint32) {
		k := w.b.cluster.barrier()
		lanes := k.lanes[w]
		for l := m; l != 0; l &= l - 1 {
			i := bits.TrailingZeros32(l)
			if lanes == nil || lanes[i] == 0 {
				w.fail(i, "barrier.cluster.wait of a thread that has not arrived")
			}
			if lanes[i] > k.phase {
				w.signal = retry
				return
			}
		}
		w.learn(k.over, true)
	}
}
