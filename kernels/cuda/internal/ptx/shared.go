package ptx

// shared is the shared memory of a block.
type shared struct {
	data    []byte
	defined []byte
	pending []byte // 1 for bytes to which an asynchronous copy is under way
	copies  int    // how many are under way
	warps   int
	// By words of 4 bytes: the clock of the last write, its warp and which bytes; by word and warp the clock of the last read, and which bytes.
	writer []uint64
	reader []uint64
	lane   []uint64 // by words: the epoch of the last write among the lanes of its warp<<6, and its lane, or 63 for several; see race of lanes
}

func (s *shared) make(bytes, warps int) {
	words := (bytes + 3) / 4
	*s = shared{data: make([]byte, bytes), defined: make([]byte, bytes), pending: make([]byte, bytes), warps: warps, lane: make([]uint64, words), writer: make([]uint64, words), reader: make([]uint64, words*warps)}
}

// reset makes the memory that of a new block. What earlier blocks did with it is over for every warp's clock.
func (s *shared) reset() {
	clear(s.defined)
	clear(s.pending)
	s.copies = 0
}

func (w *warp) sharedAt(p uint64, n, lane int, what string) int {
	s := &w.b.shared
	if p+uint64(n) > uint64(len(s.data)) || p > uint64(len(s.data)) {
		w.fail(lane, "%s of %d bytes at %d of %d bytes of shared memory", what, n, p, len(s.data))
	}
	if p&uint64(n-1) != 0 {
		w.fail(lane, "%s of %d bytes at %d of shared memory, which is not aligned to them", what, n, p)
	}
	if s.copies == 0 {
		return int(p)
	}
	for _, x := range s.pending[p : p+uint64(n)] {
		if x != 0 {
			w.fail(lane, "%s of shared memory at %d to which an asynchronous copy is under way: nobody waited for it", what, p)
		}
	}
	return int(p)
}

func (w *warp) loadShared(p uint64, n, lane int) ([]byte, int) {
	at := w.sharedAt(p, n, lane, "read")
	w.sharedRead(at, n, lane)
	s := &w.b.shared
	return s.data[at : at+n], missing(s.defined[at : at+n])
}

func (w *warp) storeShared(p uint64, n, lane int) []byte {
	at := w.sharedAt(p, n, lane, "write")
	w.sharedWrite(at, n, lane)
	s := &w.b.shared
	define(s.defined[at : at+n])
	return s.data[at : at+n]
}

// bytesOf is which bytes of word i an access of n bytes at is.
func bytesOf(i, at, n int) uint64 {
	lo, hi := max(at-4*i, 0), min(at+n-4*i, 4)
	return 1<<hi - 1<<lo
}

// A word's last write is clock<<10 | warp<<4 | bytes. It came before what warp w does now if w knows that the writer's clock has passed it: by a barrier
// where both were.

// The lanes of a warp run when they like, too, since compute capability 7.0: what one has written another may read after bar.warp.sync or a barrier. A shuffle
// does not order memory.

// epoch counts what the lanes of a warp wait for each other at.
func (w *warp) epoch() uint64 { return w.clock[w.id]<<16 | uint64(w.met) }

const lanes = 63 // several

// laneOf is the lane that word i belongs to, in an access of lanes from the first on, of per bytes each, at an address.
func laneOf(i, at, first, per int) uint64 {
	if per < 4 {
		return lanes
	}
	return uint64(first + max(0, 4*i-at)/per)
}

func (w *warp) sharedRead(at, n, lane int) { w.sharedReads(at, n, lane, n) }

// sharedReads is sharedRead of lanes from the first on, of per bytes each.
func (w *warp) sharedReads(at, n, first, per int) {
	s, epoch := &w.b.shared, w.epoch()
	for i := at / 4; 4*i < at+n; i++ {
		mask := uint64(15)
		if 4*i < at || 4*i+4 > at+n {
			mask = bytesOf(i, at, n)
		}
		if x := s.writer[i]; x != 0 {
			if by := int(x >> 4 & 63); by != w.id && x&mask != 0 && w.clock[by] <= x>>10 {
				w.fail(first+max(0, 4*i-at)/per, "race: read of shared memory at %d, which warp %d wrote with no barrier in between", 4*i, by)
			} else if by == w.id && x&mask != 0 && s.lane[i]>>6 == epoch {
				if wrote, reads := s.lane[i]&lanes, laneOf(i, at, first, per); wrote != reads && wrote != lanes && reads != lanes {
					w.fail(int(reads), "race: read of shared memory at %d, which lane %d of the warp wrote with no bar.warp.sync in between", 4*i, wrote)
				}
			}
		}
		r := &s.reader[i*s.warps+w.id]
		if *r>>4 == w.clock[w.id] {
			*r |= mask
		} else {
			*r = w.clock[w.id]<<4 | mask
		}
	}
}

func (w *warp) sharedWrite(at, n, lane int) { w.sharedWrites(at, n, lane, n) }

// sharedWrites is sharedWrite of lanes from the first on, of per bytes each.
func (w *warp) sharedWrites(at, n, first, per int) {
	s, epoch := &w.b.shared, w.epoch()
	for i := at / 4; 4*i < at+n; i++ {
		mask := uint64(15)
		if 4*i < at || 4*i+4 > at+n {
			mask = bytesOf(i, at, n)
		}
		x := s.writer[i]
		if x != 0 {
			if by := int(x >> 4 & 63); by != w.id && x&mask != 0 && w.clock[by] <= x>>10 {
				w.fail(first+max(0, 4*i-at)/per, "race: write of shared memory at %d, which warp %d wrote with no barrier in between", 4*i, by)
			}
		}
		for by, r := range s.reader[i*s.warps : (i+1)*s.warps] {
			if r&mask != 0 && by != w.id && w.clock[by] <= r>>4 {
				w.fail(first+max(0, 4*i-at)/per, "race: write of shared memory at %d, which warp %d read with no barrier in between", 4*i, by)
			}
		}
		lane := laneOf(i, at, first, per)
		if x>>4 == w.clock[w.id]<<6|uint64(w.id) {
			if mask != 15 && s.lane[i] != epoch<<6|lane { // of the other bytes another may be the writer
				lane = lanes
			}
			mask |= x & 15
		}
		s.lane[i] = epoch<<6 | lane
		s.writer[i] = w.clock[w.id]<<10 | uint64(w.id)<<4 | mask
	}
}
