package kernels

import (
	"fmt"
	"math"
	"os"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// A conformance case is one operation, its arguments and its meaning in float64. TestConformance runs every case with every table of this CPU:
// all lengths around the vectors' and the unrolled loops', all offsets of alignment, in place where that is allowed, with fence words on both
// sides of every array, and asserts that inputs stay as they were. The bound on the error is that of FlashAttention's tests: twice what the
// plain float32 version's own error is, and a few ulp.
type conformanceCase struct {
	op string // the Table's field
	// out and in count the arrays that are written (they hold something before, which matters if it is added to) and those that are read.
	out, in int
	scalars []float32
	inPlace bool // out[0] may be in[0]
	// positive says which arrays of in must be, such as probabilities; of out, positiveOut.
	positive, positiveOut []int
	normal                bool // the square of a denormal is 0, and the operation divides by it

	run func(t *Table, out, in [][]float32, s []float32) []float32
	// oracle overwrites out with the result and size with the magnitude that rounding errors of each element are relative to: the absolute
	// values of the terms it is a sum of. It returns the results that are numbers, each followed by its magnitude.
	oracle func(out, size, in [][]float64, s []float64) []float64
}

// conformanceUlps is how many units in the last place (2^-24 relative) beyond twice the plain version's error are let pass.
const conformanceUlps = 8

// tiny is an absolute error below which nothing is compared: a few of the smallest numbers, where ulps are no relative measure.
const tiny = 4e-45

func TestConformance(t *testing.T) {
	for _, table := range Tables() {
		for _, c := range conformanceCases {
			t.Run(table.Name+"/"+c.op, func(t *testing.T) {
				rng := newValues()
				for _, n := range conformanceLengths() {
					for offset := range 8 {
						r := newConformanceRun(&c, n, rng)
						r.check(t, table, offset, false)
						if c.inPlace {
							r.check(t, table, offset, true)
						}
					}
				}
				newConformanceRun(&c, 2*16384+19, rng).check(t, table, 1, false) // longer than one call of assembly
			})
		}
	}
}

// TestConformanceSpecialValues puts each special number at each place of a vector and its tail, into each input in turn.
func TestConformanceSpecialValues(t *testing.T) {
	inf := float32(math.Inf(1))
	special := []float32{float32(math.NaN()), inf, -inf, 0, float32(math.Copysign(0, -1)), 1e-45, -1e-45, 1e-40, -3e-39, 20, -20, 100, -110}
	for _, table := range Tables() {
		for _, c := range conformanceCases {
			t.Run(table.Name+"/"+c.op, func(t *testing.T) {
				rng := newValues()
				for _, v := range special {
					if c.normal && v != 0 && math.Abs(float64(v)) < 0x1p-126 {
						continue
					}
					for array := range c.in {
						for _, n := range []int{1, 7, 37} {
							for at := 0; at < n; at += 3 {
								r := newConformanceRun(&c, n, rng)
								r.in[array][at] = v
								r.check(t, table, 1, false)
							}
						}
					}
				}
			})
		}
	}
}

// TestConformanceCoversTable fails when an operation has no case.
func TestConformanceCoversTable(t *testing.T) {
	elsewhere := []string{"Gemm", "Attention", "TransposeBytes", "NormalizeBytes"} // these have tests of their own
	typ := reflect.TypeFor[Table]()
	for i := range typ.NumField() {
		f := typ.Field(i)
		if f.Type.Kind() != reflect.Func || slices.ContainsFunc(elsewhere, func(p string) bool { return strings.HasPrefix(f.Name, p) }) {
			continue
		}
		if !slices.ContainsFunc(conformanceCases, func(c conformanceCase) bool { return c.op == f.Name }) &&
			!slices.ContainsFunc(pixelCases, func(c pixelCase) bool { return c.op == f.Name }) {
			t.Errorf("Table.%s has no conformance case", f.Name)
		}
	}
}

// TestTablesOfThisCPU fails, rather than skips, when the CPU has the instructions of a table that Tables does not list.
func TestTablesOfThisCPU(t *testing.T) {
	if runtime.GOARCH != "amd64" || runtime.GOOS != "linux" {
		t.Skip("the CPU's features are read from /proc/cpuinfo of Linux on x86")
	}
	info, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		t.Fatal(err)
	}
	flags := strings.Fields(string(info))
	for name, needs := range map[string][]string{
		"avx2":   {"avx2", "fma"},
		"avx512": {"avx2", "fma", "bmi2", "avx512f", "avx512bw", "avx512dq", "avx512vl"},
	} {
		has := !slices.ContainsFunc(needs, func(f string) bool { return !slices.Contains(flags, f) })
		listed := slices.ContainsFunc(Tables(), func(t *Table) bool { return t.Name == name })
		if has != listed {
			t.Errorf("the CPU can run table %s: %v; Tables lists it: %v", name, has, listed)
		}
	}
	fastest := Tables()[len(Tables())-1]
	if has, can := slices.Contains(flags, "avx512_bf16"), fastest.GemmBF16 != nil; has != can {
		t.Errorf("the CPU has AVX512_BF16: %v; table %s has products in bf16: %v", has, fastest.Name, can)
	}
}

