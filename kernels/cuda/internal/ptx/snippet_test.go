package ptx

import (
	"encoding/binary"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/godino-ml/godino/kernels/cuda"
)

// snippet is a kernel with inputs %a, %b, %c (32 bits; also as %fa, %fb, %fc, %qa, %qb, %qc of 64) and results %x, %y (%fx, %fy; %qx, %qy of 64).
// Thread i reads element i. Memory: shared s[4096] (%rs its address), %in and %out are the arrays.
const snippetHead = `
.version 7.0
.target sm_80
.address_size 64
.extern .shared .align 16 .b8 dyn[];
.visible .entry k(.param .u64 k_in, .param .u64 k_out, .param .u64 k_m)
{
.reg .pred %p<8>; .reg .b16 %h<8>; .reg .b32 %r<64>; .reg .f32 %f<64>; .reg .b64 %rd<32>;
.reg .b32 %a, %b, %c, %x, %y, %t; .reg .f32 %fa, %fb, %fc, %fx, %fy; .reg .b64 %qa, %qb, %qc, %qx, %qy, %in, %out, %m, %own; .reg .b16 %ha, %hb, %hx;
.shared .align 16 .b8 s[4096];
.local .align 8 .b8 l[64];
ld.param.u64 %in, [k_in]; ld.param.u64 %out, [k_out]; ld.param.u64 %m, [k_m];
mov.u32 %t, %tid.x;
mad.wide.u32 %own, %t, 24, %in;
ld.global.u64 %qa, [%own]; ld.global.u64 %qb, [%own+8]; ld.global.u64 %qc, [%own+16];
cvt.u32.u64 %a, %qa; cvt.u32.u64 %b, %qb; cvt.u32.u64 %c, %qc; mov.b32 %fa, %a; mov.b32 %fb, %b; mov.b32 %fc, %c;
cvt.u16.u32 %ha, %a; cvt.u16.u32 %hb, %b;
mov.u32 %x, 0; mov.u32 %y, 0; mov.f32 %fx, 0f00000000; mov.u64 %qx, 0; mov.u16 %hx, 0;
// here
`
const snippetTail = `
mad.wide.u32 %own, %t, 16, %out;
st.global.u64 [%own], %qx; st.global.u64 [%own+8], %qy;
ret;
}
`

// results of 32 bits are widened to the 64 that are stored.
var finishes = map[string]string{
	"x": "cvt.u64.u32 %qx, %x; cvt.u64.u32 %qy, %y;",
	"f": "mov.b32 %x, %fx; cvt.u64.u32 %qx, %x; mov.u64 %qy, 0;",
	"q": "mov.u64 %qy, 0;",
	"h": "cvt.u64.u16 %qx, %hx; mov.u64 %qy, 0;",
	"p": "selp.u64 %qx, 1, 0, %p1; mov.u64 %qy, 0;",
}

type snippetRun struct {
	modes   Modes
	threads int
	grid    int
	shared  int
	memory  int // bytes at %m, undefined
	driver  *Driver
}

func (s snippetRun) run(code, result string, in [][3]uint64) ([][2]uint64, error) {
	d := s.driver
	if d == nil {
		d = New(s.modes, 8, 0)
	}
	m, err := d.Load([]byte(snippetHead + code + "\n" + finishes[result] + snippetTail))
	if err != nil {
		return nil, err
	}
	f, err := d.Function(m, "k", s.shared)
	if err != nil {
		return nil, err
	}
	n := s.threads
	if n == 0 {
		n = max(len(in), 1)
	}
	var b []byte
	for i := range n {
		var v [3]uint64
		if len(in) > 0 {
			v = in[i%len(in)]
		}
		for _, x := range v {
			b = binary.LittleEndian.AppendUint64(b, x)
		}
	}
	pi, _ := d.Alloc(len(b))
	po, _ := d.Alloc(16 * n)
	pm, _ := d.Alloc(max(s.memory, 1))
	if err := d.Upload(cuda.Compute, pi, b); err != nil {
		return nil, err
	}
	var args []byte
	for _, p := range []cuda.Ptr{pi, po, pm} {
		args = binary.LittleEndian.AppendUint64(args, uint64(p))
	}
	if err := d.Launch(f, &cuda.Launch{Grid: cuda.Dim{X: s.grid}, Block: cuda.Dim{X: n}, Shared: s.shared, Args: args}); err != nil {
		return nil, err
	}
	b = make([]byte, 16*n)
	if err := d.Download(b, po); err != nil {
		return nil, err
	}
	out := make([][2]uint64, n)
	for i := range out {
		out[i] = [2]uint64{binary.LittleEndian.Uint64(b[16*i:]), binary.LittleEndian.Uint64(b[16*i+8:])}
	}
	return out, nil
}

func u(x float32) uint64 { return uint64(math.Float32bits(x)) }
func neg(n int) uint64   { return uint64(uint32(-n)) }

var (
	nan  = float32(math.NaN())
	inf  = float32(math.Inf(1))
	tiny = float32(math.Float32frombits(1)) // subnormal
)

