package ptx

import (
	"fmt"
	"math/bits"

	"github.com/godino-ml/godino/kernels/cuda"
)

func init() {
	decode("cp.async.bulk.tensor", tmaTensor)
	decode("cp.async.bulk", tmaBulk)
	decode("cp.async.bulk.commit_group", bulkCommit)
	decode("cp.async.bulk.wait_group", bulkWait)
	encodeTensorMap = encodeMap
}

// tmaMap is what the 128 bytes of a tensor map hold here: NVIDIA's own form is not documented. The checks are those of cuTensorMapEncodeTiled.
type tmaMap struct {
	base    uint64
	size    int // of an element
	rank    int
	dims    [5]int
	strides [5]int // bytes
	box     [5]int
	swizzle int
}

const tmaMagic = 0x70616d54

func encodeMap(m *cuda.TensorMap) (b [128]byte, err error) {
	rank, size := len(m.Dims), m.Type.Size()
	fail := func(format string, args ...any) ([128]byte, error) {
		return b, fmt.Errorf("tensor map %+v: %s", *m, fmt.Sprintf(format, args...))
	}
	switch {
	case rank < 1 || rank > 5 || len(m.Strides) != rank-1 || len(m.Box) != rank:
		return fail("%d dimensions, %d strides, a box of %d", rank, len(m.Strides), len(m.Box))
	case m.Base%16 != 0:
		return fail("the base %#x is not a multiple of 16", uint64(m.Base))
	case m.Swizzle != 0 && m.Swizzle != 32 && m.Swizzle != 64 && m.Swizzle != 128:
		return fail("no swizzle of %d bytes", m.Swizzle)
	case m.Box[0]*size%16 != 0:
		return fail("a box's row of %d bytes is not a multiple of 16", m.Box[0]*size)
	case m.Swizzle != 0 && m.Box[0]*size > m.Swizzle:
		return fail("a box's row of %d bytes is more than the swizzle's", m.Box[0]*size)
	}
	little.PutUint32(b[:], tmaMagic)
	b[4], b[5], b[6] = byte(size), byte(rank), byte(m.Swizzle)
	little.PutUint64(b[8:], uint64(m.Base))
	for i := range rank {
		if m.Dims[i] < 1 || m.Dims[i] > 1<<32 {
			return fail("dimension %d has %d elements", i, m.Dims[i])
		}
		if m.Box[i] < 1 || m.Box[i] > 256 {
			return fail("the box has %d elements of dimension %d, at most 256 can be", m.Box[i], i)
		}
		little.PutUint64(b[16+8*i:], uint64(m.Dims[i]))
		little.PutUint16(b[96+2*i:], uint16(m.Box[i]))
		if i > 0 {
			if s := m.Strides[i-1]; s%16 != 0 || s < 0 || s >= 1<<40 {
				return fail("stride %d of %d bytes", i, s)
			}
			little.PutUint64(b[56+8*(i-1):], uint64(m.Strides[i-1]))
		}
	}
	return b, nil
}

// tensorMap reads the map at a generic address.
func (w *warp) tensorMap(p uint64, lane int) (t tmaMap) {
	s, at := w.find(generic, p, lane)
	var b []byte
	switch s {
	case paramSpace:
		if at%64 != 0 || at+128 > uint64(len(w.b.run.params)) {
			w.fail(lane, "a tensor map at %d of %d bytes of parameters: it has 128 bytes, aligned to 64", at, len(w.b.run.params))
		}
		b = w.b.run.params[at : at+128]
	case global:
		a, i := w.globalAt(at, 64, lane, "tensor map")
		if i+128 > len(a.data) {
			w.fail(lane, "a tensor map at the end of an allocation")
		}
		b = a.data[i : i+128]
	default:
		w.fail(lane, "a tensor map in local or shared memory: TMA reads parameters, constants and global memory")
	}
	if little.Uint32(b) != tmaMagic {
		w.fail(lane, "no tensor map at %#x", p)
	}
	t.size, t.rank, t.swizzle = int(b[4]), int(b[5]), int(b[6])
	t.base = little.Uint64(b[8:])
	for i := range t.rank {
		t.dims[i] = int(little.Uint64(b[16+8*i:]))
		t.box[i] = int(little.Uint16(b[96+2*i:]))
		if i > 0 {
			t.strides[i] = int(little.Uint64(b[56+8*(i-1):]))
		}
	}
	t.strides[0] = t.size
	return t
}

// swizzled is where the 128-byte, 64-byte or 32-byte swizzle puts what is at an address of shared memory: bits 4… of the address are changed by bits 7…,
// 3, 2 or 1 of them (PTX ISA, "Tensor swizzling modes"; CUTLASS's Swizzle<3,4,3>, <2,4,3>, <1,4,3>). The bits are the address's own, whatever the tile's.
func swizzled(at, bytes int) int {
	if bytes == 0 {
		return at
	}
	return at ^ at>>7&(bytes/16-1)<<4
}

