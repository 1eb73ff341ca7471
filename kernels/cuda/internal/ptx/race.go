package ptx

import "sync/atomic"

// Races of the blocks of a launch in global memory. A word of 4 bytes remembers of its last write and its last read launch<<22 | block<<4 | bytes, where the
// block is 18 bits of its number and many is several.
const (
	manyBlocks  = 1<<18 - 1
	launchLimit = 1 << 10
)

func (a *allocation) shadows() {
	a.shadow.Do(func() {
		words := (len(a.data) + 3) / 4
		a.writer, a.reader = make([]uint32, words), make([]uint32, words)
	})
}

// nextLaunch begins the shadows of a launch.
func (m *memory) nextLaunch() {
	m.launches++
	if m.launches == launchLimit {
		m.launches = 1
		for _, a := range m.allocations {
			clear(a.writer)
			clear(a.reader)
		}
	}
}

func (w *warp) racesRead(a *allocation, at, n, lane int) { w.racesReads(a, at, n, lane, n) }

// racesReads is racesRead of lanes from the first on, of per bytes each.
func (w *warp) racesReads(a *allocation, at, n, first, per int) {
	l := w.b.run
	if !l.several {
		return
	}
	a.shadows()
	me := l.tag | uint32(w.b.number%manyBlocks)<<4
	for i := at / 4; 4*i < at+n; i++ {
		mask := uint32(15)
		if 4*i < at || 4*i+4 > at+n {
			mask = uint32(bytesOf(i, at, n))
		}
		if x := atomic.LoadUint32(&a.writer[i]); x>>22 == me>>22 && x>>4 != me>>4 && x&mask != 0 {
			w.fail(first+max(0, 4*i-at)/per, "race: read of global memory at %#x, which block %d of this launch wrote", a.base+uint64(4*i), x>>4&manyBlocks)
		}
		x := atomic.LoadUint32(&a.reader[i])
		if x == me|15 {
			continue
		}
		for {
			y := me | mask
			if x>>22 == me>>22 {
				switch common := x & mask; {
				case x>>4 == me>>4:
					y |= x & 15
				case x>>4&manyBlocks == manyBlocks:
					y = x
				case common != 0: // bytes that both have read: whoever writes them races with one of the two
					y = me&^15 | manyBlocks<<4 | common
				}
			}
			if x == y || atomic.CompareAndSwapUint32(&a.reader[i], x, y) {
				break
			}
			x = atomic.LoadUint32(&a.reader[i])
		}
	}
}

func (w *warp) racesWrite(a *allocation, at, n, lane int) { w.racesWrites(a, at, n, lane, n) }

// racesWrites is racesWrite of lanes from the first on, of per bytes each.
func (w *warp) racesWrites(a *allocation, at, n, first, per int) {
	l := w.b.run
	if !l.several {
		return
	}
	a.shadows()
	me := l.tag | uint32(w.b.number%manyBlocks)<<4
	for i := at / 4; 4*i < at+n; i++ {
		mask := uint32(15)
		if 4*i < at || 4*i+4 > at+n {
			mask = uint32(bytesOf(i, at, n))
		}
		if x := atomic.LoadUint32(&a.reader[i]); x>>22 == me>>22 && x>>4 != me>>4 && x&mask != 0 {
			w.fail(first+max(0, 4*i-at)/per, "race: write of global memory at %#x, which another block of this launch read", a.base+uint64(4*i))
		}
		x := atomic.LoadUint32(&a.writer[i])
		if x == me|15 {
			continue
		}
		for {
			y := me | mask
			if x>>22 == me>>22 {
				if x>>4 == me>>4 {
					y |= x & 15
				} else if x&mask != 0 {
					w.fail(first+max(0, 4*i-at)/per, "race: write of global memory at %#x, which block %d of this launch wrote", a.base+uint64(4*i), x>>4&manyBlocks)
				}
			}
			if x == y || atomic.CompareAndSwapUint32(&a.writer[i], x, y) {
				break
			}
			x = atomic.LoadUint32(&a.writer[i])
		}
	}
}

// racesAtomic notes an atomic change: blocks may change the same words by them, but what one of them writes otherwise races with that.
func (w *warp) racesAtomic(a *allocation, at, n, lane int) {
	l := w.b.run
	if !l.several {
		return
	}
	a.shadows()
	me := l.tag | uint32(w.b.number%manyBlocks)<<4
	for i := at / 4; 4*i < at+n; i++ {
		if x := atomic.LoadUint32(&a.writer[i]); x>>22 == me>>22 && x>>4 != me>>4 {
			w.fail(lane, "race: atomic change of global memory at %#x, which block %d of this launch wrote otherwise", a.base+uint64(4*i), x>>4&manyBlocks)
		}
		atomic.StoreUint32(&a.reader[i], l.tag|manyBlocks<<4|15)
	}
}