// What instructions give, by PTX ISA 8.
func TestInstructions(t *testing.T) {
	const nanBits = 0x7fffffff
	type v = [3]uint64
	for _, c := range []struct {
		code, result string
		in           v
		want         uint64
	}{
		// Integers.
		{"add.s32 %x, %a, %b;", "x", v{0xffffffff, 2}, 1},
		{"sub.s32 %x, %a, %b;", "x", v{1, 2}, 0xffffffff},
		{"add.s64 %qx, %qa, %qb;", "q", v{1 << 63, 1 << 63}, 0},
		{"sub.s64 %qx, %qa, 1;", "q", v{0}, ^uint64(0)},
		{"add.s16 %hx, %ha, %hb;", "h", v{0xffff, 3}, 2},
		{"mul.lo.s32 %x, %a, %b;", "x", v{0x10001, 0x10001}, 0x20001},
		{"mul.hi.s32 %x, %a, %b;", "x", v{neg(1), 5}, neg(1)},
		{"mul.hi.u32 %x, %a, %b;", "x", v{neg(1), 5}, 4},
		{"mul.wide.s32 %qx, %a, %b;", "q", v{neg(3), 5}, ^uint64(14)},
		{"mul.wide.u32 %qx, %a, %b;", "q", v{0xffffffff, 2}, 0x1fffffffe},
		{"mul.wide.u16 %x, %ha, %hb;", "x", v{0xffff, 2}, 0x1fffe},
		{"mul.wide.s16 %x, %ha, %hb;", "x", v{0xffff, 2}, neg(2)},
		{"mul.hi.u64 %qx, %qa, %qb;", "q", v{1 << 63, 6}, 3},
		{"mul.hi.s64 %qx, %qa, %qb;", "q", v{^uint64(0), 6}, ^uint64(0)},
		{"mad.lo.s32 %x, %a, %b, %c;", "x", v{3, 5, neg(1)}, 14},
		{"mad.hi.u32 %x, %a, %b, %c;", "x", v{1 << 31, 4, 7}, 9},
		{"mad.wide.s32 %qx, %a, %b, %qc;", "q", v{neg(1), 4, 3}, ^uint64(0)},
		{"mad.lo.s64 %qx, %qa, %qb, %qc;", "q", v{3, 5, 1}, 16},
		{"div.s32 %x, %a, %b;", "x", v{neg(7), 2}, neg(3)},
		{"div.s32 %x, %a, %b;", "x", v{1 << 31, neg(1)}, 1 << 31},
		{"div.u32 %x, %a, %b;", "x", v{neg(7), 2}, 0x7ffffffc},
		{"rem.s32 %x, %a, %b;", "x", v{neg(7), 2}, neg(1)},
		{"rem.u32 %x, %a, %b;", "x", v{7, 4}, 3},
		{"div.s64 %qx, %qa, %qb;", "q", v{1 << 63, ^uint64(0)}, 1 << 63},
		{"rem.s64 %qx, %qa, %qb;", "q", v{^uint64(6), 4}, ^uint64(2)},
		{"div.u64 %qx, %qa, %qb;", "q", v{1 << 40, 1 << 38}, 4},
		{"abs.s32 %x, %a;", "x", v{neg(7)}, 7},
		{"abs.s64 %qx, %qa;", "q", v{^uint64(6)}, 7},
		{"neg.s32 %x, %a;", "x", v{7}, neg(7)},
		{"neg.s16 %hx, %ha;", "h", v{7}, 0xfff9},
		{"min.s32 %x, %a, %b;", "x", v{neg(7), 7}, neg(7)},
		{"min.u32 %x, %a, %b;", "x", v{neg(7), 7}, 7},
		{"max.s32 %x, %a, %b;", "x", v{neg(7), 7}, 7},
		{"max.u64 %qx, %qa, %qb;", "q", v{^uint64(0), 7}, ^uint64(0)},
		{"max.s64 %qx, %qa, %qb;", "q", v{^uint64(0), 7}, 7},
		{"min.s16 %hx, %ha, %hb;", "h", v{0xffff, 1}, 0xffff},
		{"min.u16 %hx, %ha, %hb;", "h", v{0xffff, 1}, 1},
		{"and.b32 %x, %a, %b;", "x", v{12, 10}, 8},
		{"or.b32 %x, %a, %b;", "x", v{12, 10}, 14},
		{"xor.b32 %x, %a, %b;", "x", v{12, 10}, 6},
		{"not.b32 %x, %a;", "x", v{0xff}, 0xffffff00},
		{"not.b64 %qx, %qa;", "q", v{0}, ^uint64(0)},
		{"and.b64 %qx, %qa, -4;", "q", v{^uint64(0)}, ^uint64(3)},
		{"shl.b32 %x, %a, %b;", "x", v{1, 31}, 1 << 31},
		{"shl.b32 %x, %a, %b;", "x", v{1, 32}, 0},
		{"shl.b64 %qx, %qa, 40;", "q", v{1}, 1 << 40},
		{"shr.u32 %x, %a, %b;", "x", v{1 << 31, 31}, 1},
		{"shr.s32 %x, %a, %b;", "x", v{1 << 31, 40}, 0xffffffff},
		{"shr.s64 %qx, %qa, 4;", "q", v{^uint64(0)}, ^uint64(0)},
		{"shr.u64 %qx, %qa, %b;", "q", v{^uint64(0), 60}, 15},
		{"shl.b16 %hx, %ha, 8;", "h", v{0x1ff}, 0xff00},
		{"shr.s16 %hx, %ha, 8;", "h", v{0x8000}, 0xff80},
		{"shr.u16 %hx, %ha, 8;", "h", v{0x8000}, 0x80},
		{"bfe.u32 %x, %a, 8, 8;", "x", v{0x12345678}, 0x56},
		{"bfe.s32 %x, %a, 8, 8;", "x", v{0x1234f678}, 0xfffffff6},
		{"bfe.s32 %x, %a, 28, 8;", "x", v{0x92345678}, 0xfffffff9},
		{"bfe.u32 %x, %a, 4, 0;", "x", v{0x12345678}, 0},
		{"bfe.u64 %qx, %qa, 32, 16;", "q", v{0x12345678_9abcdef0}, 0x5678},
		{"bfi.b32 %x, %a, %b, 8, 8;", "x", v{0xab, 0x11111111}, 0x1111ab11},
		{"bfi.b64 %qx, %qa, %qb, 32, 32;", "q", v{7, 9}, 7<<32 | 9},
		{"prmt.b32 %x, %a, %b, 0x5410;", "x", v{0x33221100, 0x77665544}, 0x55441100},
		{"prmt.b32 %x, %a, %b, 0x0123;", "x", v{0x33221100, 0}, 0x00112233},
		{"prmt.b32 %x, %a, %b, 0x888b;", "x", v{0x80000000, 0}, 0x000000ff},
		{"brev.b32 %x, %a;", "x", v{1}, 1 << 31},
		{"popc.b32 %x, %a;", "x", v{0xff01}, 9},
		{"popc.b64 %x, %qa;", "x", v{^uint64(0)}, 64},
		{"clz.b32 %x, %a;", "x", v{1}, 31},
		{"clz.b64 %x, %qa;", "x", v{0}, 64},
		{"bfind.u32 %x, %a;", "x", v{0x80}, 7},
		{"bfind.s32 %x, %a;", "x", v{neg(1)}, 0xffffffff},
		{"shf.l.wrap.b32 %x, %a, %b, %c;", "x", v{0x80000000, 1, 1}, 3},
		{"shf.r.wrap.b32 %x, %a, %b, %c;", "x", v{0x80000000, 1, 4}, 0x18000000},
		{"shf.r.clamp.b32 %x, %a, %b, %c;", "x", v{5, 9, 77}, 9},
		{"lop3.b32 %x, %a, %b, %c, 0xe8;", "x", v{0b1100, 0b1010, 0b1001}, 0b1000},
		{"lop3.b32 %x, %a, %b, %c, 0x96;", "x", v{0b1100, 0b1010, 0b1001}, 0b1111},
		{"sad.s32 %x, %a, %b, %c;", "x", v{neg(2), 3, 10}, 15},
		{"sub.s16 %hx, %ha, %hb;", "h", v{1, 2}, 0xffff},
		{"mul.lo.s16 %hx, %ha, %hb;", "h", v{0x101, 0x101}, 0x201},
		{"mul.hi.s16 %hx, %ha, %hb;", "h", v{0xffff, 2}, 0xffff},
		{"mad.lo.s16 %hx, %ha, %hb, %ha;", "h", v{0x101, 0x100}, 0x201},
		{"and.b16 %hx, %ha, -2;", "h", v{0xffff}, 0xfffe},
		{"or.b16 %hx, %ha, %hb;", "h", v{1, 2}, 3},
		{"xor.b16 %hx, %ha, %hb;", "h", v{3, 2}, 1},
		{"not.b16 %hx, %ha;", "h", v{1}, 0xfffe},
		{"abs.s16 %hx, %ha;", "h", v{0xffff}, 1},
		{"max.s16 %hx, %ha, %hb;", "h", v{0xffff, 1}, 1},
		{"mov.u16 %hx, -1;", "h", v{}, 0xffff},
		{"or.b64 %qx, %qa, %qb;", "q", v{1 << 40, 2}, 1<<40 | 2},
		{"xor.b64 %qx, %qa, %qb;", "q", v{3 << 40, 1 << 40}, 1 << 41},
		{"neg.s64 %qx, %qa;", "q", v{1}, ^uint64(0)},
		{"brev.b64 %qx, %qa;", "q", v{1}, 1 << 63},
		{"mul.lo.s64 %qx, %qa, %qb;", "q", v{1 << 33, 1 << 30}, 1 << 63},
		{"rem.u64 %qx, %qa, %qb;", "q", v{1<<40 + 5, 1 << 38}, 5},
		{"div.s64 %qx, %qa, %qb;", "q", v{^uint64(8), 2}, ^uint64(3)},
		{"min.s64 %qx, %qa, %qb;", "q", v{^uint64(0), 7}, ^uint64(0)},
		{"min.u64 %qx, %qa, %qb;", "q", v{^uint64(0), 7}, 7},
		{"max.u32 %x, %a, %b;", "x", v{neg(7), 7}, neg(7)},
		{"cnot.b32 %x, %a;", "x", v{0}, 1},
		{"mul24.lo.u32 %x, %a, %b;", "x", v{0xff000003, 5}, 15},
		{"bfind.shiftamt.u32 %x, %a;", "x", v{0x80}, 24},
		{"shf.l.clamp.b32 %x, %a, %b, %c;", "x", v{5, 9, 77}, 5},
		{"mad.hi.s32 %x, %a, %b, %c;", "x", v{neg(1), 5, 3}, 2},
		{"mad.wide.u16 %x, %ha, %hb, %c;", "x", v{0xffff, 2, 3}, 0x20001},
		// Predicates and choices.
		{"setp.le.s32 %p1, %a, %b;", "p", v{neg(1), neg(1)}, 1},
		{"setp.ge.u32 %p1, %a, %b;", "p", v{1, 2}, 0},
		{"setp.lo.u32 %p1, %a, %b;", "p", v{1, 2}, 1},
		{"setp.ls.u32 %p1, %a, %b;", "p", v{3, 2}, 0},
		{"setp.hs.u32 %p1, %a, %b;", "p", v{3, 2}, 1},
		{"setp.eq.s64 %p1, %qa, %qb;", "p", v{1 << 40, 1 << 40}, 1},
		{"setp.ne.s64 %p1, %qa, %qb;", "p", v{1 << 40, 1 << 41}, 1},
		{"setp.lt.u64 %p1, %qa, %qb;", "p", v{^uint64(0), 1}, 0},
		{"setp.gt.u64 %p1, %qa, %qb;", "p", v{^uint64(0), 1}, 1},
		{"setp.le.s64 %p1, %qa, %qb;", "p", v{^uint64(0), 1}, 1},
		{"setp.eq.f32 %p1, %fa, %fb;", "p", v{1 << 31, 0}, 1},
		{"setp.le.f32 %p1, %fa, %fb;", "p", v{u(nan), u(1)}, 0},
		{"setp.ge.f32 %p1, %fa, %fb;", "p", v{u(2), u(1)}, 1},
		{"setp.leu.f32 %p1, %fa, %fb;", "p", v{u(nan), u(1)}, 1},
		{"setp.gtu.f32 %p1, %fa, %fb;", "p", v{u(1), u(nan)}, 1},
		{"setp.geu.f32 %p1, %fa, %fb;", "p", v{u(1), u(2)}, 0},
		{"setp.gt.s32 %p2, %a, 0; setp.gt.or.s32 %p1, %b, 0, %p2;", "p", v{2, neg(1)}, 1},
		{"setp.gt.s32 %p2, %a, 0; setp.gt.xor.s32 %p1, %b, 0, %p2;", "p", v{2, 1}, 0},
		{"setp.gt.s32 %p2, %a, 0; selp.b64 %qx, %qb, %qc, %p2;", "q", v{1, 1 << 40, 6}, 1 << 40},
		{"setp.lt.s32 %p1, %a, %b;", "p", v{neg(1), 1}, 1},
		{"setp.lt.u32 %p1, %a, %b;", "p", v{neg(1), 1}, 0},
		{"setp.hi.u32 %p1, %a, %b;", "p", v{neg(1), 1}, 1},
		{"setp.ge.s64 %p1, %qa, %qb;", "p", v{^uint64(0), 0}, 0},
		{"setp.ne.b16 %p1, %ha, %hb;", "p", v{1, 2}, 1},
		{"setp.gt.s16 %p1, %ha, 0;", "p", v{0x8000}, 0},
		{"setp.eq.s16 %p1, %ha, -1;", "p", v{0xffff}, 1},
		{"setp.lt.f32 %p1, %fa, %fb;", "p", v{u(nan), u(1)}, 0},
		{"setp.ltu.f32 %p1, %fa, %fb;", "p", v{u(nan), u(1)}, 1},
		{"setp.neu.f32 %p1, %fa, %fb;", "p", v{u(nan), u(nan)}, 1},
		{"setp.ne.f32 %p1, %fa, %fb;", "p", v{u(nan), u(nan)}, 0},
		{"setp.equ.f32 %p1, %fa, %fb;", "p", v{u(nan), u(1)}, 1},
		{"setp.nan.f32 %p1, %fa, %fb;", "p", v{u(nan), u(1)}, 1},
		{"setp.num.f32 %p1, %fa, %fb;", "p", v{u(2), u(1)}, 1},
		{"setp.gt.ftz.f32 %p1, %fa, %fb;", "p", v{u(tiny), u(0)}, 0},
		{"setp.gt.f32 %p1, %fa, %fb;", "p", v{u(tiny), u(0)}, 1},
		{"setp.gt.s32 %p2|%p1, %a, %b;", "p", v{2, 1}, 0},
		{"setp.gt.s32 %p2, %a, 0; setp.gt.and.s32 %p1, %b, 0, %p2;", "p", v{2, 1}, 1},
		{"setp.gt.s32 %p2, %a, 0; setp.gt.and.s32 %p1, %b, 0, !%p2;", "p", v{2, 1}, 0},
		{"setp.gt.s32 %p2, %a, 0; setp.gt.s32 %p3, %b, 0; xor.pred %p1, %p2, %p3;", "p", v{2, 1}, 0},
		{"setp.gt.s32 %p2, %a, 0; not.pred %p1, %p2;", "p", v{2}, 0},
		{"set.lt.u32.s32 %x, %a, %b;", "x", v{1, 2}, 0xffffffff},
		{"set.gt.f32.f32 %fx, %fa, %fb;", "f", v{u(2), u(1)}, u(1)},
		{"setp.gt.s32 %p2, %a, 0; selp.b32 %x, %b, %c, %p2;", "x", v{1, 5, 6}, 5},
		{"setp.gt.s32 %p2, %a, 0; selp.f32 %fx, %fb, 0f40000000, %p2;", "f", v{0, 5, 6}, u(2)},
		{"setp.gt.s32 %p2, %a, 0; @%p2 mov.u32 %x, 7; @!%p2 mov.u32 %x, 8;", "x", v{1}, 7},
		// Floats.
		{"add.f32 %fx, %fa, %fb;", "f", v{u(1), u(0x1p-24)}, u(1)},
		{"add.ftz.f32 %fx, %fa, %fb;", "f", v{u(tiny), u(0)}, 0},
		{"add.f32 %fx, %fa, %fb;", "f", v{u(tiny), u(0)}, 1},
		{"sub.f32 %fx, %fa, %fb;", "f", v{u(1), u(3)}, u(-2)},
		{"mul.ftz.f32 %fx, %fa, %fb;", "f", v{u(0x1p-100), u(-0x1p-40)}, 1 << 31},
		{"mul.f32 %fx, %fa, %fb;", "f", v{u(0x1p-100), u(0x1p-40)}, 1 << 9},
		{"add.sat.f32 %fx, %fa, %fb;", "f", v{u(1), u(3)}, u(1)},
		{"mul.sat.f32 %fx, %fa, %fb;", "f", v{u(nan), u(3)}, 0},
		{"fma.rn.f32 %fx, %fa, %fb, %fc;", "f", v{u(1 + 0x1p-12), u(1 + 0x1p-12), u(-1 - 0x1p-11)}, u(0x1p-24)},
		{"fma.rn.f32 %fx, %fa, %fb, %fc;", "f", v{u(1 + 0x1p-23), u(1 - 0x1p-23), u(0x1p24)}, u(0x1p24)},
		{"fma.rn.f32 %fx, %fa, %fb, %fc;", "f", v{u(1), u(0x1p-60), u(1 + 0x1p-23)}, u(1 + 0x1p-23)},
		{"fma.rn.f32 %fx, %fa, %fb, %fc;", "f", v{u(1 + 0x1p-1), u(0x1p-60), u(inf)}, u(inf)},
		{"fma.rn.ftz.f32 %fx, %fa, %fb, %fc;", "f", v{u(0x1p-100), u(0x1p-100), u(tiny)}, 0},
		{"div.rn.f32 %fx, %fa, %fb;", "f", v{u(1), u(3)}, u(float32(1.0 / 3))},
		{"div.full.f32 %fx, %fa, %fb;", "f", v{u(1), u(4)}, u(0.25)},
		{"rcp.approx.ftz.f32 %fx, %fa;", "f", v{u(4)}, u(0.25)},
		{"rcp.approx.ftz.f32 %fx, %fa;", "f", v{u(tiny)}, u(inf)},
		{"sqrt.rn.f32 %fx, %fa;", "f", v{u(2)}, u(float32(math.Sqrt2))},
		{"rsqrt.approx.ftz.f32 %fx, %fa;", "f", v{u(0.25)}, u(2)},
		{"rsqrt.approx.f32 %fx, %fa;", "f", v{1 << 31}, u(-inf)},
		{"ex2.approx.ftz.f32 %fx, %fa;", "f", v{u(-1)}, u(0.5)},
		{"ex2.approx.ftz.f32 %fx, %fa;", "f", v{u(-inf)}, 0},
		{"ex2.approx.ftz.f32 %fx, %fa;", "f", v{u(-127)}, 0},
		{"lg2.approx.ftz.f32 %fx, %fa;", "f", v{u(8)}, u(3)},
		{"lg2.approx.ftz.f32 %fx, %fa;", "f", v{u(0)}, u(-inf)},
		{"tanh.approx.f32 %fx, %fa;", "f", v{u(inf)}, u(1)},
		{"max.f32 %fx, %fa, %fb;", "f", v{u(nan), u(3)}, u(3)},
		{"max.f32 %fx, %fa, %fb;", "f", v{u(nan), u(nan)}, nanBits},
		{"max.NaN.f32 %fx, %fa, %fb;", "f", v{u(nan), u(3)}, nanBits},
		{"max.f32 %fx, %fa, %fb;", "f", v{1 << 31, 0}, 0},
		{"min.f32 %fx, %fa, %fb;", "f", v{0, 1 << 31}, 1 << 31},
		{"min.ftz.f32 %fx, %fa, %fb;", "f", v{u(-tiny), u(3)}, 1 << 31},
		{"neg.f32 %fx, %fa;", "f", v{u(3)}, u(-3)},
		{"abs.f32 %fx, %fa;", "f", v{u(-3)}, u(3)},
		{"copysign.f32 %fx, %fa, %fb;", "f", v{u(-3), u(5)}, u(-5)},
		{"min.f32 %fx, %fa, %fb;", "f", v{u(3), u(nan)}, u(3)},
		{"min.f32 %fx, %fa, %fb;", "f", v{u(3), u(2)}, u(2)},
		{"min.NaN.f32 %fx, %fa, %fb;", "f", v{u(3), u(nan)}, nanBits},
		{"fma.rn.sat.f32 %fx, %fa, %fb, %fc;", "f", v{u(3), u(2), u(1)}, u(1)},
		{"sin.approx.f32 %fx, %fa;", "f", v{0}, 0},
		{"cos.approx.f32 %fx, %fa;", "f", v{0}, u(1)},
		// Conversions.
		{"cvt.sat.f32.f32 %fx, %fa;", "f", v{u(nan)}, 0},
		{"cvt.rpi.f32.f32 %fx, %fa;", "f", v{u(1.5)}, u(2)},
		{"cvt.rna.tf32.f32 %x, %fa;", "x", v{u(inf)}, u(inf)},
		{"cvt.rna.tf32.f32 %x, %fa;", "x", v{u(nan)}, nanBits},
		{"cvt.u32.u64 %x, %qa;", "x", v{0x1_2345_6789}, 0x23456789},
		{"cvt.u8.u32 %x, %a;", "x", v{0x1ff}, 0xff},
		{"cvt.rn.bf16.f32 %hx, %fa;", "h", v{u(1 + 0x1p-8)}, 0x3f80},
		{"cvt.rn.bf16.f32 %hx, %fa;", "h", v{u(1 + 3*0x1p-8)}, 0x3f82},
		{"cvt.rn.bf16.f32 %hx, %fa;", "h", v{u(nan)}, 0x7fff},
		{"cvt.rn.bf16.f32 %hx, %fa;", "h", v{u(math.MaxFloat32)}, 0x7f80},
		{"cvt.rz.bf16.f32 %hx, %fa;", "h", v{u(math.MaxFloat32)}, 0x7f7f},
		{"cvt.rn.relu.bf16.f32 %hx, %fa;", "h", v{u(-1)}, 0},
		{"cvt.rn.bf16x2.f32 %x, %fa, %fb;", "x", v{u(1), u(2)}, 0x3f804000},
		{"cvt.f32.bf16 %fx, %ha;", "f", v{0x3f80}, u(1)},
		{"cvt.rna.tf32.f32 %x, %fa;", "x", v{u(1 + 0x1p-11)}, u(1 + 0x1p-10)},
		{"cvt.rna.tf32.f32 %x, %fa;", "x", v{u(1 + 0x1p-12)}, u(1)},
		{"cvt.rn.f32.s32 %fx, %a;", "f", v{neg(3)}, u(-3)},
		{"cvt.rn.f32.u32 %fx, %a;", "f", v{0xffffffff}, u(0x1p32)},
		{"cvt.rn.f32.s64 %fx, %qa;", "f", v{^uint64(0)}, u(-1)},
		{"cvt.rn.f32.u16 %fx, %ha;", "f", v{0xffff}, u(65535)},
		{"cvt.rn.f32.s16 %fx, %ha;", "f", v{0xffff}, u(-1)},
		{"cvt.rzi.s32.f32 %x, %fa;", "x", v{u(-1.9)}, neg(1)},
		{"cvt.rni.s32.f32 %x, %fa;", "x", v{u(2.5)}, 2},
		{"cvt.rmi.s32.f32 %x, %fa;", "x", v{u(-1.1)}, neg(2)},
		{"cvt.rpi.s32.f32 %x, %fa;", "x", v{u(-1.9)}, neg(1)},
		{"cvt.rzi.s32.f32 %x, %fa;", "x", v{u(3e9)}, 0x7fffffff},
		{"cvt.rzi.s32.f32 %x, %fa;", "x", v{u(nan)}, 0},
		{"cvt.rzi.u32.f32 %x, %fa;", "x", v{u(-5)}, 0},
		{"cvt.rzi.u32.f32 %x, %fa;", "x", v{u(5e9)}, 0xffffffff},
		{"cvt.rzi.s64.f32 %qx, %fa;", "q", v{u(-0x1p40)}, ^uint64(1<<40) + 1},
		{"cvt.rzi.u64.f32 %qx, %fa;", "q", v{u(nan)}, 1 << 63},
		{"cvt.rzi.u16.f32 %hx, %fa;", "h", v{u(70000)}, 0xffff},
		{"cvt.rmi.f32.f32 %fx, %fa;", "f", v{u(-1.5)}, u(-2)},
		{"cvt.rni.f32.f32 %fx, %fa;", "f", v{u(3.5)}, u(4)},
		{"cvt.sat.f32.f32 %fx, %fa;", "f", v{u(3.5)}, u(1)},
		{"cvt.s64.s32 %qx, %a;", "q", v{neg(1)}, ^uint64(0)},
		{"cvt.u64.u32 %qx, %a;", "q", v{neg(1)}, 0xffffffff},
		{"cvt.s32.s16 %x, %ha;", "x", v{0x8000}, 0xffff8000},
		{"cvt.s32.s8 %x, %a;", "x", v{0x180}, 0xffffff80},
		{"cvt.u32.u8 %x, %a;", "x", v{0x180}, 0x80},
		{"cvt.u16.u64 %hx, %qa;", "h", v{0x12345678}, 0x5678},
		{"cvt.sat.u8.s32 %x, %a;", "x", v{300}, 255},
		{"cvt.sat.u8.s32 %x, %a;", "x", v{neg(1)}, 0},
		{"cvt.sat.s8.s32 %x, %a;", "x", v{neg(300)}, neg(128)},
		// bf16.
		{"fma.rn.bf16x2 %x, %a, %b, %c;", "x", v{0x40003f80, 0x40004000, 0x3f803f80}, 0x40a04040},
		{"max.bf16x2 %x, %a, %b;", "x", v{0x40003f80, 0x3f804000}, 0x40004000},
		{"neg.bf16x2 %x, %a;", "x", v{0x40003f80}, 0xc000bf80},
		// Moves.
		{"mov.b64 {%x, %y}, %qa; add.u32 %x, %x, %y;", "x", v{5<<32 | 6}, 11},
		{"mov.b64 %qx, {%a, %b};", "q", v{5, 6}, 6<<32 | 5},
		{"mov.b32 {%h1, %h2}, %a; mov.b32 %x, {%h2, %h1};", "x", v{0x12345678}, 0x56781234},
		{"mov.u32 %x, %ntid.x;", "x", v{}, 1},
		{"mov.u32 %x, %lanemask_lt;", "x", v{}, 0},
		{"mov.u32 %x, s; add.u32 %x, %x, 1;", "x", v{}, 1},
		{"mov.u32 %x, dyn;", "x", v{}, 4096},
		{"st.shared.b32 [s+8], %a; mov.u64 %qb, s; cvta.shared.u64 %qb, %qb; ld.b32 %x, [%qb+8];", "x", v{77}, 77},
		{"mov.u64 %qb, s; cvta.shared.u64 %qb, %qb; st.b16 [%qb+2], %ha; ld.shared.u16 %hx, [s+2];", "h", v{77}, 77},
		{"mov.u64 %qb, l; cvta.local.u64 %qb, %qb; st.local.u32 [l+4], %a; ld.u32 %x, [%qb+4];", "x", v{77}, 77},
		{"st.shared.v4.b32 [s+16], {%a, %b, %c, %a}; ld.shared.v2.u32 {%r1, %x}, [s+16];", "x", v{1, 2, 3}, 2},
		{"st.shared.v2.b64 [s+16], {%qa, %qb}; ld.shared.u64 %qx, [s+24];", "q", v{1, 2, 3}, 2},
		{"st.shared.u8 [s], %a; ld.shared.s8 %x, [s];", "x", v{0x80}, 0xffffff80},
		{"st.shared.u8 [s], %a; ld.shared.u8 %x, [s];", "x", v{0x180}, 0x80},
		{"st.shared.b16 [s], %ha; ld.shared.s16 %x, [s];", "x", v{0x8000}, 0xffff8000},
		{"ld.global.nc.L1::no_allocate.u32 %x, [%in];", "x", v{9}, 9},
		{"ld.volatile.global.u32 %x, [%in];", "x", v{9}, 9},
		{"ld.param.u32 %x, [k_in];", "x", v{9}, globalBase & 0xffffffff},
		// Atomics.
		{"st.shared.u32 [s], %a; atom.shared.add.u32 %x, [s], %b; ld.shared.u32 %y, [s]; shl.b32 %y, %y, 8; or.b32 %x, %x, %y;", "x", v{3, 4}, 0x703},
		{"st.shared.u32 [s], %a; atom.shared.cas.b32 %x, [s], %b, %c; ld.shared.u32 %x, [s];", "x", v{3, 3, 9}, 9},
		{"st.shared.u32 [s], %a; atom.shared.cas.b32 %x, [s], %b, %c; ld.shared.u32 %x, [s];", "x", v{3, 4, 9}, 3},
		{"st.shared.u32 [s], %a; atom.shared.exch.b32 %x, [s], %b; ld.shared.u32 %x, [s];", "x", v{3, 4}, 4},
		{"st.shared.u32 [s], %a; atom.shared.inc.u32 %x, [s], %b; ld.shared.u32 %x, [s];", "x", v{3, 3}, 0},
		{"st.shared.u32 [s], %a; red.shared.max.s32 [s], %b; ld.shared.u32 %x, [s];", "x", v{neg(3), 3}, 3},
		{"red.global.add.u32 [%in], %b; ld.global.u32 %x, [%in];", "x", v{3, 4}, 7},
		{"red.global.add.f32 [%in], %fb; ld.global.f32 %fx, [%in];", "f", v{u(3), u(4)}, u(7)},
		{"atom.global.add.u64 %qx, [%in], %qb; ld.global.u64 %qx, [%in];", "q", v{3, 4}, 7},
	} {
		out, err := snippetRun{}.run(c.code, c.result, [][3]uint64{c.in})
		if err != nil {
			t.Errorf("%s: %v", c.code, err)
		} else if out[0][0] != c.want {
			t.Errorf("%s of %#x gives %#x, want %#x", c.code, c.in, out[0][0], c.want)
		}
	}
}

