package kernels

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// A pixelCase is an operation on bytes. Every table has to give the bits of the plain version: TestConformancePixels runs each case with every
// table at all lengths around the vectors', all offsets of alignment, with fences on both sides of every array, and compares all arrays, those
// that are only read too.
type pixelCase struct {
	op      string // the Table's field
	name    string
	lengths func(n int) []int // of its arrays, in bytes, for n elements
	run     func(t *Table, x [][]byte) any
}

func alike(arrays int) func(n int) []int {
	return func(n int) []int { return slices.Repeat([]int{n}, arrays) }
}

var pixelCases = append(append(weightedCases("Resample", func(t *Table) weightedKernel { return t.Resample }, [][]int32{
	{1 << 22}, {-300000, 2500000, 2300000, -305696}, {-1, 3, 1 << 21, 1 << 21, 5, -7, 12345}, {math.MaxInt32, math.MinInt32, 77}, {},
}), weightedCases("BoxBlur", func(t *Table) weightedKernel { return t.BoxBlur }, [][]int32{
	{1 << 23, 0, 1 << 23}, {123456, 16530304, 123456}, {1677721, 4473924, 4473924, 4473924, 1677721}, slices.Repeat([]int32{1 << 24 / 41}, 41),
})...),
	pixelCase{op: "Luma", lengths: alike(4), run: func(t *Table, x [][]byte) any { t.Luma(x[0], x[1], x[2], x[3]); return nil }},
	pixelCase{op: "Luma", name: "in place", lengths: alike(3), run: func(t *Table, x [][]byte) any { t.Luma(x[1], x[0], x[1], x[2]); return nil }},
	pixelCase{op: "LumaSum", lengths: alike(3), run: func(t *Table, x [][]byte) any { return t.LumaSum(x[0], x[1], x[2]) }},
	pixelCase{op: "BlendGrey", lengths: alike(1), run: func(t *Table, x [][]byte) any { t.BlendGrey(x[0], 101, 1.37); return nil }},
	pixelCase{op: "Saturation", lengths: alike(3), run: func(t *Table, x [][]byte) any { t.Saturation(x[0], x[1], x[2], 1.19); return nil }},
	pixelCase{op: "ShiftHue", lengths: alike(3), run: func(t *Table, x [][]byte) any { t.ShiftHue(x[0], x[1], x[2], 17); return nil }},
	pixelCase{op: "Solarize", lengths: alike(1), run: func(t *Table, x [][]byte) any { t.Solarize(x[0], 128); return nil }},
	pixelCase{op: "Solarize", name: "all", lengths: alike(1), run: func(t *Table, x [][]byte) any { t.Solarize(x[0], 0); return nil }},
	pixelCase{op: "Solarize", name: "white", lengths: alike(1), run: func(t *Table, x [][]byte) any { t.Solarize(x[0], 255); return nil }},
	pixelCase{op: "UpsampleTriangle", lengths: func(n int) []int { return []int{2 * n, n, n} },
		run: func(t *Table, x [][]byte) any {
			if len(x[1]) > 0 {
				t.UpsampleTriangle(x[0], x[1], x[2])
			}
			return nil
		}},
	pixelCase{op: "YCbCrToRGB", lengths: func(n int) []int { return []int{3 * n, n, n, n} },
		run: func(t *Table, x [][]byte) any { t.YCbCrToRGB(x[0], x[1], x[2], x[3]); return nil }},
)

type weightedKernel func(dst, src []byte, stride int, weights []int32)

func weightedCases(op string, kernel func(*Table) weightedKernel, weights [][]int32) []pixelCase {
	var cases []pixelCase
	for _, w := range weights {
		for _, stride := range []int{1, 3, 131} {
			cases = append(cases, pixelCase{op: op, name: fmt.Sprintf("%d taps stride %d", len(w), stride),
				lengths: func(n int) []int { return []int{n, n + max(len(w)-1, 0)*stride} },
				run:     func(t *Table, x [][]byte) any { kernel(t)(x[0], x[1], stride, w); return nil }})
		}
	}
	return cases
}

// byteFence fills what an operation must neither write nor, as results would show, read.
const (
	byteFence   = 0xa5
	fenceLength = 96
)

func fencedBytes(content []byte, offset int) (all, x []byte) {
	all = slices.Repeat([]byte{byteFence}, 2*fenceLength+offset+len(content))
	x = all[fenceLength+offset:][:len(content):len(content)]
	copy(x, content)
	return all, x
}

