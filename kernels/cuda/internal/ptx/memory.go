package ptx

import (
	"fmt"
	"sort"
	"sync"
)

// Addresses. Generic ones tell the spaces by windows; .shared and .local have addresses from 0.
const (
	globalBase   = uint64(0x7000_0000_0000)
	redZone      = 4096
	localWindow  = uint64(0x1_0000_0000_0000)
	paramWindow  = uint64(0x2_0000_0000_0000)
	sharedWindow = uint64(0x4_0000_0000_0000) // of a block's own memory; the cluster's blocks follow at multiples of sharedSpan
	sharedSpan   = uint64(0x0100_0000)
)

// allocation is a piece of global memory.
type allocation struct {
	base    uint64
	data    []byte
	defined []byte // 1 for bytes that have a value
	freed   bool
	// By words of 4 bytes: which block wrote and which read it last in which launch; see race.
	writer, reader []uint32
	shadow         sync.Once
}

// memory is the global memory of a device.
type memory struct {
	allocations []*allocation // by address
	next        uint64
	used        int64
	launches    uint32
	atomics     sync.Mutex
}

func (m *memory) alloc(bytes int) *allocation {
	if m.next == 0 {
		m.next = globalBase
	}
	a := &allocation{base: m.next, data: make([]byte, bytes), defined: make([]byte, bytes)}
	m.allocations = append(m.allocations, a)
	m.next += uint64(roundUp(bytes, 256) + redZone)
	m.used += int64(bytes)
	return a
}

func (m *memory) free(p uint64) error {
	a := m.find(p)
	switch {
	case a == nil || a.base != p:
		return fmt.Errorf("free of %#x, which is no allocation", p)
	case a.freed:
		return fmt.Errorf("second free of %#x", p)
	}
	a.freed = true
	m.used -= int64(len(a.data))
	a.data, a.defined, a.writer, a.reader = a.data[:0:0], nil, nil, nil
	return nil
}

// find is the last allocation that begins at or before p.
func (m *memory) find(p uint64) *allocation {
	i := sort.Search(len(m.allocations), func(i int) bool { return m.allocations[i].base > p })
	if i == 0 {
		return nil
	}
	return m.allocations[i-1]
}

// describe says where an address is that is not n bytes of an allocation.
func (m *memory) describe(p uint64, n int) string {
	a := m.find(p)
	switch {
	case a == nil:
		return fmt.Sprintf("%d bytes at %#x, which is no memory of the device", n, p)
	case a.freed:
		return fmt.Sprintf("%d bytes at %#x, %d bytes into memory that was freed", n, p, p-a.base)
	}
	return fmt.Sprintf("%d bytes at %#x, which is byte %d of an allocation of %d", n, p, p-a.base, len(a.data))
}

// bytes is memory that the host asked for.
func (m *memory) bytes(p uint64, n int) (*allocation, int, error) {
	a := m.find(p)
	if a == nil || a.freed || p-a.base+uint64(n) > uint64(len(a.data)) {
		return nil, 0, fmt.Errorf("a copy of %s", m.describe(p, n))
	}
	return a, int(p - a.base), nil
}

// space is what an access names.
type space uint8

const (
	generic space = iota
	global
	sharedSpace
	localSpace
	paramSpace
)

func (s space) String() string {
	return [...]string{"generic", "global", "shared", "local", "parameter"}[s]
}

func (c *compiler) space(in *instr) space {
	for _, x := range in.op[1:] {
		switch x {
		case "global", "const":
			return global
		case "shared", "shared::cta":
			return sharedSpace
		case "shared::cluster":
			return generic
		case "local":
			return localSpace
		case "param":
			return paramSpace
		}
	}
	return generic
}

// find is the space and offset of an address: of shared memory the offset in the block's, of local memory that of the thread.
func (w *warp) find(s space, p uint64, lane int) (space, uint64) {
	if s != generic {
		if s == paramSpace {
			p -= paramWindow
		}
		return s, p
	}
	switch {
	case p >= sharedWindow:
		return sharedSpace, p - sharedWindow
	case p >= paramWindow:
		return paramSpace, p - paramWindow
	case p >= localWindow:
		return localSpace, p - localWindow
	}
	return global, p
}

// globalAt is n bytes of global memory.
func (w *warp) globalAt(p uint64, n, lane int, what string) (*allocation, int) {
	a := w.last
	if a == nil || p < a.base || p-a.base+uint64(n) > uint64(len(a.data)) {
		a = w.b.run.memory.find(p)
		if a == nil || a.freed || p-a.base+uint64(n) > uint64(len(a.data)) {
			w.fail(lane, "%s of %s", what, w.b.run.memory.describe(p, n))
		}
		w.last = a
	}
	if p&uint64(n-1) != 0 {
		w.fail(lane, "%s of %d bytes at %#x, which is not aligned to them", what, n, p)
	}
	return a, int(p - a.base)
}

