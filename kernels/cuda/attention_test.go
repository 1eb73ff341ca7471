package cuda_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/godino-ml/godino/kernels/cuda"
	"github.com/godino-ml/godino/kernels/cuda/cudatest"
)

// attention is one attention to test: inputs as the GPU has them, and what is to be wanted of it, in float64.
type attention struct {
	typ              cuda.Type
	b, n, heads, dim int
	add              bool
	offset           int     // of the arrays in their memory, in elements
	size             float64 // of q: large ones give weights near 0 and 1
	qkv, dy, before  []float32
	y, lse, dqkv, p  []float64
	bits             []float32 // what the first run gave: all have to give the same
}

func newAttention(typ cuda.Type, b, n, heads, dim int, size float64) *attention {
	r := rand.New(rand.NewPCG(uint64(n), uint64(dim*100+heads)))
	normal := func(n int) []float32 {
		x := make([]float32, n)
		for i := range x {
			x[i] = float32(r.NormFloat64())
		}
		return cudatest.Round(typ, x)
	}
	c := heads * dim
	a := &attention{typ: typ, b: b, n: n, heads: heads, dim: dim, size: size, add: n%2 == 1}
	a.qkv, a.dy, a.before = normal(b*n*3*c), normal(b*n*c), normal(b*n*3*c)
	for i := range a.qkv {
		if i%(3*c) < c {
			a.qkv[i] *= float32(size)
		}
	}
	a.qkv = cudatest.Round(typ, a.qkv)
	return a
}

func unaligned(a *attention) *attention {
	a.offset = 1
	return a
}

func (a *attention) String() string {
	return fmt.Sprintf("%v_B%d_N%d_heads%d_D%d_offset%d", a.typ, a.b, a.n, a.heads, a.dim, a.offset)
}

// solve computes what is wanted by the definition.
func (a *attention) solve() {
	n, d, c := a.n, a.dim, a.heads*a.dim
	a.y, a.lse, a.dqkv = make([]float64, a.b*n*c), make([]float64, a.b*a.heads*n), make([]float64, a.b*n*3*c)
	a.p = make([]float64, a.b*a.heads*n*n)
	scale := 1 / math.Sqrt(float64(d))
	dp := make([]float64, n)
	for h := range a.b * a.heads {
		sample, head := h/a.heads, h%a.heads
		at := func(i, part int) int { return (sample*n+i)*3*c + part*c + head*d } // q, k or v of token i
		of := func(i int) int { return (sample*n+i)*c + head*d }                  // y or dy
		for i := range n {
			p := a.p[(h*n+i)*n:][:n]
			top := math.Inf(-1)
			for j := range p {
				for l := range d {
					p[j] += float64(a.qkv[at(i, 0)+l]) * float64(a.qkv[at(j, 1)+l])
				}
				p[j] *= scale
				if p[j] > top {
					top = p[j]
				}
			}
			sum := 0.
			for j := range p {
				p[j] = math.Exp(p[j] - top)
				sum += p[j]
			}
			a.lse[h*n+i] = top + math.Log(sum)
			delta := 0.
			for j := range p {
				p[j] /= sum
				dp[j] = 0
				for l := range d {
					v, g := float64(a.qkv[at(j, 2)+l]), float64(a.dy[of(i)+l])
					a.y[of(i)+l] += p[j] * v
					a.dqkv[at(j, 2)+l] += p[j] * g
					dp[j] += v * g
				}
				delta += p[j] * dp[j]
			}
			for j := range p {
				ds := p[j] * (dp[j] - delta) * scale
				for l := range d {
					a.dqkv[at(i, 0)+l] += ds * float64(a.qkv[at(j, 1)+l])
					a.dqkv[at(j, 1)+l] += ds * float64(a.qkv[at(i, 0)+l])
				}
			}
		}
	}
	if a.add {
		for i, v := range a.before {
			a.dqkv[i] += float64(v)
		}
	}
}

