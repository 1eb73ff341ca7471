package ptx

import (
	"fmt"
	"strconv"
	"strings"
)

func init() {
	decode("wgmma.fence", wgmmaFence)
	decode("wgmma.commit_group", wgmmaCommit)
	decode("wgmma.wait_group", wgmmaWait)
	decode("wgmma.mma_async", wgmma)
}

// products is the wgmma of a warp that nobody has waited for. Their results are in the registers at once, but count as undefined until the wait; what they read
// of shared memory counts as being read until then.
type products struct {
	fenced  bool          // no register changed hands since wgmma.fence
	groups  []*productSet // committed
	open    *productSet
	pending map[int]int // registers of sums: how many products will write them
}

type productSet struct {
	sums []int // registers, once for every product
	read []int // units of 16 bytes
}

func (w *warp) products() *products {
	if w.more == nil {
		w.more = map[string]any{}
	}
	p, ok := w.more["products"].(*products)
	if !ok {
		p = &products{open: &productSet{}, pending: map[int]int{}}
		w.more["products"] = p
	}
	return p
}

// reading marks a warp's reads of shared memory that are not over.
const reading = uint64(1) << 59

// forgetProducts ends those of a block that ended without a wait.
func (b *block) forgetProducts() {
	for _, w := range b.warps {
		p, ok := w.more["products"].(*products)
		if !ok {
			continue
		}
		for _, g := range append(p.groups, p.open) {
			g.over(w, b.began)
		}
	}
}

// over says that reads are over at a clock of the warp.
func (g *productSet) over(w *warp, clock uint64) {
	s := &w.b.shared
	for _, u := range g.read {
		for word := u * 4; word < u*4+4; word++ {
			s.reader[word*s.warps+w.id] = clock<<4 | 15
		}
	}
}

func wgmmaFence(c *compiler, in *instr) run {
	return func(w *warp, m uint32) {
		w.whole(m)
		w.products().fenced = true
	}
}

func wgmmaCommit(c *compiler, in *instr) run {
	return func(w *warp, m uint32) {
		w.whole(m)
		p := w.products()
		p.groups = append(p.groups, p.open)
		p.open = &productSet{}
	}
}

func wgmmaWait(c *compiler, in *instr) run {
	n := int(c.arg(0).bits)
	return func(w *warp, m uint32) {
		w.whole(m)
		p := w.products()
		for len(p.groups) > n {
			g := p.groups[0]
			p.groups = p.groups[1:]
			g.over(w, w.clock[w.id])
			for _, r := range g.sums {
				if w.defR[r] != 0 {
					w.fail(-1, "register %s was written while a wgmma had it", w.b.run.program.names[class32][r])
				}
				if p.pending[r]--; p.pending[r] == 0 {
					delete(p.pending, r)
				}
			}
			for _, r := range g.sums {
				if p.pending[r] == 0 {
					w.defR[r] = all
					delete(w.loaded, w.b.run.program.names[class32][r])
				}
			}
		}
		if len(p.groups) == 0 && len(p.open.sums) == 0 {
			p.fenced = false
		}
	}
}

// descriptor is a matrix in shared memory (PTX ISA, "Matrix descriptor format" of wgmma): bits 0-13 the start address, 16-29 the leading and 32-45 the stride
// dimension byte offset, all in units of 16; 49-51 the base offset; 62-63 the swizzle: none, 128, 64, 32 bytes.
type descriptor struct {
	start, leading, stride int
	swizzle                int // bytes
}

func (w *warp) descriptor(d uint64) descriptor {
	x := descriptor{int(d&0x3fff) << 4, int(d>>16&0x3fff) << 4, int(d>>32&0x3fff) << 4, []int{0, 128, 64, 32}[d>>62]}
	if d>>49&7 != 0 {
		w.fail(-1, "a matrix descriptor with a base offset is unknown to the interpreter")
	}
	if d&(0xc000|0xc000<<16|0x1c000<<32|0x3ff<<52) != 0 {
		w.fail(-1, "matrix descriptor %#x has bits that must be 0", d)
	}
	// With no base offset the pattern of the swizzle, 8 rows, begins at a multiple of its size: then these bits of the start are 0.
	if x.swizzle > 0 && x.start>>7&(x.swizzle/16-1) != 0 {
		w.fail(-1, "matrix descriptor %#x: the start %d is not in the first row of the %d-byte swizzle's pattern", d, x.start, x.swizzle)
	}
	return x
}