// load is n bytes that a lane reads, n a power of two, and the part of them that nobody wrote (0: all are defined).
func (w *warp) load(s space, p uint64, n, lane int) (data []byte, undefined int) {
	s, p = w.find(s, p, lane)
	switch s {
	case global:
		a, at := w.globalAt(p, n, lane, "read")
		w.racesRead(a, at, n, lane)
		return a.data[at : at+n], missing(a.defined[at : at+n])
	case sharedSpace:
		return w.loadShared(p, n, lane)
	case localSpace:
		at := w.localAt(p, n, lane, "read")
		return w.local[at : at+n], missing(w.localDef[at : at+n])
	}
	if p+uint64(n) > uint64(len(w.b.run.params)) || p%uint64(n) != 0 {
		w.fail(lane, "read of %d bytes at %d of %d bytes of parameters", n, p, len(w.b.run.params))
	}
	return w.b.run.params[p : p+uint64(n)], 0
}

// inRow says if all lanes are here and access n bytes each one behind the other, the first aligned.
func inRow(p *[32]uint64, m uint32, n int) bool {
	if m != all || p[0]&uint64(n-1) != 0 || p[31]-p[0] != uint64(31*n) {
		return false
	}
	for i := range 31 {
		if p[i+1]-p[i] != uint64(n) {
			return false
		}
	}
	return true
}

// loadRow is what lanes read that are inRow in global or shared memory; nil if the lanes have to be looked at one by one, to say which does something wrong.
func (w *warp) loadRow(s space, p uint64, n int) []byte {
	if s == sharedSpace {
		m := &w.b.shared
		if p+uint64(32*n) > uint64(len(m.data)) || m.copies > 0 || !allDefined(m.defined[p:p+uint64(32*n)]) {
			return nil
		}
		w.sharedReads(int(p), 32*n, 0, n)
		return m.data[p : p+uint64(32*n)]
	}
	a := w.last
	if a == nil || p < a.base || p-a.base+uint64(32*n) > uint64(len(a.data)) {
		if a = w.b.run.memory.find(p); a == nil || p-a.base+uint64(32*n) > uint64(len(a.data)) {
			return nil
		}
		w.last = a
	}
	at := int(p - a.base)
	if !allDefined(a.defined[at : at+32*n]) {
		return nil
	}
	w.racesReads(a, at, 32*n, 0, n)
	return a.data[at : at+32*n]
}

// storeRow is where lanes write that are inRow.
func (w *warp) storeRow(s space, p uint64, n int) []byte {
	if s == sharedSpace {
		m := &w.b.shared
		if p+uint64(32*n) > uint64(len(m.data)) || m.copies > 0 {
			return nil
		}
		w.sharedWrites(int(p), 32*n, 0, n)
		defineAll(m.defined[p : p+uint64(32*n)])
		return m.data[p : p+uint64(32*n)]
	}
	a := w.last
	if a == nil || p < a.base || p-a.base+uint64(32*n) > uint64(len(a.data)) {
		if a = w.b.run.memory.find(p); a == nil || p-a.base+uint64(32*n) > uint64(len(a.data)) {
			return nil
		}
		w.last = a
	}
	at := int(p - a.base)
	w.racesWrites(a, at, 32*n, 0, n)
	defineAll(a.defined[at : at+32*n])
	return a.data[at : at+32*n]
}

const ones = 0x0101010101010101

func defineAll(defined []byte) {
	for len(defined) >= 8 {
		little.PutUint64(defined, ones)
		defined = defined[8:]
	}
}

// allDefined says if all of a multiple of 8 bytes have values.
func allDefined(defined []byte) bool {
	x := uint64(ones)
	for len(defined) >= 8 {
		x &= little.Uint64(defined)
		defined = defined[8:]
	}
	return x == ones
}

// store is n bytes that a lane writes.
func (w *warp) store(s space, p uint64, n, lane int) []byte {
	s, p = w.find(s, p, lane)
	switch s {
	case global:
		a, at := w.globalAt(p, n, lane, "write")
		w.racesWrite(a, at, n, lane)
		define(a.defined[at : at+n])
		return a.data[at : at+n]
	case sharedSpace:
		return w.storeShared(p, n, lane)
	case localSpace:
		at := w.localAt(p, n, lane, "write")
		define(w.localDef[at : at+n])
		return w.local[at : at+n]
	}
	w.fail(lane, "write to parameters")
	return nil
}

func (w *warp) localAt(p uint64, n, lane int, what string) int {
	size := uint64(w.b.run.program.local)
	if p+uint64(n) > size || p%uint64(n) != 0 {
		w.fail(lane, "%s of %d bytes at %d of %d bytes of local memory", what, n, p, size)
	}
	return lane*int(size) + int(p)
}

// missing counts the bytes that have no value.
func missing(defined []byte) int {
	switch len(defined) {
	case 4:
		if little.Uint32(defined) == ones&(1<<32-1) {
			return 0
		}
	case 8:
		if little.Uint64(defined) == ones {
			return 0
		}
	case 16:
		if little.Uint64(defined) == ones && little.Uint64(defined[8:]) == ones {
			return 0
		}
	}
	n := 0
	for _, d := range defined {
		n += 1 - int(d)
	}
	return n
}

func define(defined []byte) {
	switch len(defined) {
	case 2:
		little.PutUint16(defined, ones&(1<<16-1))
	case 4:
		little.PutUint32(defined, ones&(1<<32-1))
	case 8:
		little.PutUint64(defined, ones)
	case 16:
		little.PutUint64(defined, ones)
		little.PutUint64(defined[8:], ones)
	default:
		for i := range defined {
			defined[i] = 1
		}
	}
}
