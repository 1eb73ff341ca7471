package ptx

import (
	"strings"
	"testing"
)

// own is the address of lane t's element of so many bytes at %m and in s: %rd1 and %r1.
const own = "mul.wide.u32 %rd1, %t, N; add.u64 %rd1, %rd1, %m; mov.u32 %r1, s; mad.lo.u32 %r1, %t, N, %r1;"

// Rows of lanes go by another way than lanes one by one: both give the same, and the same faults at the same lanes.
func TestRowsOfLanes(t *testing.T) {
	in := make([][3]uint64, 64)
	for i := range in {
		in[i] = [3]uint64{uint64(i) * 0x01010101, uint64(i + 100), uint64(i + 200)}
	}
	for _, c := range []struct {
		bytes, code string
		want        func(i uint64) uint64
	}{
		{"4", "st.global.u32 [%rd1], %a; ld.global.u32 %x, [%rd1];", func(i uint64) uint64 { return i * 0x01010101 }},
		{"4", "st.shared.u32 [%r1], %a; ld.shared.u32 %x, [%r1];", func(i uint64) uint64 { return i * 0x01010101 }},
		{"2", "st.global.u16 [%rd1], %ha; ld.global.u16 %hx, [%rd1]; cvt.u32.u16 %x, %hx;", func(i uint64) uint64 { return i * 0x0101 }},
		{"2", "st.shared.u16 [%r1], %ha; ld.shared.u16 %hx, [%r1]; cvt.u32.u16 %x, %hx;", func(i uint64) uint64 { return i * 0x0101 }},
		{"8", "st.global.v2.u32 [%rd1], {%a, %b}; ld.global.v2.u32 {%y, %x}, [%rd1];", func(i uint64) uint64 { return i + 100 }},
		{"16", "st.shared.v4.u32 [%r1], {%a, %b, %c, %a}; ld.shared.v4.u32 {%y, %y, %x, %y}, [%r1];", func(i uint64) uint64 { return i + 200 }},
		{"16", "st.global.v4.u32 [%rd1], {%a, %b, %c, %a}; ld.global.v4.u32 {%y, %y, %x, %y}, [%rd1];", func(i uint64) uint64 { return i + 200 }},
		{"1", "st.global.u8 [%rd1], %a; ld.global.u8 %x, [%rd1];", func(i uint64) uint64 { return i }},
		{"8", "st.global.u64 [%rd1], %qb; ld.global.u64 %qx, [%rd1]; cvt.u32.u64 %x, %qx;", func(i uint64) uint64 { return i + 100 }},
	} {
		for _, guard := range []string{"", "@%p1 "} { // with one lane of the warp missing
			code := strings.ReplaceAll(own, "N", c.bytes) + "setp.ne.u32 %p1, %t, 5;" + guard + strings.ReplaceAll(c.code, "; ", "; "+guard)
			out, err := snippetRun{threads: 64, memory: 4096}.run(code, "x", in)
			if err != nil {
				t.Fatalf("%s: %v", code, err)
			}
			for i := range out {
				want := c.want(uint64(i)) & 0xffffffff
				if guard != "" && i == 5 {
					want = 0
				}
				if out[i][0] != want {
					t.Fatalf("%s: thread %d has %#x, want %#x", code, i, out[i][0], want)
				}
			}
		}
	}

	const others = "setp.ne.u32 %p1, %t, 7; "
	for _, c := range []struct{ name, bytes, code, what, where string }{
		{"global", "4", others + "@%p1 st.global.u32 [%rd1], %a; ld.global.u32 %x, [%rd1];", "global memory that nobody wrote", "lane 7"},
		{"shared", "4", others + "@%p1 st.shared.u32 [%r1], %a; ld.shared.u32 %x, [%r1];", "shared memory that nobody wrote", "lane 7"},
		{"halves", "2", others + "@%p1 st.global.u16 [%rd1], %ha; ld.global.u16 %hx, [%rd1];", "global memory that nobody wrote", "lane 7"},
		{"beyond", "4", "st.global.u32 [%rd1+1920], %a;", "byte 2048 of an allocation of 2048", "thread (32,0,0) (warp 1, lane 0)"},
		{"beyond, in the row", "4", "st.global.u32 [%rd1+1860], %a;", "byte 2048 of an allocation of 2048", "thread (47,0,0) (warp 1, lane 15)"},
		{"beyond shared", "4", "st.shared.u32 [%r1+4080], %a;", "shared memory", "lane 4"},
		{"misaligned", "4", "st.global.u32 [%rd1+2], %a;", "not aligned", "lane 0"},
		{"race of warps", "4", "st.shared.u32 [%r1], %a; bar.warp.sync -1; setp.gt.u32 %p1, %t, 31; @%p1 bra L1; ld.shared.u32 %x, [%r1+112]; L1:", "race: read of shared memory at 128, which warp 1 wrote", "warp 0, lane 4"},
		{"pending", "4", "setp.eq.u32 %p1, %t, 0; @%p1 cp.async.ca.shared.global [s+8], [%in], 4; ld.shared.u32 %x, [%r1+8];", "under way", "lane 0"},
	} {
		_, err := snippetRun{threads: 64, memory: 2048, modes: Modes{Reverse: c.name == "race of warps"}}.run(strings.ReplaceAll(own, "N", c.bytes)+c.code, "x", in)
		if err == nil || !strings.Contains(err.Error(), c.what) || !strings.Contains(err.Error(), c.where) {
			t.Errorf("%s: %v; want %q at %q", c.name, err, c.what, c.where)
		}
	}
}