// A fused product and sum is rounded once: against the sum in whole numbers.
func TestFMA(t *testing.T) {
	state := uint64(1)
	next := func() uint64 { state = state*6364136223846793005 + 1442695040888963407; return state >> 33 }
	for range 200000 {
		a := f32(uint32(0x3f800000 + next()%(1<<23)))
		b := f32(uint32(0x3f800000 + next()%(1<<23)))
		c := f32(uint32(0x3f800000+next()%(1<<23)) + uint32(next()%56)<<23 - 28<<23 | uint32(next()&1)<<31)
		if got, want := fma32(a, b, c), exactFMA(a, b, c); bits32(got) != bits32(want) {
			t.Fatalf("fma(%x, %x, %x) = %x, want %x", a, b, c, got, want)
		}
	}
}

// Instructions among lanes.
func TestLanes(t *testing.T) {
	in := make([][3]uint64, 32)
	for i := range in {
		in[i] = [3]uint64{uint64(100 + i), uint64(i)}
	}
	for _, c := range []struct {
		code string
		want func(i int) uint64
	}{
		{"shfl.sync.bfly.b32 %x, %a, 5, 31, -1;", func(i int) uint64 { return uint64(100 + (i ^ 5)) }},
		{"shfl.sync.idx.b32 %x, %a, 3, 31, -1;", func(i int) uint64 { return 103 }},
		{"shfl.sync.idx.b32 %x, %a, 3, 0x181f, -1;", func(i int) uint64 { return uint64(100 + i&^7 + 3) }}, // segments of 8
		{"shfl.sync.up.b32 %x|%p1, %a, 2, 0, -1;", func(i int) uint64 {
			if i < 2 {
				return uint64(100 + i)
			}
			return uint64(98 + i)
		}},
		{"shfl.sync.down.b32 %x, %a, 30, 31, -1;", func(i int) uint64 {
			if i < 2 {
				return uint64(130 + i)
			}
			return uint64(100 + i)
		}},
		{"shfl.sync.down.b32 %x|%p1, %a, 1, 0x1c1f, -1; selp.u32 %x, %x, 0, %p1;", func(i int) uint64 { // segments of 4
			if i%4 == 3 {
				return 0
			}
			return uint64(101 + i)
		}},
		{"setp.gt.u32 %p1, %b, 15; vote.sync.ballot.b32 %x, %p1, -1;", func(i int) uint64 { return 0xffff0000 }},
		{"setp.gt.u32 %p1, %b, 15; vote.sync.any.pred %p2, %p1, -1; selp.u32 %x, 1, 0, %p2;", func(i int) uint64 { return 1 }},
		{"setp.gt.u32 %p1, %b, 15; vote.sync.all.pred %p2, !%p1, -1; selp.u32 %x, 1, 0, %p2;", func(i int) uint64 { return 0 }},
		{"and.b32 %r1, %b, 1; match.any.sync.b32 %x, %r1, -1;", func(i int) uint64 { return 0x55555555 << (i & 1) }},
		{"redux.sync.add.s32 %x, %b, -1;", func(i int) uint64 { return 31 * 16 }},
		{"redux.sync.max.u32 %x, %b, -1;", func(i int) uint64 { return 31 }},
		{"activemask.b32 %x;", func(i int) uint64 { return 0xffffffff }},
		// Divergence, and lanes together again.
		{"setp.lt.u32 %p1, %b, 7; @%p1 bra L1; mov.u32 %x, 1; bra.uni L2; L1: mov.u32 %x, 2; activemask.b32 %y; L2: shfl.sync.bfly.b32 %x, %x, 31, 31, -1;", func(i int) uint64 {
			if 31-i < 7 {
				return 2
			}
			return 1
		}},
		{"mov.u32 %r1, %b; L1: add.u32 %x, %x, %r1; sub.u32 %r1, %r1, 1; setp.gt.s32 %p1, %r1, 0; @%p1 bra L1;", func(i int) uint64 {
			if i == 0 {
				return 0
			}
			return uint64(i * (i + 1) / 2)
		}},
		{"{ .reg .u32 %z; setp.eq.u32 %p1, %b, 3; @%p1 bra L1; shfl.sync.idx.b32 %x, %b, 9, 31, 0xfffffff7; L1: }", func(i int) uint64 {
			if i == 3 {
				return 0
			}
			return 9
		}},
	} {
		out, err := snippetRun{threads: 32}.run(c.code, "x", in)
		if err != nil {
			t.Errorf("%s: %v", c.code, err)
			continue
		}
		for i := range out {
			if want := c.want(i); out[i][0] != want {
				t.Errorf("%s: lane %d has %#x, want %#x", c.code, i, out[i][0], want)
				break
			}
		}
	}
}

