package ptx

import (
	"encoding/binary"
	"fmt"
	"math"
	"regexp"
	"strings"
	"testing"

	"github.com/godino-ml/godino/kernels/cuda"
)

// hopperKernel is a kernel of one warp group with two tensor maps and a pointer %out; %s is its shared memory, 32 KB, at whose end is an mbarrier, %bar. Thread 0
// does one, all do what follows.
func hopperKernel(one, all string) string {
	return `
.version 8.0
.target sm_90a
.address_size 64
.visible .entry k(.param .align 64 .b8 k_a[128], .param .align 64 .b8 k_b[128], .param .u64 k_out)
{
.reg .pred %p<4>; .reg .b32 %t, %s, %bar, %x; .reg .b64 %ma, %mb, %out, %own, %d; .reg .f32 %f<128>;
.shared .align 1024 .b8 s[32784];
mov.b64 %ma, k_a; cvta.param.u64 %ma, %ma; mov.b64 %mb, k_b; cvta.param.u64 %mb, %mb;
ld.param.u64 %out, [k_out];
mov.u32 %t, %tid.x; mov.u32 %s, s; add.u32 %bar, %s, 32768;
mad.wide.u32 %own, %t, 128, %out;
setp.ne.u32 %p1, %t, 0;
@%p1 bra $rest;
mbarrier.init.shared::cta.b64 [%bar], 1;
fence.mbarrier_init.release.cluster;
` + one + `
$rest:
bar.sync 0;
` + all + `
ret;
}
`
}

const waitForTMA = `
$wait:
mbarrier.try_wait.parity.shared::cta.b64 %p2, [%bar], 0;
@!%p2 bra $wait;
bar.sync 0;
`

func runHopper(modes Modes, text string, maps [2]*cuda.TensorMap, out cuda.Ptr, d *Driver) error {
	m, err := d.Load([]byte(text))
	if err != nil {
		return err
	}
	f, err := d.Function(m, "k", 0)
	if err != nil {
		return err
	}
	var args []byte
	for _, m := range maps {
		b, err := d.TensorMap(m)
		if err != nil {
			return err
		}
		args = append(args, b[:]...)
	}
	return d.Launch(f, &cuda.Launch{Grid: cuda.Dim{X: 1}, Block: cuda.Dim{X: 128}, Args: binary.LittleEndian.AppendUint64(args, uint64(out))})
}

// numbered is bf16 integers in memory, all of which are exact: a function of the index.
func numbered(t *testing.T, d *Driver, n int, value func(i int) int) cuda.Ptr {
	b := make([]byte, 2*n)
	for i := range n {
		binary.LittleEndian.PutUint16(b[2*i:], uint16(math.Float32bits(float32(value(i)))>>16))
	}
	p, err := d.Alloc(len(b))
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Upload(cuda.Compute, p, b); err != nil {
		t.Fatal(err)
	}
	return p
}

func fetch(t *testing.T, d *Driver, p cuda.Ptr, n int) []byte {
	b := make([]byte, n)
	if err := d.Download(b, p); err != nil {
		t.Fatal(err)
	}
	return b
}