func fencesIntact(all []byte, offset, n int) bool {
	from := fenceLength + offset
	other := func(v byte) bool { return v != byteFence }
	return !slices.ContainsFunc(all[:from], other) && !slices.ContainsFunc(all[from+n:], other)
}

func randomBytes(rng *rand.Rand, n int) []byte {
	x := make([]byte, n)
	for i := range x {
		x[i] = byte(rng.Uint32())
		if rng.IntN(4) == 0 { // extremes more often
			x[i] = -(x[i] & 1)
		}
	}
	return x
}

func TestConformancePixels(t *testing.T) {
	lengths := append(conformanceLengths(), 95, 96, 97, 191, 192, 193, 16384+19)
	for _, table := range Tables() {
		for _, c := range pixelCases {
			t.Run(table.Name+"/"+c.op+" "+c.name, func(t *testing.T) {
				rng := rand.New(rand.NewPCG(5, 6))
				for _, n := range lengths {
					var content [][]byte
					for _, l := range c.lengths(n) {
						content = append(content, randomBytes(rng, l))
					}
					want := make([][]byte, len(content))
					for i, x := range content {
						want[i] = slices.Clone(x)
					}
					wantResult := c.run(Reference(), want)
					for offset := range 8 {
						where := fmt.Sprintf("n=%d offset=%d", n, offset)
						var alls, xs [][]byte
						for i, x := range content {
							all, x := fencedBytes(x, (offset+3*i)%8)
							alls, xs = append(alls, all), append(xs, x)
						}
						if got := c.run(table, xs); got != wantResult {
							t.Fatalf("%s: result %v, want %v", where, got, wantResult)
						}
						for i, x := range xs {
							if !fencesIntact(alls[i], (offset+3*i)%8, len(x)) {
								t.Fatalf("%s: wrote beside array %d", where, i)
							}
							for k, v := range x {
								if v != want[i][k] {
									t.Fatalf("%s: array %d, byte %d is %d, want %d", where, i, k, v, want[i][k])
								}
							}
						}
					}
				}
			})
		}
	}
}

func TestConformanceTransposeBytes(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 7))
	for _, table := range Tables() {
		t.Run(table.Name, func(t *testing.T) {
			for _, rows := range []int{0, 1, 7, 8, 9, 15, 16, 17, 33, 64} {
				for _, cols := range []int{0, 1, 31, 32, 33, 63, 64, 65, 100} {
					for _, pad := range []int{0, 1, 5} {
						ldd, lds := rows+pad, cols+2*pad
						src := randomBytes(rng, rows*lds)
						content := randomBytes(rng, cols*ldd)
						want := slices.Clone(content)
						transposeBytes(want, ldd, src, lds, rows, cols)
						all, got := fencedBytes(content, pad)
						table.TransposeBytes(got, ldd, src, lds, rows, cols)
						if !slices.Equal(got, want) || !fencesIntact(all, pad, len(got)) {
							t.Fatalf("%d×%d, %d and %d apart: differs", rows, cols, lds, ldd)
						}
					}
				}
			}
		})
	}
}

// Every byte, with usual and odd factors.
func TestConformanceOfEveryByte(t *testing.T) {
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	inf := float32(math.Inf(1))
	for _, table := range Tables() {
		for _, factor := range []float32{0, 0.6, 0.99999, 1, 1.0000001, 1.4, 2, 1e9, 1e20, -1, inf, -inf, float32(math.NaN())} {
			for grey := range 256 {
				want, got := slices.Clone(every), slices.Clone(every)
				blendGrey(want, byte(grey), factor)
				table.BlendGrey(got, byte(grey), factor)
				if !slices.Equal(got, want) {
					t.Fatalf("%s: blended with grey %d by %v: %v, want %v", table.Name, grey, factor, got, want)
				}
			}
		}
		for _, c := range [][2]float32{{0.485, 0.229}, {0.456, 0.224}, {0.406, 0.225}, {0, 1}, {0.5, 0.5}, {0.1, 1e-3}, {0.4914, 0.2471}, {1, 1e-30}} {
			for offset := range 8 {
				for _, n := range []int{256, 255, 131, 16, 9, 1, 0} {
					src := every[256-n:]
					want := make([]float32, n)
					normalizeBytes(want, src, c[0], c[1])
					got := newFenced(make([]float32, n), offset)
					table.NormalizeBytes(got.x, src, c[0], c[1])
					if !sameBits(got.x, want) || !got.intact() {
						t.Fatalf("%s: normalised by %v: %v, want %v", table.Name, c, got.x, want)
					}
				}
			}
		}
	}
}