// What kernels must not do, and what the interpreter says of it.
func TestFaults(t *testing.T) {
	for _, c := range []struct {
		name, code string
		run        snippetRun
		want       string // of the message
	}{
		{"beyond memory", "ld.global.u32 %x, [%in+24];", snippetRun{}, "byte 24 of an allocation of 24"},
		{"before memory", "ld.global.u32 %x, [%in+-4];", snippetRun{}, "no memory of the device"},
		{"beyond memory, written", "st.global.u32 [%out+16], %a;", snippetRun{}, "write of"},
		{"misaligned", "ld.global.u32 %x, [%in+2];", snippetRun{}, "not aligned"},
		{"misaligned vector", "ld.global.v2.u32 {%x, %y}, [%in+4];", snippetRun{}, "not aligned"},
		{"misaligned shared", "st.shared.v4.u32 [s+8], {%a, %a, %a, %a};", snippetRun{}, "not aligned"},
		{"beyond shared", "st.shared.u32 [s+4096], %a;", snippetRun{}, "of shared memory"},
		{"beyond dynamic", "st.shared.u32 [dyn+64], %a;", snippetRun{shared: 64}, "of 4160 bytes of shared memory"},
		{"unwritten global", "ld.global.u32 %x, [%m];", snippetRun{memory: 64}, "nobody wrote"},
		{"half unwritten", "st.global.u16 [%m], %ha; ld.global.u32 %x, [%m];", snippetRun{memory: 64}, "2 of the 4 bytes"},
		{"unwritten shared", "ld.shared.u32 %x, [s];", snippetRun{}, "shared memory that nobody wrote"},
		{"unwritten local", "ld.local.u32 %x, [l];", snippetRun{}, "nobody wrote"},
		{"unwritten register", "add.u32 %x, %r5, %a;", snippetRun{}, "register %r5"},
		{"unwritten predicate", "@%p5 mov.u32 %x, 1;", snippetRun{}, "register %p5"},
		{"written by other lanes", "setp.eq.u32 %p1, %t, 3; @%p1 mov.u32 %r5, 1; add.u32 %x, %r5, 1;", snippetRun{threads: 32}, "lane 0"},
		{"moved and used", "mov.u32 %r6, %r5; add.u32 %x, %r6, %a;", snippetRun{}, "register %r6"},
		{"division by zero", "div.u32 %x, %a, 0;", snippetRun{}, "by zero"},
		{"parameters", "ld.param.u64 %qx, [k_m+8];", snippetRun{}, "of parameters"},
		{"barrier in a branch", "setp.lt.u32 %p1, %t, 3; @%p1 bra L1; bar.sync 0; L1:", snippetRun{threads: 32}, "a barrier that only lanes"},
		{"barrier of some warps", "setp.lt.u32 %p1, %t, 32; @%p1 bra L1; bar.sync 0; L1:", snippetRun{threads: 64}, "deadlock"},
		{"two barriers", "setp.lt.u32 %p1, %t, 32; @%p1 bra L1; bar.sync 1; bra L2; L1: bar.sync 2; L2:", snippetRun{threads: 64}, "deadlock"},
		{"barrier of 48", "bar.sync 1, 48;", snippetRun{threads: 64}, "multiple of 32"},
		{"for ever", "L1: setp.eq.u32 %p1, %t, 99; @!%p1 bra L1;", snippetRun{}, "does not end"},
		{"race, read after write", "shl.b32 %r1, %t, 2; mov.u32 %r2, s; add.u32 %r1, %r1, %r2; st.shared.u32 [%r1], %t; xor.b32 %r1, %r1, 128; ld.shared.u32 %x, [%r1];", snippetRun{threads: 64}, ""},
		{"race, write after read", "shl.b32 %r1, %t, 2; mov.u32 %r2, s; add.u32 %r1, %r1, %r2; st.shared.u32 [%r1], %t; bar.sync 0; xor.b32 %r3, %r1, 128; ld.shared.u32 %x, [%r3]; st.shared.u32 [%r1], %x;", snippetRun{threads: 64}, "race: "},
		{"race, two writes", "st.shared.u32 [s], %a;", snippetRun{threads: 64}, "race: write of shared memory"},
		{"race of blocks, two writes", "st.global.u32 [%m], %a;", snippetRun{grid: 2, memory: 64}, "race: write of global memory"},
		{"race of blocks, write and read", "mov.u32 %r1, %ctaid.x; mad.wide.u32 %qx, %r1, 4, %in; ld.global.u32 %x, [%in]; st.global.u32 [%qx], %x;", snippetRun{grid: 2, memory: 64}, "race:"},
		{"race of lanes", "st.shared.u32 [s], %t;", snippetRun{threads: 32}, "race: lanes 0 and 1"},
		{"race of lanes, read after write", "shl.b32 %r1, %t, 2; mov.u32 %r2, s; add.u32 %r1, %r1, %r2; st.shared.u32 [%r1], %t; xor.b32 %r1, %r1, 4; ld.shared.u32 %x, [%r1];", snippetRun{threads: 32}, "race: read of shared memory at 4, which lane 1 of the warp wrote with no bar.warp.sync"},
		{"race of lanes, a shuffle orders no memory", "shl.b32 %r1, %t, 2; mov.u32 %r2, s; add.u32 %r1, %r1, %r2; st.shared.u32 [%r1], %t; shfl.sync.bfly.b32 %x, %a, 1, 31, -1; xor.b32 %r1, %r1, 4; ld.shared.u32 %x, [%r1];", snippetRun{threads: 32}, "no bar.warp.sync"},
		{"race with atomics", "setp.eq.u32 %p1, %r63, 0; @%p1 st.global.u32 [%in], %a; @!%p1 red.global.add.u32 [%in], 1;", snippetRun{grid: 2}, "race:"},
		{"no wait", "cp.async.ca.shared.global [s], [%in], 16; cp.async.commit_group; ld.shared.u32 %x, [s];", snippetRun{}, "under way"},
		{"wait for one of two", "cp.async.ca.shared.global [s], [%in], 16; cp.async.commit_group; cp.async.commit_group; cp.async.wait_group 2; ld.shared.u32 %x, [s];", snippetRun{}, "under way"},
		{"no commit", "cp.async.ca.shared.global [s], [%in], 16; cp.async.wait_group 0; ld.shared.u32 %x, [s];", snippetRun{}, "under way"},
		{"copy misaligned", "cp.async.cg.shared.global [s], [%in+8], 16;", snippetRun{}, "not aligned"},
		{"copy to misaligned", "cp.async.cg.shared.global [s+8], [%in], 16;", snippetRun{}, "not aligned"},
		{"copy beyond", "cp.async.ca.shared.global [s], [%in+16], 16;", snippetRun{}, ""},
		{"copy without a barrier", "setp.gt.u32 %p1, %t, 31; @%p1 bra L1; cp.async.ca.shared.global [s], [%in], 16; cp.async.wait_all; L1: ld.shared.u32 %x, [s];", snippetRun{threads: 64}, ""},
		{"shuffle of absent lanes", "setp.eq.u32 %p1, %t, 3; @%p1 bra L1; shfl.sync.idx.b32 %x, %a, 9, 31, 0xffffffff; L1:", snippetRun{threads: 32}, "the mask names"},
		{"shuffle from an absent lane", "setp.eq.u32 %p1, %t, 3; @%p1 bra L1; shfl.sync.idx.b32 %x, %a, 3, 31, 0xfffffff7; L1:", snippetRun{threads: 32}, "lane 3, which is not here"},
		{"shuffle of nothing", "setp.eq.u32 %p1, %t, 3; @%p1 mov.u32 %r5, 1; shfl.sync.idx.b32 %x, %r5, 4, 31, -1;", snippetRun{threads: 32}, "before it has a value"},
		{"ldmatrix misaligned", "mov.u32 %r1, s; add.u32 %r1, %r1, 8; ldmatrix.sync.aligned.m8n8.x1.shared.b16 {%x}, [%r1];", snippetRun{threads: 32}, "not aligned"},
		{"ldmatrix of nothing", "mov.u32 %r1, s; ldmatrix.sync.aligned.m8n8.x1.shared.b16 {%x}, [%r1];", snippetRun{threads: 32}, "nobody wrote"},
		{"ldmatrix of half a warp", "mov.u32 %r1, s; setp.lt.u32 %p1, %t, 3; @%p1 ldmatrix.sync.aligned.m8n8.x1.shared.b16 {%x}, [%r1];", snippetRun{threads: 32}, "whole warp"},
	} {
		if c.run.grid > 1 {
			c.code = "mov.u32 %r63, %ctaid.x;" + c.code
		}
		for _, lazy := range []bool{false, true} {
			c.run.modes.Lazy = lazy
			_, err := c.run.run(c.code, "x", [][3]uint64{{1, 2, 3}})
			if err == nil {
				t.Errorf("%s: no error (lazy: %v)", c.name, lazy)
			} else if _, ok := err.(*Fault); !ok || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "PTX line") {
				t.Errorf("%s: %v", c.name, err)
			}
		}
	}
}