// run computes forward, backward and weights on the device.
func (a *attention) run(t *testing.T, d *cuda.Device) (y, lse, dqkv, p []float32) {
	t.Helper()
	n, c := a.n, a.heads*a.dim
	put := func(typ cuda.Type, x []float32) (base, ptr cuda.Ptr) {
		all := slices.Repeat([]float32{777}, fence+a.offset+len(x)+fence)
		copy(all[fence+a.offset:], x)
		base = cudatest.Put(d, typ, all)
		return base, base.Add(fence+a.offset, typ)
	}
	undefined := func(n int) []float32 { return slices.Repeat([]float32{float32(math.NaN())}, n) }
	var bases []cuda.Ptr
	array := func(typ cuda.Type, x []float32) cuda.Ptr {
		base, ptr := put(typ, x)
		bases = append(bases, base)
		return ptr
	}
	before := a.before
	if !a.add {
		before = undefined(len(before))
	}
	qkv, dy := array(a.typ, a.qkv), array(a.typ, a.dy)
	py, pl, pd := array(a.typ, undefined(a.b*n*c)), array(cuda.Float32, undefined(a.b*a.heads*n)), array(a.typ, before)
	pp := array(a.typ, undefined(a.b*a.heads*n*n))
	d.AttentionForward(py, pl, qkv, a.typ, a.b, n, a.heads, a.dim)
	d.AttentionWeights(pp, qkv, a.typ, a.b, n, a.heads, a.dim)
	d.AttentionBackward(pd, dy, qkv, py, pl, a.typ, a.b, n, a.heads, a.dim, a.add)
	get := func(i int, typ cuda.Type, n int) []float32 {
		x := cudatest.Get(d, bases[i], typ, fence+a.offset+n+fence)
		for j, v := range x {
			if k := j - fence - a.offset; (k < 0 || k >= n) && v != cudatest.Round(typ, []float32{777})[0] {
				t.Fatalf("%v: element %d of array %d, beside it, was written", a, k, i)
			}
		}
		return x[fence+a.offset:][:n]
	}
	for i, x := range [][]float32{a.qkv, a.dy} {
		for j, v := range get(i, a.typ, len(x)) {
			if math.Float32bits(v) != math.Float32bits(x[j]) && v == v {
				t.Fatalf("%v: element %d of input %d was written", a, j, i)
			}
		}
	}
	y, lse, dqkv, p = get(2, a.typ, a.b*n*c), get(3, cuda.Float32, a.b*a.heads*n), get(4, a.typ, a.b*n*3*c), get(5, a.typ, a.b*a.heads*n*n)
	for _, b := range bases {
		d.Free(b)
	}
	return y, lse, dqkv, p
}

// compare runs an attention and compares it with what is wanted: the largest error to the largest element, and the errors' root mean square to the elements', which a
// few missing terms would spoil; and the bits with those of the first run.
func (a *attention) compare(t *testing.T, d *cuda.Device) {
	t.Helper()
	y, lse, dqkv, p := a.run(t, d)
	near := func(name string, got []float32, want []float64, largest, mean float64) {
		t.Helper()
		var err2, size2, err, size float64
		at := 0
		for i, w := range want {
			e := math.Abs(float64(got[i]) - w)
			if !(e <= err) {
				err, at = e, i
			}
			size = max(size, math.Abs(w))
			err2, size2 = err2+e*e, size2+w*w
		}
		if !(err <= largest*(1+size)) {
			t.Errorf("%v: element %d of %s is %v, want %v", a, at, name, got[at], want[at])
		}
		if e := math.Sqrt(err2 / (size2 + 1e-3*float64(len(want)))); !(e <= mean) {
			t.Errorf("%v: %s is off by %.2g of its root mean square, more than %g", a, name, e, mean)
		}
	}
	largest, mean := 1e-5, 3e-6
	if a.typ == cuda.BFloat16 {
		largest, mean = 1e-2, 5e-3
	}
	near("y", y, a.y, largest, mean)
	near("lse", lse, a.lse, 4e-6, 3e-6)
	near("p", p, a.p, largest, mean)
	near("dqkv", dqkv, a.dqkv, largest, mean)
	all := slices.Concat(y, lse, dqkv, p)
	if a.bits == nil {
		a.bits = all
	}
	if !cudatest.Hardware() && !slices.Equal(all, a.bits) {
		t.Errorf("%v: other bits than the first time", a)
	}
}