// tmaCopy is a box on its way to a block's shared memory.
type tmaCopy struct {
	to    *block
	rows  []tmaRow
	bytes int
	clock uint64
}

// tmaRow is 16 bytes.
type tmaRow struct {
	at            int
	data, defined [16]byte
}

func tmaTensor(c *compiler, in *instr) run {
	if in.has("bulk_group") {
		return tmaStore(c, in)
	}
	return tmaLoad(c, in)
}

// cp.async.bulk.tensor.Nd.shared::cluster.global{.tile}.mbarrier::complete_tx::bytes{.multicast::cluster} [dst], [map, {x, y, …}], [barrier]{, blocks}
func tmaLoad(c *compiler, in *instr) run {
	if !in.has("mbarrier::complete_tx::bytes") || in.has("im2col") || in.has("L2::cache_hint") {
		c.fail("this copy by TMA is unknown to the interpreter")
	}
	rank := int(in.op[4][0] - '0')
	dst, barrier := c.addressOf(c.arg(0), sharedSpace), c.addressOf(c.arg(2), sharedSpace)
	source := c.arg(1)
	mapAt := c.source(class64, source.parts[0])
	if len(source.parts) != 2 || len(source.parts[1].parts) != rank {
		c.fail("a copy of %d dimensions with other coordinates", rank)
	}
	coordinates := c.sources(class32, source.parts[1])
	multicast := -1
	if in.has("multicast::cluster") {
		multicast = c.source32(3)
	}
	return func(w *warp, m uint32) {
		var p, q [32]uint64
		dst(w, m, &p)
		barrier(w, m, &q)
		maps := w.r64(mapAt, m)
		for l := m; l != 0; l &= l - 1 {
			i := bits.TrailingZeros32(l) & 31
			t := w.tensorMap(maps[i], i)
			if t.rank != rank {
				w.fail(i, "a copy of %d dimensions by a tensor map of %d", rank, t.rank)
			}
			var from [5]int
			for k, r := range coordinates {
				from[k] = int(int32(w.r32(r, 1<<i)[i]))
			}
			to, at := w.blockAt(p[i], i)
			blocks := uint32(1) << to.rank
			if multicast >= 0 {
				blocks = w.r32(multicast, 1<<i)[i] & 0xffff
				if blocks == 0 || blocks>>len(w.b.cluster.blocks) != 0 {
					w.fail(i, "multicast to blocks %#x of a cluster of %d", blocks, len(w.b.cluster.blocks))
				}
			}
			_, bar := w.blockAt(q[i], i)
			rows, bytes := w.tmaRows(&t, from, int(at), i)
			for r, b := range w.b.cluster.blocks {
				if blocks>>r&1 != 0 {
					w.tmaStart(b, bar, rows, bytes, i)
				}
			}
		}
	}
}

// tmaRows reads a box from global memory; what lies outside of the tensor is 0.
func (w *warp) tmaRows(t *tmaMap, from [5]int, at, lane int) (rows []tmaRow, bytes int) {
	if at%128 != 0 {
		w.fail(lane, "copy by TMA to %d of shared memory, which is not a multiple of 128", at)
	}
	count := 1
	for k := 1; k < t.rank; k++ {
		count *= t.box[k]
	}
	width := t.box[0] * t.size
	for r := range count {
		rest, inside := r, true
		p := t.base
		for k := 1; k < t.rank; k++ {
			x := from[k] + rest%t.box[k]
			rest /= t.box[k]
			inside = inside && x >= 0 && x < t.dims[k]
			p += uint64(x * t.strides[k])
		}
		for j := 0; j < width; j += 16 {
			row := tmaRow{at: swizzled(at+r*width+j, t.swizzle)}
			for k := 0; k < 16; k += t.size {
				x := from[0] + (j+k)/t.size
				if !inside || x < 0 || x >= t.dims[0] {
					define(row.defined[k : k+t.size])
					continue
				}
				a, i := w.globalAt(p+uint64(x*t.size), t.size, lane, "copy by TMA")
				if i%4 == 0 || k == 0 {
					w.racesRead(a, i, t.size, lane)
				}
				copy(row.data[k:k+t.size], a.data[i:])
				copy(row.defined[k:k+t.size], a.defined[i:])
			}
			rows = append(rows, row)
		}
	}
	return rows, count * width
}

// tmaGlobal is 16 bytes, or fewer, that a copy reads.
func (w *warp) tmaGlobal(p uint64, n, lane int) (row tmaRow) {
	for k := 0; k < n; k += 4 {
		a, i := w.globalAt(p+uint64(k), 4, lane, "copy by TMA")
		w.racesRead(a, i, 4, lane)
		copy(row.data[k:k+4], a.data[i:])
		copy(row.defined[k:k+4], a.defined[i:])
	}
	return row
}