// What is right and looks like a fault.
func TestNoFaults(t *testing.T) {
	for _, c := range []struct {
		name, code string
		run        snippetRun
	}{
		{"value not chosen", "setp.eq.u32 %p1, %a, 1; selp.u32 %x, %a, %r5, %p1;", snippetRun{}},
		{"moved and not used", "mov.u32 %r6, %r5;", snippetRun{}},
		{"barriers", "st.shared.u32 [s], %a; bar.sync 0; ld.shared.u32 %x, [s]; bar.sync 0; st.shared.u32 [s], %a;", snippetRun{threads: 32}},
		{"exchange", "shl.b32 %r1, %t, 2; mov.u32 %r2, s; add.u32 %r1, %r1, %r2; st.shared.u32 [%r1], %t; bar.sync 0; xor.b32 %r3, %r1, 128; ld.shared.u32 %x, [%r3]; bar.sync 0; st.shared.u32 [%r1], %x;", snippetRun{threads: 64}},
		{"lanes that write the same", "st.shared.u32 [s], %a;", snippetRun{threads: 32}},
		{"named barriers", "setp.lt.u32 %p1, %t, 32; @%p1 bra L1; bar.sync 1, 64; ld.shared.u32 %x, [s]; bra L2; L1: st.shared.u32 [s], %t; bar.arrive 1, 64; L2:", snippetRun{threads: 96}},
		{"halves of a word", "mov.u32 %r1, %ctaid.x; mad.wide.u32 %qx, %r1, 2, %m; st.global.u16 [%qx], %ha;", snippetRun{grid: 2, memory: 4}},
		{"halves of a shared word", "shr.u32 %r1, %t, 5; shl.b32 %r1, %r1, 1; mov.u32 %r2, s; add.u32 %r1, %r1, %r2; st.shared.u16 [%r1], %ha;", snippetRun{threads: 64}},
		{"atomics of blocks", "red.global.add.u32 [%in+8], 1;", snippetRun{grid: 4}},
		{"all blocks read", "ld.global.u32 %x, [%in];", snippetRun{grid: 4}},
		{"zeros of no source", "mov.u32 %r1, 0; cp.async.ca.shared.global [s], [%in+1600], 16, %r1; cp.async.wait_all; ld.shared.u32 %x, [s];", snippetRun{}},
		{"part of a source", "mov.u32 %r1, 12; cp.async.cg.shared.global [s], [%m], 16, %r1; cp.async.wait_all; ld.shared.u32 %x, [s];", snippetRun{memory: -12}},
		{"an empty group", "cp.async.ca.shared.global [s], [%in], 16; cp.async.commit_group; cp.async.commit_group; cp.async.wait_group 1; ld.shared.u32 %x, [s];", snippetRun{}},
	} {
		if strings.Contains(c.name, "named") {
			c.code = strings.ReplaceAll(c.code, "st.shared.u32 [s], %t;", "setp.eq.u32 %p2, %t, 0; @%p2 st.shared.u32 [s], %t;")
			c.code = "setp.gt.u32 %p3, %t, 63; @%p3 bra L2; " + c.code
		}
		if c.run.memory < 0 {
			c.run.memory = 0
			c.code = strings.ReplaceAll(c.code, "[%m]", "[%in]")
		}
		for _, modes := range []Modes{{}, {Lazy: true}, {Reverse: true}, {Lazy: true, Reverse: true}} {
			c.run.modes = modes
			code := c.code
			if c.run.grid > 1 {
				code += "setp.ne.u32 %p7, %r63, 0; @%p7 ret;"
				code = "mov.u32 %r63, %ctaid.x;" + code
			}
			if _, err := c.run.run(code, "x", [][3]uint64{{1, 2, 3}}); err != nil {
				t.Errorf("%s (%+v): %v", c.name, modes, err)
			}
		}
	}
}

func TestCopyFillsZeros(t *testing.T) {
	for _, lazy := range []bool{false, true} {
		out, err := snippetRun{modes: Modes{Lazy: lazy}}.run("mov.u32 %r1, 12; cp.async.cg.shared.global [s], [%in], 16, %r1; cp.async.commit_group; cp.async.wait_group 0; ld.shared.v2.u64 {%qx, %qy}, [s];mov.u64 %qx, %qy;", "q", [][3]uint64{{1, 0x12345678_9abcdef0}})
		if err != nil || out[0][0] != 0x9abcdef0 {
			t.Errorf("%#x, %v", out, err)
		}
	}
}

func hex(x uint64) string { return fmt.Sprintf("%#x", x) }
