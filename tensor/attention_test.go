package tensor

import (
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/godino-ml/godino/internal/golden"
	"github.com/godino-ml/godino/kernels"
)

func TestGoldenAttention(t *testing.T) {
	f := golden.Open(t, "ops.safetensors")
	var cases []string
	f.Meta("cases", &cases)
	ran := 0
	for _, name := range cases {
		if !strings.HasPrefix(name, "attention") {
			continue
		}
		ran++
		for _, table := range kernels.Tables() {
			dev := NewCPU(table, 2)
			s := f.Get(name + ".x0").Shape
			b, h, n, d := s[0], s[1], s[2], s[3]
			qkv := pack(dev, b, h, n, d, f.Get(name+".x0").Float, f.Get(name+".x1").Float, f.Get(name+".x2").Float)
			y, lse := New(dev, b, n, h*d), New(dev, b, h, n)
			AttentionForward(y, lse, qkv, h)
			golden.Near(t, table.Name+" "+name+".y", y.data, pack(dev, b, h, n, d, f.Get(name+".y").Float).data, 2e-6)

			dy := pack(dev, b, h, n, d, f.Get(name+".dy").Float)
			want := pack(dev, b, h, n, d, f.Get(name+".dx0").Float, f.Get(name+".dx1").Float, f.Get(name+".dx2").Float)
			dqkv := New(dev, b, n, 3*h*d)
			AttentionBackward(dqkv, dy, qkv, y, lse, h, false)
			golden.Near(t, table.Name+" "+name+".dx", dqkv.data, want.data, 5e-6)
			AttentionBackward(dqkv, dy, qkv, y, lse, h, true)
			for i := range want.data {
				want.data[i] *= 2
			}
			golden.Near(t, table.Name+" "+name+".dx, twice", dqkv.data, want.data, 5e-6)
		}
	}
	if ran == 0 {
		t.Fatal("no attention case in the golden file")
	}
}

// pack interleaves arrays (B, H, N, D) to rows [x0 | x1 | …] of (B, N, len(xs)·H·D).
func pack(dev *Device, b, h, n, d int, xs ...[]float32) *Tensor {
	t := New(dev, b, n, len(xs)*h*d)
	for part, x := range xs {
		for i := range b * h * n {
			sample, head, token := i/(h*n), i/n%h, i%n
			copy(t.data[((sample*n+token)*len(xs)+part)*h*d+head*d:][:d], x[i*d:])
		}
	}
	return t
}

// withinOfLargest fails unless every element is within tol of the largest one wanted.
func withinOfLargest(t *testing.T, name string, got, want []float32, tol float64) {
	t.Helper()
	size := 0.
	for _, v := range want {
		size = max(size, math.Abs(float64(v)))
	}
	for i := range want {
		if !(math.Abs(float64(got[i])-float64(want[i])) <= tol*(1+size)) {
			t.Fatalf("%s: element %d is %v, want %v", name, i, got[i], want[i])
		}
	}
}

func normalTensor(dev *Device, seed uint64, shape ...int) *Tensor {
	t, r := New(dev, shape...), rand.New(rand.NewPCG(seed, 1))
	for i := range t.data {
		t.data[i] = float32(r.NormFloat64())
	}
	return t
}

// loss64 is Σ y∘dy in float64 of the attention at qkv + eps·dir.
func loss64(qkv, dir, dy *Tensor, eps float64, heads int) float64 {
	b, n, c := qkv.shape[0], qkv.shape[1], qkv.shape[2]/3
	d, sum := c/heads, 0.
	at := func(s, i, part, l int) float64 {
		j := (s*n+i)*3*c + part*c + l
		return float64(qkv.data[j]) + eps*float64(dir.data[j])
	}
	p := make([]float64, n)
	for s := range b {
		for h := range heads {
			for i := range n {
				z := 0.
				for j := range n {
					dot := 0.
					for l := h * d; l < (h+1)*d; l++ {
						dot += at(s, i, 0, l) * at(s, j, 1, l)
					}
					p[j] = math.Exp(dot / math.Sqrt(float64(d)))
					z += p[j]
				}
				for j := range n {
					for l := h * d; l < (h+1)*d; l++ {
						sum += p[j] / z * at(s, j, 2, l) * float64(dy.data[(s*n+i)*c+l])
					}
				}
			}
		}
	}
	return sum
}

// The derivative along a random direction is what finite differences of the meaning in float64 say.
func TestAttentionGradient(t *testing.T) {
	for _, table := range kernels.Tables() {
		for _, threads := range []int{1, 2} {
			dev := NewCPU(table, threads)
			const b, n, heads, d = 2, 33, 3, 16
			qkv, dir, dy := normalTensor(dev, 1, b, n, 3*heads*d), normalTensor(dev, 2, b, n, 3*heads*d), normalTensor(dev, 3, b, n, heads*d)
			y, lse, dqkv := New(dev, b, n, heads*d), New(dev, b, heads, n), New(dev, b, n, 3*heads*d)
			AttentionForward(y, lse, qkv, heads)
			AttentionBackward(dqkv, dy, qkv, y, lse, heads, false)
			got := 0.
			for i, g := range dqkv.data {
				got += float64(g) * float64(dir.data[i])
			}
			const eps = 1e-4
			want := (loss64(qkv, dir, dy, eps, heads) - loss64(qkv, dir, dy, -eps, heads)) / (2 * eps)
			if !(math.Abs(got-want) <= 1e-4*math.Abs(want)+1e-4) {
				t.Errorf("%s: derivative %v, finite differences %v", table.Name, got, want)
			}
		}
	}
}