// The lengths are around tiles of 16, blocks of 32 and 64 and where the kernels change; all dimensions that tensor cores take, and some that they do not. More
// than 256 keys (128 of long heads) are more than one chunk of the backward.
var attentions = []*attention{
	newAttention(cuda.BFloat16, 1, 1, 1, 64, 1),
	newAttention(cuda.BFloat16, 2, 2, 2, 32, 1),
	newAttention(cuda.BFloat16, 1, 17, 2, 48, 2),
	newAttention(cuda.BFloat16, 2, 37, 3, 64, 2),
	newAttention(cuda.BFloat16, 1, 64, 1, 80, 2),
	newAttention(cuda.BFloat16, 1, 65, 2, 64, 8),
	newAttention(cuda.BFloat16, 1, 65, 1, 128, 2),
	newAttention(cuda.BFloat16, 1, 131, 1, 32, 8),
	newAttention(cuda.BFloat16, 1, 129, 1, 48, 3),
	newAttention(cuda.BFloat16, 1, 145, 1, 96, 2),
	newAttention(cuda.BFloat16, 1, 37, 2, 20, 2),
	newAttention(cuda.BFloat16, 1, 33, 1, 72, 2),
	newAttention(cuda.Float32, 1, 1, 2, 64, 1),
	newAttention(cuda.Float32, 2, 2, 1, 5, 1),
	newAttention(cuda.Float32, 1, 17, 2, 80, 2),
	newAttention(cuda.Float32, 1, 37, 2, 64, 2),
	newAttention(cuda.Float32, 1, 65, 1, 33, 8),
	newAttention(cuda.Float32, 1, 33, 1, 200, 2),
	unaligned(newAttention(cuda.BFloat16, 1, 18, 2, 64, 1)), // not for tensor cores
	unaligned(newAttention(cuda.Float32, 1, 18, 1, 64, 1)),
}

// Longer ones, in one mode.
var longAttentions = []*attention{
	newAttention(cuda.BFloat16, 1, 197, 1, 64, 3),
	newAttention(cuda.BFloat16, 1, 300, 1, 64, 8),
	newAttention(cuda.BFloat16, 1, 197, 1, 80, 3),
	newAttention(cuda.BFloat16, 1, 200, 1, 128, 3),
	newAttention(cuda.Float32, 1, 100, 1, 96, 3),
}

func TestAttention(t *testing.T) {
	for _, a := range slices.Concat(attentions, longAttentions) {
		a.solve()
	}
	cudatest.Modes(t, func(t *testing.T, d *cuda.Device) {
		for _, a := range attentions {
			t.Run(a.String(), func(t *testing.T) { a.compare(t, d) })
		}
	})
	t.Run("long", func(t *testing.T) {
		d := cudatest.New(t)
		for _, a := range longAttentions {
			t.Run(a.String(), func(t *testing.T) { a.compare(t, d) })
		}
	})
}

// Scores of ±1e4 do not overflow, and those of −1e4 alone do not underflow: weights are zeros and ones, or what they are among equals.
func TestAttentionExtremeScores(t *testing.T) {
	d := cudatest.New(t)
	for _, typ := range []cuda.Type{cuda.BFloat16, cuda.Float32} {
		for _, n := range []int{17, 66} {
			for _, sign := range []float32{-1, 1} {
				a := newAttention(typ, 1, n, 1, 32, 1)
				for i := range n {
					row := a.qkv[i*3*a.dim:]
					for l := range 32 {
						row[l], row[32+l] = row[l]/8, row[32+l]/8
					}
					row[0], row[32] = 240, -240
					if sign > 0 && i%2 == 0 {
						row[32] = 240
					}
				}
				a.qkv = cudatest.Round(typ, a.qkv)
				a.solve()
				y, lse, dqkv, p := a.run(t, d)
				// A score of 1e4 has an ulp of 1e-3, and so have its exponent and what is computed from it.
				for _, x := range []struct {
					name string
					got  []float32
					want []float64
				}{{"y", y, a.y}, {"lse", lse, a.lse}, {"dqkv", dqkv, a.dqkv}, {"p", p, a.p}} {
					size := 0.
					for _, w := range x.want {
						size = max(size, math.Abs(w))
					}
					for i, w := range x.want {
						if !(math.Abs(float64(x.got[i])-w) <= 2e-2*(1+size)) {
							t.Fatalf("%v, sign %v: element %d of %s is %v, want %v", a, sign, i, x.name, x.got[i], w)
						}
					}
				}
			}
		}
	}
}