// Products of 64×16·16×64 and longer ones, of tiles that TMA has written, in all layouts of shared memory that wgmma knows. What TMA does with a box and what a
// descriptor means are separate rules here; a product is right if they fit.
func TestMatrixDescriptors(t *testing.T) {
	for _, swizzle := range []int{0, 32, 64, 128} {
		for major := range 4 {
			for _, modes := range []Modes{{}, {Lazy: true}} {
				t.Run(fmt.Sprintf("%d %02b %v", swizzle, major, modes.Lazy), func(t *testing.T) {
					d := New(modes, 9, 0)
					a := func(i, k int) int { return (7*i+3*k)%13 - 6 }
					b := func(j, k int) int { return (5*j+11*k)%9 - 4 }
					span := max(swizzle, 16) // bytes of a row of a box
					terms := 16
					if major == 0 {
						terms = max(span/2, 16)
					}
					var one strings.Builder
					var maps [2]*cuda.TensorMap
					bytes := 0
					var start, advance [2]int // of the descriptors
					for o, value := range []func(i, k int) int{a, b} {
						isMajor := major>>o&1 != 0
						var boxes, columns, rows, leading, stride int
						if isMajor { // rows of memory are terms
							columns, rows = 64, terms
							boxes = 64 / (span / 2)
							leading, stride = 16*span, 8*span
							if swizzle == 0 {
								leading, stride = stride, leading
							}
						} else {
							columns, rows = terms, 64
							boxes = terms / (span / 2)
							leading, stride = 64*span, 8*span
							if swizzle > 0 {
								boxes = (terms + span/2 - 1) / (span / 2)
								advance[o] = 2 // 32 bytes
							}
						}
						at := numbered(t, d, columns*rows, func(i int) int {
							if isMajor {
								return value(i%columns, i/columns)
							}
							return value(i/columns, i%columns)
						})
						maps[o] = &cuda.TensorMap{Base: at, Type: cuda.BFloat16, Dims: []int{columns, rows}, Strides: []int{2 * columns}, Box: []int{span / 2, rows}, Swizzle: swizzle}
						for i := range boxes {
							fmt.Fprintf(&one, "add.u32 %%x, %%s, %d;\ncp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%%x], [%%m%c, {%d, 0}], [%%bar];\n",
								16384*o+i*rows*span, 'a'+o, i*span/2)
							bytes += rows * span
						}
						mode := map[int]int{0: 0, 128: 1, 64: 2, 32: 3}[swizzle]
						start[o] = mode<<62 | stride/16<<32 | leading/16<<16 | 16384*o/16
					}
					all := waitForTMA
					var sums []string
					for i := range 32 {
						all += fmt.Sprintf("mov.f32 %%f%d, 0f00000000;\n", i)
						sums = append(sums, fmt.Sprintf("%%f%d", i))
					}
					all += "wgmma.fence.sync.aligned;\n"
					for q := range terms / 16 {
						all += fmt.Sprintf("wgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16 {%s}, %d, %d, 1, 1, 1, %d, %d;\n", strings.Join(sums, ","),
							uint64(start[0]+q*advance[0]), uint64(start[1]+q*advance[1]), major&1, major>>1)
					}
					all += "wgmma.commit_group.sync.aligned;\nwgmma.wait_group.sync.aligned 0;\n"
					for i := range 32 {
						all += fmt.Sprintf("st.global.f32 [%%own+%d], %%f%d;\n", 4*i, i)
					}
					out, _ := d.Alloc(128 * 128)
					if err := runHopper(modes, hopperKernel(fmt.Sprintf("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%%bar], %d;\n", bytes)+one.String(), all), maps, out, d); err != nil {
						t.Fatal(err)
					}
					got := fetch(t, d, out, 128*128)
					for thread := range 128 {
						for i := range 32 {
							row, column := thread/32*16+thread%32/4+i/2%2*8, i/4*8+thread%4*2+i%2
							want := 0
							for k := range terms {
								want += a(row, k) * b(column, k)
							}
							if x := math.Float32frombits(binary.LittleEndian.Uint32(got[128*thread+4*i:])); x != float32(want) {
								t.Fatalf("sum %d of thread %d, row %d, column %d: %v, want %d", i, thread, row, column, x, want)
							}
						}
					}
				})
			}
		}
	}
}

// Where the swizzles put the 16-byte units of rows (the tables of "Tensor swizzling modes" in the PTX ISA): unit i of row r of 128, 64 or 32 bytes.
func TestSwizzle(t *testing.T) {
	for _, c := range []struct{ bytes, row, unit, want int }{
		{128, 0, 3, 3}, {128, 1, 0, 1}, {128, 1, 1, 0}, {128, 5, 2, 7}, {128, 7, 7, 0}, {128, 9, 0, 1},
		{64, 0, 1, 1}, {64, 1, 1, 1}, {64, 2, 0, 1}, {64, 3, 1, 0}, {64, 6, 0, 3}, {64, 7, 3, 0},
		{32, 3, 0, 0}, {32, 4, 0, 1}, {32, 7, 1, 0}, {32, 8, 1, 1},
		{0, 5, 2, 2},
	} {
		span := c.bytes
		if span == 0 {
			span = 128
		}
		if got := swizzled(c.row*span+16*c.unit, c.bytes); got != c.row*span+16*c.want {
			t.Errorf("swizzle of %d bytes: unit %d of row %d is at %d, want %d", c.bytes, c.unit, c.row, got-c.row*span, 16*c.want)
		}
	}
}

// A box of three dimensions through shared memory to another place, over the edges of both tensors.
func TestTMAStore(t *testing.T) {
	for _, modes := range []Modes{{}, {Lazy: true}} {
		d := New(modes, 9, 0)
		from := numbered(t, d, 40*6*5, func(i int) int { return i % 251 })
		to := numbered(t, d, 40*6*5, func(i int) int { return -1 })
		m := &cuda.TensorMap{Type: cuda.BFloat16, Dims: []int{40, 6, 5}, Strides: []int{80, 480}, Box: []int{32, 4, 2}, Swizzle: 64}
		source, target := *m, *m
		source.Base, target.Base = from, to
		one := `
mbarrier.arrive.expect_tx.shared::cta.b64 _, [%bar], 512;
cp.async.bulk.tensor.3d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%s], [%ma, {16, 3, 4}], [%bar];
`
		all := waitForTMA + `
@%p1 ret;
cp.async.bulk.tensor.3d.global.shared::cta.tile.bulk_group [%mb, {24, -1, 3}], [%s];
cp.async.bulk.commit_group;
cp.async.bulk.wait_group.read 0;
`
		out, _ := d.Alloc(16)
		if err := runHopper(modes, hopperKernel(one, all), [2]*cuda.TensorMap{&source, &target}, out, d); err != nil {
			t.Fatal(err)
		}
		got := fetch(t, d, to, 2*40*6*5)
		for i := range 40 * 6 * 5 {
			x, y, z := i%40, i/40%6, i/240
			want := -1
			if x, y, z := x-24, y+1, z-3; x >= 0 && x < 32 && y >= 0 && y < 4 && z >= 0 && z < 2 {
				if want = 0; x+16 < 40 && y+3 < 6 && z+4 < 5 {
					want = (x + 16 + 40*(y+3) + 240*(z+4)) % 251
				}
			}
			if v := math.Float32frombits(uint32(binary.LittleEndian.Uint16(got[2*i:])) << 16); v != float32(want) {
				t.Fatalf("(%d,%d,%d) is %v, want %d", x, y, z, v, want)
			}
		}
	}
}