// unit is where 16 bytes lie, 8 bf16: of a K-major operand those of terms 8j… of row i, of an MN-major one those of rows 8j… of term i. The rules are the canonical
// layouts of the PTX ISA ("Strides", "Canonical layouts") and of CUTLASS (mma_traits_sm90_gmma.hpp, make_gmma_desc), there in units of 16 bytes:
//
//	K-major, no swizzle   ((8,m),2):((1,stride),leading)
//	K-major, 32, 64, 128  ((8,m),2):((2|4|8,stride),1)                   leading is not used
//	MN-major, no swizzle  ((1,m),(8,k)):((X,stride),(1,leading))
//	MN-major, 32, 64, 128 ((2|4|8,m),(8,k)):((1,leading),(2|4|8,stride))
//
// for (rows, terms), and the swizzle changes the bits of the address that comes out, as in copies by TMA.
func (d descriptor) unit(major bool, i, j int) int {
	span := d.swizzle / 16
	var at int
	switch {
	case !major && span == 0:
		at = i%8*16 + i/8*d.stride + j*d.leading
	case !major:
		at = i%8*span*16 + i/8*d.stride + j*16
	case span == 0:
		at = j*d.stride + i%8*16 + i/8*d.leading
	default:
		at = j%span*16 + j/span*d.leading + i%8*span*16 + i/8*d.stride
	}
	return swizzled(d.start+at, d.swizzle)
}

// operand reads rows × 16 terms, of which those before first are not wanted, to x, a row after the other.
func (w *warp) operand(x []float32, d descriptor, major bool, first, rows int, g *productSet) {
	if major {
		for i := range 16 {
			for j := first / 8; j < rows/8; j++ {
				b := w.productRead(d.unit(true, i, j), g)
				for k := range 8 {
					x[(8*j+k-first)*16+i] = f32(uint32(b[2*k])<<16 | uint32(b[2*k+1])<<24)
				}
			}
		}
		return
	}
	for i := first; i < rows; i++ {
		for j := range 2 {
			b := w.productRead(d.unit(false, i, j), g)
			y := x[(i-first)*16+8*j:][:8]
			for k := range y {
				y[k] = f32(uint32(b[2*k])<<16 | uint32(b[2*k+1])<<24)
			}
		}
	}
}

// productRead is 16 bytes of shared memory that a product reads from now until it is waited for.
func (w *warp) productRead(at int, g *productSet) []byte { return w.asyncRead(at, -1, "wgmma", g) }

// asyncRead is 16 bytes of shared memory that the asynchronous proxy reads from now until g is over.
func (w *warp) asyncRead(at, lane int, who string, g *productSet) []byte {
	s := &w.b.shared
	if at+16 > len(s.data) {
		w.fail(lane, "%s reads at %d of %d bytes of shared memory", who, at, len(s.data))
	}
	for k := at; k < at+16; k++ {
		if s.pending[k] != 0 {
			w.fail(lane, "%s reads shared memory at %d to which an asynchronous copy is under way: nobody waited for it", who, at)
		}
		if s.defined[k] == 0 {
			w.fail(lane, "%s reads shared memory at %d that nobody wrote", who, at)
		}
	}
	for word := at / 4; word < at/4+4; word++ {
		if x := s.writer[word]; x != 0 {
			by := int(x >> 4 & 63)
			if w.clock[by] <= x>>10 && by != w.id {
				if by == len(w.b.warps) {
					w.fail(lane, "race: %s reads shared memory at %d, to which TMA copied: this warp has not waited for it", who, at)
				}
				w.fail(lane, "race: %s reads shared memory at %d, which warp %d wrote with no barrier in between", who, at, by)
			}
			w.proxied(w.b, x, who, at, lane)
		}
		s.reader[word*s.warps+w.id] = reading<<4 | 15
	}
	g.read = append(g.read, at/16)
	return s.data[at : at+16]
}