// A NaN in a query spoils its own row and no other; one in a key or value spoils every row. +Inf in a score is NaN, −Inf a weight of zero, unless all are.
func TestAttentionSpecialValues(t *testing.T) {
	nan := float32(math.NaN())
	isNaN := func(x float32) bool { return x != x }
	d := cudatest.New(t)
	for _, typ := range []cuda.Type{cuda.BFloat16, cuda.Float32} {
		for _, n := range []int{1, 33, 65} {
			for _, at := range []int{0, n / 2, n - 1} {
				for part, name := range []string{"q", "k", "v", "dy"} {
					a := newAttention(typ, 1, n, 1, 32, 1)
					a.add = false
					if part == 3 {
						a.dy[at*32+7] = nan
					} else {
						a.qkv[at*96+part*32+7] = nan
					}
					y, lse, dqkv, _ := a.run(t, d)
					for i := range n {
						bad := part == 0 && i == at || part == 1
						if isNaN(lse[i]) != bad || isNaN(y[i*32+3]) != bad || isNaN(y[i*32+7]) != (bad || part == 2) {
							t.Fatalf("%v, NaN in %s[%d]: row %d has lse %v and y %v, %v", a, name, at, i, lse[i], y[i*32+3], y[i*32+7])
						}
						// The spoilt weights reach every key and value.
						if part != 2 && !isNaN(dqkv[i*96+64+7]) || (part == 1 || part == 2) && !isNaN(dqkv[i*96+3]) {
							t.Fatalf("%v, NaN in %s[%d]: row %d has dv %v and dq %v", a, name, at, i, dqkv[i*96+64+7], dqkv[i*96+3])
						}
					}
				}
			}
		}
	}
}

// A score of −Inf is a weight of zero, unless all of a row are; a score of +Inf is NaN. Products overflow to them, of one query each.
func TestAttentionInfiniteScores(t *testing.T) {
	d := cudatest.New(t)
	for _, typ := range []cuda.Type{cuda.BFloat16, cuda.Float32} {
		for _, n := range []int{19, 70} {
			a := newAttention(typ, 1, n, 1, 32, 1)
			for i := range n {
				qk := a.qkv[i*96:][:64]
				clear(qk)
				if i < 3 {
					qk[i] = 1e3
				}
				if i%2 == 1 || i < 16 { // at first there is nothing else
					qk[32] = -3e38
				}
				qk[33] = -3e38
			}
			a.qkv[(n-2)*96+34] = 3e38
			a.qkv = cudatest.Round(typ, a.qkv)
			y, lse, _, p := a.run(t, d)
			want := 0.
			for j := 16; j < n; j += 2 {
				want++
			}
			for j := range n {
				w := 0.
				if j%2 == 0 && j >= 16 {
					w = 1 / want
				}
				if !(math.Abs(float64(p[j])-w) <= 1e-2*w) {
					t.Errorf("%v: of a row with scores of −Inf, weight %d is %v, want %v", a, j, p[j], w)
				}
			}
			for i := range n {
				bad := i == 1 || i == 2
				if isNaN := lse[i] != lse[i]; isNaN != bad || (y[i*32] != y[i*32]) != bad {
					t.Errorf("%v: row %d has lse %v and y %v", a, i, lse[i], y[i*32])
				}
			}
			if !(math.Abs(float64(lse[0])-math.Log(want)) <= 1e-5) {
				t.Errorf("%v: lse of a row with scores of −Inf is %v, want %v", a, lse[0], math.Log(want))
			}
		}
	}
}