// tmaStart begins the copy to a block: nothing there may still be read or written by others.
func (w *warp) tmaStart(b *block, barrier uint64, rows []tmaRow, bytes, lane int) {
	w.alive(b, lane)
	m := b.mbarriers()[barrier]
	if m == nil {
		w.fail(lane, "a copy by TMA for an mbarrier at %d of block %d of the cluster: nothing initialised it", barrier, b.rank)
	}
	if !m.fenced {
		w.fail(lane, "a copy by TMA for the mbarrier at %d, which was initialised with no fence.mbarrier_init or fence.proxy.async after it", barrier)
	}
	s, knows := &b.shared, w.knows(b)
	c := &tmaCopy{to: b, rows: rows, bytes: bytes, clock: b.copied}
	b.copied++
	for i := range rows {
		at := rows[i].at
		if at+16 > len(s.data) {
			w.fail(lane, "copy by TMA to %d of %d bytes of shared memory", at, len(s.data))
		}
		if s.pending[at] != 0 {
			w.fail(lane, "copy by TMA to shared memory at %d, to which another copy is under way", at)
		}
		for word := at / 4; word < at/4+4; word++ {
			x := s.writer[word]
			if by := int(x >> 4 & 63); x != 0 && knows[by] <= x>>10 {
				if by == len(b.warps) {
					w.fail(lane, "race: copy by TMA to shared memory at %d of block %d, to which another copy went that nobody has waited for", at, b.rank)
				}
				w.fail(lane, "race: copy by TMA to shared memory at %d of block %d, which warp %d wrote with no barrier in between", at, b.rank, by)
			}
			w.proxied(b, x, "copy by TMA", at, lane)
			for by, r := range s.reader[word*s.warps : (word+1)*s.warps] {
				if r&15 != 0 && knows[by] <= r>>4 {
					w.fail(lane, "race: copy by TMA to shared memory at %d of block %d, which warp %d reads or read with no barrier in between", at, b.rank, by)
				}
			}
			s.writer[word] = c.clock<<10 | uint64(len(b.warps))<<4 | 15
		}
		define(s.pending[at : at+16])
		if !w.b.run.modes.Lazy {
			copy(s.data[at:at+16], rows[i].data[:])
		}
	}
	if w.b.run.modes.Lazy {
		m.landing = append(m.landing, c)
	} else {
		c.land(w, m, lane)
	}
}

// land ends the copy.
func (c *tmaCopy) land(w *warp, m *mbarrier, lane int) {
	s := &c.to.shared
	for i := range c.rows {
		at := c.rows[i].at
		clear(s.pending[at : at+16])
		copy(s.data[at:at+16], c.rows[i].data[:])
		copy(s.defined[at:at+16], c.rows[i].defined[:])
	}
	n := len(c.to.warps)
	now := make(knowledge, c.to.rank+1)
	now[c.to.rank] = make([]uint64, n+1)
	now[c.to.rank][n] = c.clock + 1
	m.now.join(now)
	m.complete(w, c.bytes, lane)
}

// bulkStores are copies from shared to global memory that a warp's threads have begun, by groups of each thread. What they write is there at once; what they read
// counts as being read until the thread has waited for the group.
type bulkStores struct {
	list      []bulkStore
	committed [32]int
}

type bulkStore struct {
	lane, group int
	read        productSet
}

func (w *warp) bulkStores() *bulkStores {
	if w.more == nil {
		w.more = map[string]any{}
	}
	s, ok := w.more["bulk stores"].(*bulkStores)
	if !ok {
		s = &bulkStores{}
		w.more["bulk stores"] = s
	}
	return s
}

// bulkRead is 16 bytes of shared memory that a store reads.
func (w *warp) bulkRead(at, lane int, s *bulkStore) []byte {
	if at%16 != 0 {
		w.fail(lane, "copy by TMA from %d of shared memory, which is not a multiple of 16", at)
	}
	return w.asyncRead(at, lane, "copy by TMA", &s.read)
}