// The bits do not depend on the number of threads; the weights are those that the forward uses; a long sequence, split into blocks of
// queries, agrees with them too.
func TestAttentionThreads(t *testing.T) {
	for _, table := range kernels.Tables() {
		for _, s := range [][4]int{{3, 65, 3, 64}, {2, 37, 1, 32}, {1, 450, 2, 16}} {
			b, n, heads, d := s[0], s[1], s[2], s[3]
			var first []float32
			for _, threads := range []int{1, 2} {
				dev := NewCPU(table, threads)
				qkv, dy := normalTensor(dev, 1, b, n, 3*heads*d), normalTensor(dev, 2, b, n, heads*d)
				y, lse, dqkv, p := New(dev, b, n, heads*d), New(dev, b, heads, n), New(dev, b, n, 3*heads*d), New(dev, b, heads, n, n)
				AttentionForward(y, lse, qkv, heads)
				AttentionBackward(dqkv, dy, qkv, y, lse, heads, false)
				AttentionWeights(p, qkv, heads)
				all := slices.Concat(y.data, lse.data, dqkv.data, p.data)
				if first == nil {
					first = all
				}
				if !slices.Equal(all, first) {
					t.Fatalf("%s %v: other bits with %d threads than with 1", table.Name, s, threads)
				}
				want := make([]float32, d)
				for i := range n {
					clear(want)
					for j := range n {
						w := p.data[((b*heads-1)*n+i)*n+j]
						for l := range want {
							want[l] += w * qkv.data[(((b-1)*n+j)*3+3)*heads*d-d+l]
						}
					}
					withinOfLargest(t, table.Name+": y of the weights", y.data[((b-1)*n+i+1)*heads*d-d:], want, 1e-5)
				}
			}
		}
	}
}

func TestAttentionShapes(t *testing.T) {
	dev := NewCPU(kernels.Reference(), 1)
	for name, f := range map[string]func(){
		"heads do not divide": func() { AttentionForward(New(dev, 1, 4, 8), New(dev, 1, 3, 4), New(dev, 1, 4, 24), 3) },
		"y too small":         func() { AttentionForward(New(dev, 1, 3, 8), New(dev, 1, 2, 4), New(dev, 1, 4, 24), 2) },
		"lse transposed":      func() { AttentionForward(New(dev, 1, 4, 8), New(dev, 1, 4, 2), New(dev, 1, 4, 24), 2) },
		"dqkv of y's shape": func() {
			AttentionBackward(New(dev, 1, 4, 8), New(dev, 1, 4, 8), New(dev, 1, 4, 24), New(dev, 1, 4, 8), New(dev, 1, 2, 4), 2, false)
		},
		"weights of one head": func() { AttentionWeights(New(dev, 1, 1, 4, 4), New(dev, 1, 4, 24), 2) },
		"no heads":            func() { AttentionWeights(New(dev, 1, 0, 4, 4), New(dev, 1, 4, 24), 0) },
	} {
		func() {
			defer func() {
				err, _ := recover().(error)
				if e := (*ShapeError)(nil); !errors.As(err, &e) || !strings.HasPrefix(e.Op, "Attention") {
					t.Errorf("%s: panic %v, want a ShapeError", name, err)
				}
			}()
			f()
		}()
	}
	// No samples or no tokens: nothing to do.
	for _, s := range [][2]int{{0, 4}, {2, 0}} {
		y, lse, qkv := New(dev, s[0], s[1], 8), New(dev, s[0], 2, s[1]), New(dev, s[0], s[1], 24)
		AttentionForward(y, lse, qkv, 2)
		AttentionBackward(New(dev, s[0], s[1], 24), y, qkv, y, lse, 2, false)
	}
}

// Two operations at once must not share scratch memory.
func TestAttentionConcurrently(t *testing.T) {
	dev := CPU()
	const b, n, heads, d = 2, 65, 2, 32
	qkv := normalTensor(dev, 1, b, n, 3*heads*d)
	want, lse := New(dev, b, n, heads*d), New(dev, b, heads, n)
	AttentionForward(want, lse, qkv, heads)
	done := make(chan bool)
	for range 4 {
		go func() {
			ok, y, lse := true, New(dev, b, n, heads*d), New(dev, b, heads, n)
			for range 20 {
				AttentionForward(y, lse, qkv, heads)
				ok = ok && slices.Equal(y.data, want.data)
			}
			done <- ok
		}()
	}
	for range 4 {
		if !<-done {
			t.Error("other results when four run at once")
		}
	}
}
