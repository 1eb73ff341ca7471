package kernels

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// TestToBF16: to nearest, ties to even, denormals to 0 of their sign, NaN to a quiet NaN.
func TestToBF16(t *testing.T) {
	for from, want := range map[uint32]uint32{
		0: 0, 0x80000000: 0x8000, 0x3f800000: 0x3f80, 0x3f808000: 0x3f80, 0x3f808001: 0x3f81, 0x3f818000: 0x3f82, 0x3f817fff: 0x3f81,
		0x7f7fffff: 0x7f80, 0xff7f8000: 0xff80, 0xff7f7fff: 0xff7f, 0x7f800000: 0x7f80, 0xff800000: 0xff80, 0x7f800001: 0x7fc0, 0xffffffff: 0xffff,
		0x00800000: 0x0080, 0x007fffff: 0, 0x807fffff: 0x8000, 0x00000001: 0,
	} {
		if got := toBF16(math.Float32frombits(from)); got != want {
			t.Errorf("%#08x rounds to %#04x, want %#04x", from, got, want)
		}
	}
	r := rand.New(rand.NewPCG(1, 1))
	for range 100_000 {
		x := float32(math.Ldexp(r.NormFloat64(), r.IntN(200)-100))
		got := float64(fromBF16(toBF16(x)))
		if err := math.Abs(got - float64(x)); !(err <= math.Abs(float64(x))*0x1p-8) {
			t.Fatalf("%g rounds to %g", x, got)
		}
	}
}

// nativeBF16 are the kernels of this CPU.
func nativeBF16(t *testing.T) (tables []*Table) {
	for _, table := range Tables() {
		if table.GemmBF16 != nil {
			tables = append(tables, table)
		}
	}
	if len(tables) == 0 {
		t.Skip("no products in bf16 on this CPU") // TestTablesOfThisCPU fails where there should be
	}
	return tables
}

// anything draws bit patterns: all magnitudes, denormals, infinities, NaN.
func anything(r *rand.Rand, n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = math.Float32frombits(r.Uint32())
		if r.IntN(8) == 0 {
			x[i] = math.Float32frombits(r.Uint32()&0x807fffff | uint32([]int{0, 1, 0xfe, 0xff}[r.IntN(4)])<<23)
		}
	}
	return x
}

// TestGemmBF16Pack: the packed words are those of the plain version, whatever the numbers.
func TestGemmBF16Pack(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 2))
	for _, table := range nativeBF16(t) {
		g, plain := table.GemmBF16, &referenceGemmBF16
		for _, width := range []int{g.MR, g.NR} {
			for n := 1; n <= width; n++ {
				for _, k := range []int{1, 2, 3, 15, 16, 17, 30, 31, 32, 33, 34, 62, 63, 64, 65, 95, 97} {
					for _, p := range []struct {
						name         string
						rows, cols   int
						pack, wanted func(dst, src *float32, ld, k, n, width int)
					}{{"rows", k, n, onePanel(g.PackRows), onePanel(plain.PackRows)}, {"columns", n, k, g.PackColumns, plain.PackColumns}} {
						ld := p.cols + r.IntN(5)
						src := anything(r, p.rows*ld)
						got, want := make([]float32, (k+1)/2*width+gemmSlack), make([]float32, (k+1)/2*width)
						p.pack(&got[0], &src[0], ld, k, n, width)
						p.wanted(&want[0], &src[0], ld, k, n, width)
						for i := range (k + 1) / 2 {
							same(t, fmt.Sprintf("%s: row %d of words of %d %s, %d long, width %d", table.Name, i, n, p.name, k, width), got[i*width:][:n], want[i*width:][:n])
						}
					}
				}
			}
		}
	}
}

// TestGemmBF16Bits: with alpha 1, and beta 0 or 1, every bit is that of the plain version: products of any magnitude, denormals, infinities,
// and sums that cancel.
func TestGemmBF16Bits(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 3))
	plain := &Table{Name: "reference", GemmBF16: &referenceGemmBF16}
	for _, table := range nativeBF16(t) {
		if plain.GemmBF16.KC != table.GemmBF16.KC {
			t.Fatalf("%s adds %d terms in registers, the plain version %d", table.Name, table.GemmBF16.KC, plain.GemmBF16.KC)
		}
		for round := range 200 {
			m, n, k := 1+r.IntN(40), 1+r.IntN(70), 1+r.IntN(100)
			if round%50 == 0 {
				k = 2*table.GemmBF16.KC + 1 + r.IntN(100)
			}
			a, b, c := anything(r, m*k), anything(r, k*n), anything(r, m*n)
			scale := r.IntN(60)
			for _, x := range [][]float32{a, b, c} {
				for i := range x {
					if round%4 != 0 { // no NaN, whose bits are not told apart, and sums that are not all infinite
						x[i] = float32(math.Ldexp(r.NormFloat64(), r.IntN(scale+1)-90*r.IntN(2)))
					}
				}
			}
			p := Product{TransA: r.IntN(2) == 0, TransB: r.IntN(2) == 0, M: m, N: n, K: k, Alpha: 1, A: a, LDA: k, B: b, LDB: n, Beta: float32(r.IntN(2)), LDC: n, LDD: n,
				D: c, BF16: true}
			if p.TransA {
				p.LDA = m
			}
			if p.TransB {
				p.LDB = k
			}
			var out, sums [2][]float32
			for i, t := range []*Table{table, plain} {
				out[i], sums[i] = make([]float32, m*n), make([]float32, m)
				p.C, p.RowSums = out[i], sums[i]
				t.GemmSerial(&p, make([]float32, t.GemmWork(&p)))
			}
			sameNumbers(t, fmt.Sprintf("%s: %dx%dx%d", table.Name, m, n, k), out[0], out[1])
			sameNumbers(t, fmt.Sprintf("%s: sums of %dx%d", table.Name, m, k), sums[0], sums[1])
		}
	}
}

// onePanel is pack for a single panel.
func onePanel(pack func(dst *float32, next int, src *float32, ld, k, n, width int)) func(dst, src *float32, ld, k, n, width int) {
	return func(dst, src *float32, ld, k, n, width int) { pack(dst, 0, src, ld, k, n, width) }
}

// sameNumbers fails unless all bits agree, but for those of NaN.
func sameNumbers(t *testing.T, what string, got, want []float32) {
	t.Helper()
	for i := range want {
		if math.Float32bits(got[i]) != math.Float32bits(want[i]) && (got[i] == got[i] || want[i] == want[i]) {
			t.Fatalf("%s: element %d is %g, want %g", what, i, got[i], want[i])
		}
	}
}