// Every colour there is: the hue's float32 arithmetic takes shortcuts that only this proves.
func TestConformanceOfEveryColour(t *testing.T) {
	const n = 1 << 16
	g, b := make([]byte, n), make([]byte, n)
	for i := range n {
		g[i], b[i] = byte(i>>8), byte(i)
	}
	step := 1
	if testing.Short() {
		step = 15
	}
	for red := 0; red < 256; red += step {
		r := slices.Repeat([]byte{byte(red)}, n)
		for _, c := range []struct {
			what string
			run  func(t *Table, x [3][]byte)
		}{
			{"hue", func(t *Table, x [3][]byte) { t.ShiftHue(x[0], x[1], x[2], byte(red*7)) }},
			{"saturation", func(t *Table, x [3][]byte) { t.Saturation(x[0], x[1], x[2], 0.8+float32(red)/512) }},
			{"luma", func(t *Table, x [3][]byte) { t.Luma(x[0], x[0], x[1], x[2]) }},
		} {
			colours := func() [3][]byte { return [3][]byte{slices.Clone(r), slices.Clone(g), slices.Clone(b)} }
			want := colours()
			c.run(Reference(), want)
			for _, table := range Tables()[1:] {
				got := colours()
				c.run(table, got)
				for k := range got {
					if !slices.Equal(got[k], want[k]) {
						t.Fatalf("%s: %s of a colour with red %d differs from the plain version", table.Name, c.what, red)
					}
				}
			}
		}
	}
}

// Hue, saturation and value as Pillow computes them (Convert.c), partly in double precision, for every colour that gives others.
func TestHueIsPillows(t *testing.T) {
	pillow := func(r, g, b byte) (h, s, v byte) {
		hi, lo := max(r, g, b), min(r, g, b)
		c := float32(hi - lo)
		rc, gc, bc := float32(hi-r)/c, float32(hi-g)/c, float32(hi-b)/c
		var turn float32
		switch hi {
		case r:
			turn = bc - gc
		case g:
			turn = float32(2.0 + float64(rc) - float64(bc))
		default:
			turn = float32(4.0 + float64(gc) - float64(rc))
		}
		turn = float32(math.Mod(float64(turn)/6.0+1.0, 1.0))
		return byte(min(max(int(float64(turn)*255.0), 0), 255)), byte(min(max(int(float64(c/float32(hi))*255.0), 0), 255)), hi
	}
	for hi := 1; hi < 256; hi++ {
		for mid := range hi + 1 {
			for lo := range mid + 1 {
				if lo == hi || lo > 0 && mid > lo { // hue depends on differences, saturation on hi and lo
					continue
				}
				for _, c := range [][3]int{{hi, mid, lo}, {hi, lo, mid}, {mid, hi, lo}, {lo, hi, mid}, {mid, lo, hi}, {lo, mid, hi}} {
					r, g, b := byte(c[0]), byte(c[1]), byte(c[2])
					h, s, v := hueSaturationValue(r, g, b)
					if h1, s1, v1 := pillow(r, g, b); h != h1 || s != s1 || v != v1 {
						t.Fatalf("colour %v: hue, saturation, value %d %d %d, want %d %d %d", c, h, s, v, h1, s1, v1)
					}
				}
			}
		}
	}
	for h := range 256 {
		sixths := float64(h) * 6.0 / 255.0
		i := int(math.Floor(sixths))
		f := float64(float32(sixths - float64(i)))
		for s := range 256 {
			fs := float64(float32(s) / 255)
			for x := range 256 {
				v, value := byte(x), float64(x)
				p, q, u := byte(value*(1-fs)+0.5), byte(value*(1-fs*f)+0.5), byte(value*(1-fs*(1-f))+0.5)
				want := [...][3]byte{{v, u, p}, {q, v, p}, {p, v, u}, {p, q, v}, {u, p, v}, {v, p, q}}[i%6]
				if r, g, b := colourOf(byte(h), byte(s), v); [3]byte{r, g, b} != want {
					t.Fatalf("hue, saturation, value %d %d %d: %d %d %d, want %v", h, s, x, r, g, b, want)
				}
			}
		}
	}
}
