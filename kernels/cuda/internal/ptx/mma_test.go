package ptx

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// mma by the tables of PTX ISA 8.5, sections 9.7.14.5.7 and 9.7.14.5.8: groupID = lane / 4, threadID_in_group = lane % 4.
func TestMMA(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, c := range []struct {
		k     int
		typ   string
		a, b  int // registers
		rowA  func(i, group int) int
		colA  func(i, thread int) int
		rowB  func(i, thread int) int
		pairs bool
	}{
		{16, "bf16", 4, 2,
			func(i, g int) int { // i counts elements a0…a7
				if i < 2 || i >= 4 && i < 6 {
					return g
				}
				return g + 8
			},
			func(i, t int) int {
				if i < 4 {
					return t*2 + i&1
				}
				return t*2 + i&1 + 8
			},
			func(i, t int) int {
				if i < 2 {
					return t*2 + i&1
				}
				return t*2 + i&1 + 8
			}, true},
		{8, "bf16", 2, 1,
			func(i, g int) int {
				if i < 2 {
					return g
				}
				return g + 8
			},
			func(i, t int) int { return t*2 + i&1 }, func(i, t int) int { return t*2 + i }, true},
		{8, "tf32", 4, 2,
			func(i, g int) int {
				if i == 0 || i == 2 {
					return g
				}
				return g + 8
			},
			func(i, t int) int {
				if i < 2 {
					return t
				}
				return t + 4
			},
			func(i, t int) int { return t + 4*i }, false},
	} {
		var A [16][16]float32
		var B [16][8]float32
		number := func() float32 { return float32(r.IntN(17) - 8) }
		for i := range 16 {
			for j := range c.k {
				A[i][j] = number()
			}
		}
		for i := range c.k {
			for j := range 8 {
				B[i][j] = number()
			}
		}
		words := make([][3]uint64, 32)
		code := &strings.Builder{}
		per := 1
		if c.pairs {
			per = 2
		}
		regs := make([][]uint32, 32)
		for lane := range 32 {
			g, th := lane/4, lane%4
			var ea, eb []float32
			for i := range c.a * per {
				ea = append(ea, A[c.rowA(i, g)][c.colA(i, th)])
			}
			for i := range c.b * per {
				eb = append(eb, B[c.rowB(i, th)][g])
			}
			pack := func(x []float32) {
				for i := 0; i < len(x); i += per {
					v := bits32(x[i])
					if c.pairs {
						v = bits32(x[i])>>16 | bits32(x[i+1])&0xffff0000
					}
					regs[lane] = append(regs[lane], v)
				}
			}
			pack(ea)
			pack(eb)
		}
		// The driver gives lane i three words of 64 bits: that is six registers.
		for lane := range 32 {
			padded := append(regs[lane], make([]uint32, 6-len(regs[lane]))...)
			for j := range 3 {
				words[lane][j] = uint64(padded[2*j]) | uint64(padded[2*j+1])<<32
			}
		}
		code.WriteString("mov.b64 {%r0, %r1}, %qa; mov.b64 {%r2, %r3}, %qb; mov.b64 {%r4, %r5}, %qc;")
		list := func(from, n int) string {
			var s []string
			for i := range n {
				s = append(s, fmt.Sprintf("%%r%d", from+i))
			}
			return "{" + strings.Join(s, ",") + "}"
		}
		fmt.Fprintf(code, "mov.f32 %%f4, 0f3f800000; mma.sync.aligned.m16n8k%d.row.col.f32.%s.%s.f32 {%%f0,%%f1,%%f2,%%f3}, %s, %s, {%%f4,%%f4,%%f4,%%f4};", c.k, c.typ, c.typ, list(0, c.a), list(c.a, c.b))
		for half := range 2 {
			text := code.String() + fmt.Sprintf("mov.b64 %%qx, {%%f%d, %%f%d};", 2*half, 2*half+1)
			out, err := snippetRun{threads: 32}.run(text, "q", words)
			if err != nil {
				t.Fatal(err)
			}
			for lane := range 32 {
				for j := range 2 {
					row, col := lane/4+8*half, lane%4*2+j
					want := float32(1)
					for k := range c.k {
						want += A[row][k] * B[k][col]
					}
					if got := f32(uint32(out[lane][0] >> (32 * j))); got != want {
						t.Fatalf("m16n8k%d %s: C[%d][%d] is %g, want %g", c.k, c.typ, row, col, got, want)
					}
				}
			}
		}
	}
}

// ldmatrix gives lane l elements 2·(l%4) and the next of row l/4 of each matrix, or with trans of column l/4.
func TestLdmatrix(t *testing.T) {
	// Element (row, column) of matrix q is 1000·q + 10·row + column, written by each lane for its own row.
	in := make([][3]uint64, 32)
	code := `mul.lo.u32 %r1, %t, 16; mov.u32 %r2, s; add.u32 %r1, %r1, %r2; shr.u32 %r3, %t, 3; and.b32 %r4, %t, 7; mul.lo.u32 %r3, %r3, 1000; mad.lo.u32 %r3, %r4, 10, %r3;`
	for c := range 8 {
		code += fmt.Sprintf("add.u32 %%r5, %%r3, %d; cvt.u16.u32 %%h1, %%r5; st.shared.u16 [%%r1+%d], %%h1;", c, 2*c)
	}
	code += "bar.warp.sync -1;"
	for _, trans := range []string{"", ".trans"} {
		for q := range 4 {
			out, err := snippetRun{threads: 32}.run(code+fmt.Sprintf("ldmatrix.sync.aligned.m8n8.x4%s.shared.b16 {%%r10, %%r11, %%r12, %%r13}, [%%r1]; mov.u32 %%x, %%r%d;", trans, 10+q), "x", in)
			if err != nil {
				t.Fatal(err)
			}
			for l := range 32 {
				row, col := l/4, l%4*2
				step := 1
				if trans != "" {
					row, col, step = col, row, 10
				}
				lo := uint64(1000*q + 10*row + col)
				if want := lo | (lo+uint64(step))<<16; out[l][0] != want {
					t.Fatalf("%s matrix %d: lane %d has %#x, want %#x", trans, q, l, out[l][0], want)
				}
			}
		}
	}
}