// cp.async.bulk.tensor.Nd.global.shared::cta{.tile}.bulk_group [map, {x, y, …}], [src]: what lies outside of the tensor is not written.
func tmaStore(c *compiler, in *instr) run {
	if in.has("im2col_no_offs") || in.has("L2::cache_hint") {
		c.fail("this copy by TMA is unknown to the interpreter")
	}
	rank := int(in.op[4][0] - '0')
	target, src := c.arg(0), c.addressOf(c.arg(1), sharedSpace)
	mapAt := c.source(class64, target.parts[0])
	if len(target.parts) != 2 || len(target.parts[1].parts) != rank {
		c.fail("a copy of %d dimensions with other coordinates", rank)
	}
	coordinates := c.sources(class32, target.parts[1])
	return func(w *warp, m uint32) {
		var p [32]uint64
		src(w, m, &p)
		maps := w.r64(mapAt, m)
		for ; m != 0; m &= m - 1 {
			i := bits.TrailingZeros32(m) & 31
			t := w.tensorMap(maps[i], i)
			if t.rank != rank {
				w.fail(i, "a copy of %d dimensions by a tensor map of %d", rank, t.rank)
			}
			if p[i]%128 != 0 {
				w.fail(i, "copy by TMA from %d of shared memory, which is not a multiple of 128", p[i])
			}
			stores := w.bulkStores()
			store := bulkStore{lane: i, group: stores.committed[i]}
			count, width := 1, t.box[0]*t.size
			for k := 1; k < rank; k++ {
				count *= t.box[k]
			}
			for r := range count {
				rest, inside, to := r, true, t.base
				for k := 1; k < rank; k++ {
					x := int(int32(w.r32(coordinates[k], 1<<i)[i])) + rest%t.box[k]
					rest /= t.box[k]
					inside = inside && x >= 0 && x < t.dims[k]
					to += uint64(x * t.strides[k])
				}
				first := int(int32(w.r32(coordinates[0], 1<<i)[i]))
				for j := 0; j < width; j += 16 {
					b := w.bulkRead(swizzled(int(p[i])+r*width+j, t.swizzle), i, &store)
					for k := 0; k < 16; k += t.size {
						if x := first + (j+k)/t.size; inside && x >= 0 && x < t.dims[0] {
							copy(w.store(global, to+uint64(x*t.size), t.size, i), b[k:k+t.size])
						}
					}
				}
			}
			stores.list = append(stores.list, store)
		}
	}
}

// cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [dst], [src], size, [barrier]
// cp.async.bulk.global.shared::cta.bulk_group [dst], [src], size
func tmaBulk(c *compiler, in *instr) run {
	load := in.has("mbarrier::complete_tx::bytes") && in.op[3] == "shared::cluster" && in.op[4] == "global"
	if !load && !(in.has("bulk_group") && in.op[3] == "global") || in.has("multicast::cluster") || in.has("L2::cache_hint") {
		c.fail("this copy by TMA is unknown to the interpreter")
	}
	dst, src, size := c.addressOf(c.arg(0), generic), c.addressOf(c.arg(1), generic), c.source32(2)
	var barrier func(w *warp, m uint32, to *[32]uint64)
	if load {
		barrier = c.addressOf(c.arg(3), sharedSpace)
	}
	return func(w *warp, m uint32) {
		var p, q, bar [32]uint64
		dst(w, m, &p)
		src(w, m, &q)
		if load {
			barrier(w, m, &bar)
		}
		n := w.r32(size, m)
		for ; m != 0; m &= m - 1 {
			i := bits.TrailingZeros32(m) & 31
			if p[i]%16 != 0 || q[i]%16 != 0 || n[i]%16 != 0 {
				w.fail(i, "copy by TMA of %d bytes from %#x to %#x: all must be multiples of 16", n[i], q[i], p[i])
			}
			if load {
				b, to := w.blockAt(p[i], i)
				_, at := w.blockAt(bar[i], i)
				var rows []tmaRow
				for k := 0; k < int(n[i]); k += 16 {
					row := w.tmaGlobal(q[i]+uint64(k), 16, i)
					row.at = int(to) + k
					rows = append(rows, row)
				}
				w.tmaStart(b, at, rows, int(n[i]), i)
				continue
			}
			stores := w.bulkStores()
			store := bulkStore{lane: i, group: stores.committed[i]}
			for k := 0; k < int(n[i]); k += 16 {
				copy(w.store(global, p[i]+uint64(k), 16, i), w.bulkRead(int(q[i])+k, i, &store))
			}
			stores.list = append(stores.list, store)
		}
	}
}

func bulkCommit(c *compiler, in *instr) run {
	return func(w *warp, m uint32) {
		for s := w.bulkStores(); m != 0; m &= m - 1 {
			s.committed[bits.TrailingZeros32(m)&31]++
		}
	}
}

// cp.async.bulk.wait_group{.read} n
func bulkWait(c *compiler, in *instr) run {
	n := int(c.arg(0).bits)
	return func(w *warp, m uint32) {
		s := w.bulkStores()
		rest := s.list[:0]
		for _, x := range s.list {
			if m>>x.lane&1 != 0 && x.group < s.committed[x.lane]-n {
				x.read.over(w, w.clock[w.id])
				continue
			}
			rest = append(rest, x)
		}
		s.list = rest
	}
}
