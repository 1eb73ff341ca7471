package cuda_test

import (
	"fmt"
	"math"
	"testing"

	"github.com/godino-ml/godino/kernels/cuda"
	"github.com/godino-ml/godino/kernels/cuda/cudatest"
)

// Operations on rows and elements are tested alike: test runs one with random arrays, of which the launcher gets the addresses and the plain version the
// values, and says what each array that it has made holds in the end. All of this happens for both types, in every mode of the interpreter, with arrays
// that are aligned to vectors and with some that are not, adding to results and overwriting them, and with special values in one array after the other.

// run is one run of an operation.
type run struct {
	t       *testing.T
	d       *cuda.Device
	typ     cuda.Type // of activations
	add     bool
	offset  int // of arrays from where vectors would be aligned, in elements
	special float32
	inside  int // the number of the array of inputs that has the special value; -1: none
	inputs  int
	state   uint64
	arrays  []*array
}

// array is an array between fence.
type array struct {
	base, ptr cuda.Ptr
	beside    float32 // no two arrays have the same: a copy of one shows up
	typ       cuda.Type
	x         []float32 // before
	want      []float32
	size      float32 // what errors are relative to, with want itself
	given     bool
}

const fence = 16 // elements before and behind an array

// test runs f for all of it; n ranges over lengths, of which the first two meet every mode and special value.
func test(t *testing.T, lengths []int, f func(r *run, n int)) {
	few := lengths[:min(2, len(lengths))]
	cudatest.Modes(t, func(t *testing.T, d *cuda.Device) { each(t, d, few, f) })
	t.Run("long", func(t *testing.T) { each(t, cudatest.New(t), lengths[len(few):], f) })
	t.Run("special", func(t *testing.T) {
		d := cudatest.New(t)
		inf := float32(math.Inf(1))
		for _, typ := range []cuda.Type{cuda.Float32, cuda.BFloat16} {
			for _, special := range []float32{float32(math.NaN()), inf, -inf, 0, float32(math.Copysign(0, -1)), 100, -100} {
				for _, n := range few {
					for inside := 0; ; inside++ {
						r := &run{d: d, typ: typ, special: special, inside: inside}
						one(t, r, n, f)
						if r.inputs <= inside {
							break
						}
					}
				}
			}
		}
	})
}

// each runs f for both types, aligned and not, overwriting and adding.
func each(t *testing.T, d *cuda.Device, lengths []int, f func(r *run, n int)) {
	for _, typ := range []cuda.Type{cuda.Float32, cuda.BFloat16} {
		for _, n := range lengths {
			for _, offset := range []int{0, 1} {
				for _, add := range []bool{false, true} {
					one(t, &run{d: d, typ: typ, add: add, offset: offset, inside: -1}, n, f)
				}
			}
		}
	}
}

func one(t *testing.T, r *run, n int, f func(r *run, n int)) {
	t.Helper()
	r.t, r.state = t, 1
	f(r, n)
	for i, a := range r.arrays {
		if got := r.check(a); got != "" {
			t.Fatalf("%v n=%d offset=%d add=%v, special %g in input %d: array %d, %s", r.typ, n, r.offset, r.add, r.special, r.inside, i, got)
		}
		r.d.Free(a.base)
	}
}

// next is a number of about standard normal distribution.
func (r *run) next() float32 {
	var s float64
	for range 4 {
		r.state = r.state*6364136223846793005 + 1442695040888963407
		s += float64(r.state>>40) / (1 << 24)
	}
	return float32((s - 2) * math.Sqrt(3))
}

func (r *run) array(typ cuda.Type, x []float32) *array {
	a := &array{typ: typ, x: cudatest.Round(typ, x), size: 1, beside: float32(700 + 4*len(r.arrays))}
	all := make([]float32, fence+r.offset+len(x)+fence)
	for i := range all {
		all[i] = a.beside
	}
	copy(all[fence+r.offset:], x)
	a.base = cudatest.Put(r.d, typ, all)
	a.ptr = a.base.Add(fence+r.offset, typ)
	r.arrays = append(r.arrays, a)
	return a
}

func (r *run) random(n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = r.next()
	}
	return x
}

// in is an input of activations, parameter one of float32.
func (r *run) in(n int) *array        { return r.input(r.typ, n) }
func (r *run) parameter(n int) *array { return r.input(cuda.Float32, n) }

func (r *run) input(typ cuda.Type, n int) *array {
	x := r.random(n)
	if r.inputs == r.inside && n > 0 {
		x[n/3] = r.special
	}
	r.inputs++
	return r.array(typ, x)
}

// out is a result of activations: to be added to if the run adds, else NaN before. statistics is one of float32 that is overwritten, gradient one that is
// added to.
func (r *run) out(n int) *array {
	if r.add {
		return r.array(r.typ, r.random(n))
	}
	return r.undefined(r.typ, n)
}
func (r *run) statistics(n int) *array { return r.undefined(cuda.Float32, n) }
func (r *run) gradient(n int) *array   { return r.array(cuda.Float32, r.random(n)) }

func (r *run) undefined(typ cuda.Type, n int) *array {
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(math.NaN())
	}
	return r.array(typ, x)
}

// prior is what the plain version starts from: a copy of what is there.
func (a *array) prior() []float32 { return append([]float32{}, a.x...) }

// is says what the array holds after the run.
func (a *array) is(want []float32) *array {
	a.want, a.given = want, true
	return a
}

// about is what errors of all elements are relative to, where it is not 1: the magnitude of the terms of sums.
func (a *array) about(size float64) *array {
	a.size = float32(size)
	return a
}

// check says what is wrong with the array.
func (r *run) check(a *array) string {
	got := cudatest.Get(r.d, a.base, a.typ, fence+r.offset+len(a.x)+fence)
	for i, v := range got {
		k := i - fence - r.offset
		if k < 0 || k >= len(a.x) {
			if v != a.beside {
				return fmt.Sprintf("element %d, beside it, was written", k)
			}
			continue
		}
		if !a.given {
			if math.Float32bits(v) != math.Float32bits(a.x[k]) && !(v != v && a.x[k] != a.x[k]) {
				return fmt.Sprintf("element %d of an input was written", k)
			}
			continue
		}
		want := a.want[k]
		if rounded := cudatest.Round(a.typ, []float32{want})[0]; v == rounded || v != v && want != want {
			continue
		}
		w := math.Abs(float64(want))
		tol := 4e-6*float64(a.size) + 4e-6*w
		if a.typ == cuda.BFloat16 {
			tol += w * 0x1.1p-8 // half a unit in the last place
		}
		if !(math.Abs(float64(v)-float64(want)) <= tol) {
			return fmt.Sprintf("element %d is %g, want %g ± %g", k, v, want, tol)
		}
	}
	return ""
}