// Races of blocks say who, in rows of lanes too, and in whatever launch: marks of earlier launches count for nothing.
func TestRacesOfBlocks(t *testing.T) {
	d := New(Modes{}, 8, 0)
	const code = "mov.u32 %r63, %ctaid.x; mul.wide.u32 %rd1, %t, 4; add.u64 %rd1, %rd1, %m; "
	end := "setp.ne.u32 %p7, %r63, 0; @%p7 ret;"
	for range 3 {
		if _, err := (snippetRun{driver: d, threads: 32, grid: 2, memory: 256}).run(code+"mad.wide.u32 %rd1, %r63, 128, %rd1; st.global.u32 [%rd1], %t; ld.global.u32 %x, [%rd1];"+end, "x", nil); err != nil {
			t.Fatal(err)
		}
		_, err := snippetRun{driver: d, threads: 32, grid: 2, memory: 256}.run(code+"mad.wide.u32 %rd1, %r63, 100, %rd1; st.global.u32 [%rd1], %t;"+end, "x", nil)
		if err == nil || !strings.Contains(err.Error(), "race: write of global memory") {
			t.Fatal(err)
		}
		d.memory.launches += launchLimit/2 - 1 // so that the counter begins again
		if d.memory.launches >= launchLimit {
			d.memory.launches = launchLimit - 1
		}
	}
}

// What the interpreter cannot do it says when the kernel is asked for, with its place.
func TestUnknown(t *testing.T) {
	for code, want := range map[string]string{
		"frobnicate.b32 %x, %a;":    "does not know the instruction frobnicate.b32\n\tat PTX line 20 of kernel k: frobnicate.b32 %x, %a",
		"mov.u32 %x, %envreg3;":     "special register %envreg3",
		"add.f64 %qx, %qa, %qb;":    ".f64",
		"add.u32 %x, %qa, %b;":      "wrong width",
		"add.u32 %x, %a;":           "operand 2 is missing",
		"bra nowhere;":              "label nowhere",
		"add.u32 %x, %a, %nothing;": "special register %nothing",
		"mma.sync.aligned.m8n8k4.row.col.f32.f16.f16.f32 {%f0}, {%a}, {%b}, {%f0};": "this mma",
		"cp.async.cg.shared.global [s], [%in], 8;":                                  "copy of 8 bytes",
		"cvt.rn.f16.f32 %hx, %fa;":                                                  "conversions between",
		"setp.foo.s32 %p1, %a, %b;":                                                 "comparison .foo",
		"add.rz.f32 %fx, %fa, %fb;":                                                 "rounding .rz",
		"bfe.u16 %hx, %ha, 1, 2;":                                                   "16 bits",
	} {
		if _, err := (snippetRun{}).run(code, "x", nil); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "PTX line 20") {
			t.Errorf("%s: %v, want %q", code, err, want)
		}
	}
}

func TestCoverage(t *testing.T) {
	code := "setp.eq.u32 %p1, %t, 77; @%p1 bra L1; setp.lt.u32 %p1, %t, 9; @%p1 bra L2; mov.u32 %x, 1; L1: mov.u32 %x, 2; L2:"
	if _, err := (snippetRun{threads: 64}).run(code, "x", nil); err != nil {
		t.Fatal(err)
	}
	text := []byte(snippetHead + code + "\n" + finishes["x"] + snippetTail)
	list, err := Uncovered(text)
	if err != nil || len(list) != 1 || list[0] != "20: k: @%p1 bra L1 (never taken)" {
		t.Errorf("%q, %v", list, err)
	}
	if n, err := LaunchesOf(text); err != nil || n["k"] != 1 {
		t.Errorf("%v, %v", n, err)
	}
	list, err = Uncovered([]byte(snippetHead + "mov.u32 %x, 12345;" + snippetTail))
	if err != nil || len(list) != 1 || !strings.Contains(list[0], "kernel k was never launched") {
		t.Errorf("%q, %v", list, err)
	}
}