// What is reported of mbarriers, TMA and wgmma, beside what TestMutations of package cuda finds in kernels.
func TestHopperFaults(t *testing.T) {
	const (
		expect = "mbarrier.arrive.expect_tx.shared::cta.b64 _, [%bar], 1024;\n"
		load   = "cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%s], [%ma, {0, 0}], [%bar];\n"
		write  = "st.shared.u32 [%s], %t;\n"
		store  = "cp.async.bulk.global.shared::cta.bulk_group [%out], [%s], 16;\ncp.async.bulk.commit_group;\n"
		fill   = "st.shared.v4.u32 [%s], {%t,%t,%t,%t};\n"
	)
	for _, c := range []struct{ one, all, want string }{
		{expect + load, waitForTMA, ""},
		{load + expect, waitForTMA, ""}, // bytes may come before they are expected
		{expect + load, "ld.shared.u32 %x, [%s];", "race|under way"},
		{expect + load + load, waitForTMA, "another copy is under way|another copy went"},
		{expect + load, waitForTMA + "@%p1 ret; mbarrier.arrive.shared::cta.b64 _, [%bar]; mbarrier.arrive.expect_tx.shared::cta.b64 _, [%bar], 2000000;", "bytes expected"},
		{"mbarrier.arrive.shared::cta.b64 _, [%bar+8];", "", "nothing initialised"},
		{write + expect + load, waitForTMA, "no fence.proxy.async"},
		{write + "fence.proxy.async.shared::cta;\n" + expect + load, waitForTMA, ""},
		{"add.u32 %s, %s, 64;\n" + expect + load, waitForTMA, "not a multiple of 128"},
		{fill + store, "", "no fence.proxy.async"},
		{fill + "fence.proxy.async.shared::cta;\n" + store + "cp.async.bulk.wait_group.read 0;\n" + write, "", ""},
		{fill + "fence.proxy.async.shared::cta;\n" + store, "@%p1 bra $e; bra $f; $e: " + write + "$f:", "race"},
		{"", waitForTMA, "deadlock: mbarrier at 32768 in phase 0: 1 of 1 arrivals and 0 bytes are missing; warps \\[0 1 2 3\\]"},
		{"", "setmaxnreg.inc.sync.aligned.u32 20;", "multiple of 8"},
	} {
		for _, modes := range []Modes{{}, {Lazy: true}} {
			d := New(modes, 9, 0)
			at := numbered(t, d, 64*8, func(i int) int { return 1 })
			m := &cuda.TensorMap{Base: at, Type: cuda.BFloat16, Dims: []int{64, 8}, Strides: []int{128}, Box: []int{64, 8}, Swizzle: 128}
			out, _ := d.Alloc(1 << 14)
			faultIs(t, runHopper(modes, hopperKernel(c.one, c.all), [2]*cuda.TensorMap{m, m}, out, d), c.want, c.one+c.all)
		}
	}
	for _, c := range []struct {
		m    cuda.TensorMap
		want string
	}{
		{cuda.TensorMap{Base: 8, Dims: []int{8}, Box: []int{8}}, "base"},
		{cuda.TensorMap{Dims: []int{8, 8}, Strides: []int{24}, Box: []int{8, 8}}, "stride"},
		{cuda.TensorMap{Dims: []int{8, 512}, Strides: []int{32}, Box: []int{8, 257}}, "256"},
		{cuda.TensorMap{Type: cuda.BFloat16, Dims: []int{128, 8}, Strides: []int{256}, Box: []int{128, 8}, Swizzle: 128}, "swizzle"},
		{cuda.TensorMap{Type: cuda.BFloat16, Dims: []int{128}, Box: []int{4}}, "multiple of 16"},
	} {
		_, err := New(Modes{}, 9, 0).TensorMap(&c.m)
		faultIs(t, err, c.want, fmt.Sprintf("%+v", c.m))
	}
}

func faultIs(t *testing.T, err error, want, what string) {
	t.Helper()
	switch {
	case want == "" && err != nil:
		t.Errorf("%s\n\tfails: %v", what, err)
	case want != "" && (err == nil || !regexp.MustCompile(want).MatchString(err.Error())):
		t.Errorf("%s\n\tgives %v, want %q", what, err, want)
	}
}