// conformanceLengths are 0 to two AVX-512 vectors and one, and the surroundings of the unrolled loops.
func conformanceLengths() []int {
	var n []int
	for i := range 34 {
		n = append(n, i)
	}
	return append(n, 63, 64, 65, 127, 128, 129, 130)
}

// values are deterministic numbers of about standard normal distribution.
type values struct{ state uint64 }

func newValues() *values { return &values{1} }

func (v *values) next() float32 {
	var s float64
	for range 4 {
		v.state = v.state*6364136223846793005 + 1442695040888963407
		s += float64(v.state>>40) / (1 << 24)
	}
	return float32((s - 2) * math.Sqrt(3))
}

func (v *values) fill(x []float32, positive bool) {
	for i := range x {
		x[i] = v.next()
		if positive {
			x[i] = float32(math.Abs(float64(x[i]))) / float32(len(x)+1)
		}
	}
}

// fenced is an array between fence words, at an offset from the alignment of the allocation.
type fenced struct {
	all, x []float32
	n      int
}

// fence is the bit pattern of a NaN that no operation produces, so that a fence that is read shows up too.
const fence = 0x7fc0dead

const fenceWords = 24

func newFenced(content []float32, offset int) fenced {
	n := len(content)
	all := make([]float32, fenceWords+offset+n+fenceWords)
	for i := range all {
		all[i] = math.Float32frombits(fence)
	}
	from := fenceWords + offset
	copy(all[from:], content)
	return fenced{all, all[from : from+n : from+n], from}
}

// intact says whether the fence words are as they were.
func (g fenced) intact() bool {
	for i, v := range g.all {
		if (i < g.n || i >= g.n+len(g.x)) && math.Float32bits(v) != fence {
			return false
		}
	}
	return true
}

// conformanceRun is a case with arrays of one length.
type conformanceRun struct {
	c       *conformanceCase
	n       int
	out, in [][]float32
}

func newConformanceRun(c *conformanceCase, n int, rng *values) *conformanceRun {
	r := &conformanceRun{c: c, n: n}
	for i := range c.out {
		x := make([]float32, n)
		rng.fill(x, slices.Contains(c.positiveOut, i))
		r.out = append(r.out, x)
	}
	for i := range c.in {
		x := make([]float32, n)
		rng.fill(x, slices.Contains(c.positive, i))
		r.in = append(r.in, x)
	}
	return r
}