// wgmma.mma_async.sync.aligned.m64nNk16.f32.bf16.bf16 sums, a, b, scale-d, imm-scale-a, imm-scale-b{, imm-trans-a}, imm-trans-b
//
// Warp w of a warp group has rows 16(w mod 4) to +15 of A and of the sums. A in registers lies as that of mma.m16n8k16; sums 4j+2h+q of a lane are in row 8h+lane/4,
// column 8j+2(lane mod 4)+q.
func wgmma(c *compiler, in *instr) run {
	shape := ""
	for _, x := range in.op {
		if strings.HasPrefix(x, "m64n") {
			shape = x
		}
	}
	n, err := strconv.Atoi(strings.TrimSuffix(strings.TrimPrefix(shape, "m64n"), "k16"))
	if err != nil || n%8 != 0 || n < 8 || n > 256 || !strings.HasSuffix(strings.Join(in.op, "."), ".f32.bf16.bf16") {
		c.fail("this wgmma is unknown to the interpreter")
	}
	sums := c.dests(class32, c.arg(0))
	if len(sums) != n/2 {
		c.fail("wgmma with %d sums a thread, it has %d", len(sums), n/2)
	}
	var fragments []int
	descA, descB, scale := -1, c.source64(2), c.sourcePred(3)
	immediates := in.args[4:]
	if c.arg(1).kind == vector {
		fragments = c.sources(class32, c.arg(1))
		if len(fragments) != 4 {
			c.fail("wgmma with %d registers of A, it has 4", len(fragments))
		}
	} else {
		descA = c.source64(1)
	}
	var imm []int
	for _, o := range immediates {
		if o.kind != immediate {
			c.fail("wgmma's scales and transpositions are numbers")
		}
		imm = append(imm, int(int64(o.bits)))
	}
	if len(imm) != 4 && !(descA < 0 && len(imm) == 3) {
		c.fail("wgmma with %d immediate operands", len(imm))
	}
	factor := float32(imm[0] * imm[1])
	majorB := imm[len(imm)-1] == 1
	majorA := descA >= 0 && imm[2] == 1
	return func(w *warp, m uint32) {
		w.whole(m)
		if w.b.threads[0]*w.b.threads[1]*w.b.threads[2] < w.id/4*128+128 {
			w.fail(-1, "wgmma in a warp group of fewer than four warps")
		}
		p := w.products()
		chained := p.pending[sums[0]] > 0
		if !p.fenced && !chained {
			w.fail(-1, "wgmma without wgmma.fence since its registers were used otherwise")
		}
		accumulate := w.pred(scale, m)
		if accumulate != 0 && accumulate != all {
			w.fail(-1, "wgmma whose scale-d is not the same in all lanes")
		}
		a, b := make([]float32, 16*16), make([]float32, n*16)
		if descA >= 0 {
			d := w.sameDescriptor(descA, m)
			first := w.id % 4 * 16
			w.operand(a, d, majorA, first, first+16, p.open)
		} else {
			for q, reg := range fragments {
				for l, v := range w.r32(reg, m) {
					i := (l>>2+8*(q&1))*16 + (l&3)*2 + 8*(q>>1)
					a[i], a[i+1] = f32(v<<16), f32(v&0xffff0000)
				}
			}
		}
		w.operand(b, w.sameDescriptor(descB, m), majorB, 0, n, p.open)
		for q, reg := range sums {
			if p.pending[reg] == 0 {
				if accumulate != 0 {
					w.r32(reg, m)
				}
			} else if w.defR[reg] != 0 {
				w.fail(-1, "register %s was written while a wgmma had it", w.b.run.program.names[class32][reg])
			}
			r := &w.r[reg]
			for l := range r {
				row := a[(l>>2+8*(q>>1&1))*16:][:16]
				col := b[(q/4*8+(l&3)*2+q&1)*16:][:16]
				var s0, s1, s2, s3 float32
				for k := 0; k < 16; k += 4 {
					s0 += row[k] * col[k]
					s1 += row[k+1] * col[k+1]
					s2 += row[k+2] * col[k+2]
					s3 += row[k+3] * col[k+3]
				}
				s := ((s0 + s1) + (s2 + s3)) * factor
				if accumulate != 0 {
					s += f32(r[l])
				}
				r[l] = bits32(s)
			}
			w.defR[reg] = 0
			if p.pending[reg]++; p.pending[reg] == 1 {
				if w.loaded == nil {
					w.loaded = map[string]string{}
				}
				name := w.b.run.program.names[class32][reg]
				w.loaded[name] = fmt.Sprintf("register %s is read while a wgmma writes it: wgmma.wait_group comes first", name)
			}
		}
		p.open.sums = append(p.open.sums, sums...)
	}
}

// sameDescriptor is the descriptor that all lanes must have.
func (w *warp) sameDescriptor(reg int, m uint32) descriptor {
	x := w.r64(reg, m)
	for _, y := range x {
		if y != x[0] {
			w.fail(-1, "wgmma whose matrix descriptor is not the same in all lanes")
		}
	}
	return w.descriptor(x[0])
}