// check compares what the table computes with the oracle.
func (r *conformanceRun) check(t *testing.T, table *Table, offset int, inPlace bool) {
	t.Helper()
	plain, plainScalars, _ := r.run(t, Reference(), 0, inPlace)
	got, gotScalars, where := r.run(t, table, offset, inPlace)

	var out, size, in [][]float64
	for i := range r.out {
		out = append(out, widen(r.out[i]))
		size = append(size, make([]float64, r.n))
	}
	for i := range r.in {
		in = append(in, widen(r.in[i]))
	}
	if inPlace {
		out[0] = slices.Clone(in[0])
	}
	scalars := r.c.oracle(out, size, in, widen(r.c.scalars))
	if r.n > 0 {
		for i := range gotScalars {
			want, size := scalars[2*i:2*i+1], scalars[2*i+1:2*i+2]
			compare(t, fmt.Sprintf("%s result %d", where, i), gotScalars[i:i+1], plainScalars[i:i+1], want, size)
		}
	}
	for i := range out {
		compare(t, fmt.Sprintf("%s out[%d]", where, i), got[i], plain[i], out[i], size[i])
	}
}

// run runs the table's operation on fenced copies and returns what it wrote.
func (r *conformanceRun) run(t *testing.T, table *Table, offset int, inPlace bool) (out [][]float32, scalars []float32, where string) {
	t.Helper()
	where = fmt.Sprintf("%s %s n=%d offset=%d in place=%v", table.Name, r.c.op, r.n, offset, inPlace)
	var ins, outs []fenced
	var inArgs, outArgs [][]float32
	for i := range r.in {
		ins = append(ins, newFenced(r.in[i], (offset+3*i)%8))
		inArgs = append(inArgs, ins[i].x)
	}
	for i := range r.out {
		outs = append(outs, newFenced(r.out[i], (offset+5*i)%8))
		if i == 0 && inPlace {
			outs[0] = ins[0]
		}
		outArgs = append(outArgs, outs[i].x)
	}
	scalars = r.c.run(table, outArgs, inArgs, r.c.scalars)
	for i, g := range ins {
		if !g.intact() {
			t.Fatalf("%s: wrote beside in[%d]", where, i)
		}
		if !(inPlace && i == 0) && !sameBits(g.x, r.in[i]) {
			t.Fatalf("%s: modified in[%d]", where, i)
		}
	}
	for i, g := range outs {
		if !g.intact() {
			t.Fatalf("%s: wrote beside out[%d]", where, i)
		}
	}
	return outArgs, scalars, where
}

// compare asserts that got is as near to want as the plain version's errors allow.
func compare(t *testing.T, where string, got, plain []float32, want, size []float64) {
	t.Helper()
	var plainError float64 // relative to size
	for i := range want {
		if e := (math.Abs(float64(plain[i])-want[i]) - tiny) / size[i]; e > plainError && !math.IsInf(e, 0) {
			plainError = e
		}
	}
	if !(plainError <= 0x1p-18) {
		t.Fatalf("%s: the plain version's own error is %g of the magnitude", where, plainError)
	}
	for i, w := range want {
		switch g := float64(got[i]); {
		case math.IsNaN(w):
			if !math.IsNaN(g) {
				t.Fatalf("%s, element %d: %g, want NaN", where, i, g)
			}
		case math.IsInf(float64(float32(w)), 0):
			if g != float64(float32(w)) {
				t.Fatalf("%s, element %d: %g, want %g", where, i, g, w)
			}
		default:
			if math.IsInf(size[i], 0) || math.IsNaN(size[i]) {
				size[i] = math.Abs(w)
			}
			tol := (2*plainError+conformanceUlps*0x1p-24)*size[i] + tiny
			if !(math.Abs(g-w) <= tol) {
				t.Fatalf("%s, element %d: %g, want %g ± %g; the plain version gives %g", where, i, g, w, tol, plain[i])
			}
		}
	}
}

func widen(x []float32) []float64 {
	y := make([]float64, len(x))
	for i, v := range x {
		y[i] = float64(v)
	}
	return y
}

func sameBits(a, b []float32) bool {
	return slices.EqualFunc(a, b, func(x, y float32) bool { return math.Float32bits(x) == math.Float32bits(y) })
}
