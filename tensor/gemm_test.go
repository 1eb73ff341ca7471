package tensor

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"testing"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/gonum"

	"github.com/godino-ml/godino/kernels"
)

// gemmSizes are products of one block and of many, wide, high, thin, and one that is cut along its terms.
var gemmSizes = [][3]int{{1, 1, 1}, {7, 5, 3}, {65, 65, 64}, {300, 40, 90}, {3, 900, 200}, {200, 150, 390}, {500, 3, 100}, {9, 33, 2*gemmSplitK + 77}, {64, 64, gemmSplitK}}

// TestGemm compares with gonum's Sgemm, a second implementation, for every table, transposition and number of threads; and the bits of one
// thread with those of several.
func TestGemm(t *testing.T) {
	for _, table := range kernels.Tables() {
		devices := []*Device{NewCPU(table, 1), NewCPU(table, 2), NewCPU(table, 5)}
		r := rand.New(rand.NewPCG(1, 2))
		for _, s := range gemmSizes {
			m, n, k := s[0], s[1], s[2]
			for trans := range 4 {
				transA, transB := trans&1 != 0, trans&2 != 0
				if k > 1000 && trans != 1 {
					continue
				}
				shapeA, shapeB := []int{m, k}, []int{k, n}
				if transA {
					shapeA = []int{k, m}
				}
				if transB {
					shapeB = []int{n, k}
				}
				a, b, c := randomTensor(r, devices[0], shapeA...), randomTensor(r, devices[0], shapeB...), randomTensor(r, devices[0], m, n)
				alpha, beta := float32(.5), float32(trans)-1
				want := append([]float32(nil), c.data...)
				gonum.Implementation{}.Sgemm(gonumTrans(transA), gonumTrans(transB), m, n, k, alpha, a.data, shapeA[1], b.data, shapeB[1], beta, want, n)
				var first []float32
				for _, dev := range devices {
					got := FromSlice(dev, append([]float32(nil), c.data...), m, n)
					if beta == 0 {
						got = filled(dev, float32(math.NaN()), m, n)
					}
					Gemm(got, FromSlice(dev, a.data, shapeA...), FromSlice(dev, b.data, shapeB...), transA, transB, alpha, beta)
					what := fmt.Sprintf("%s, %d threads, %v,%v %dx%dx%d", table.Name, dev.Threads(), transA, transB, m, n, k)
					for i := range want {
						// Both add k products of numbers below 1, each in its order.
						if err := math.Abs(float64(got.data[i] - want[i])); !(err <= 0x1p-22*float64(k+4)) {
							t.Fatalf("%s: element %d is %g, gonum's is %g", what, i, got.data[i], want[i])
						}
					}
					if first == nil {
						first = got.data
					}
					for i := range first {
						if math.Float32bits(got.data[i]) != math.Float32bits(first[i]) {
							t.Fatalf("%s: element %d is %g, of one thread %g", what, i, got.data[i], first[i])
						}
					}
				}
			}
		}
		for _, dev := range devices {
			dev.pool.Close()
		}
	}
}

func gonumTrans(t bool) blas.Transpose {
	if t {
		return blas.Trans
	}
	return blas.NoTrans
}

func randomTensor(r *rand.Rand, dev *Device, shape ...int) *Tensor {
	t := New(dev, shape...)
	for i := range t.data {
		t.data[i] = r.Float32()*2 - 1
	}
	return t
}

// TestProductExtras: on any number of threads every block is finished once, when it is ready, and row sums have the same bits.
func TestProductExtras(t *testing.T) {
	for _, table := range kernels.Tables() {
		r := rand.New(rand.NewPCG(8, 9))
		for _, s := range gemmSizes {
			m, n, k := s[0], s[1], s[2]
			a := randomTensor(r, NewCPU(table, 1), k, m)
			var first *Tensor
			for _, threads := range []int{1, 2, 5} {
				dev := NewCPU(table, threads)
				b, bias := filled(dev, 1, k, n), filled(dev, 2, n)
				c, sums := filled(dev, float32(math.NaN()), m, n), New(dev, m)
				p := kernels.Product{TransA: true, M: m, N: n, K: k, Alpha: 1, A: a.data, LDA: m, B: b.data, LDB: n, Beta: 1, D: bias.data, C: c.data, LDC: n, RowSums: sums.data}
				p.Finish = func(i0, j0, rows, cols int) {
					for i := i0; i < i0+rows; i++ {
						for j := j0; j < j0+cols; j++ {
							c.data[i*n+j] *= -2
						}
					}
				}
				dev.product(p)
				if first == nil {
					first = sums
				}
				near(t, fmt.Sprintf("%s, %d threads, %v: sums", table.Name, threads, s), sums, first, 0)
				alone := New(dev, m)
				dev.product(kernels.Product{TransA: true, M: m, K: k, Alpha: 1, A: a.data, LDA: m, RowSums: alone.data})
				near(t, fmt.Sprintf("%s, %d threads, %v: sums alone", table.Name, threads, s), alone, first, 0)
				for i := range m {
					for j := range n {
						if want := -2 * (sums.data[i] + 2); !(math.Abs(float64(c.data[i*n+j]-want)) <= 1e-5*float64(k+1)) {
							t.Fatalf("%s, %d threads, %v: element %d, %d is %g, want %g", table.Name, threads, s, i, j, c.data[i*n+j], want)
						}
					}
				}
				dev.pool.Close()
			}
		}
	}
}

// TestGemmConcurrent: products beside each other on one device do not share scratch memory.
func TestGemmConcurrent(t *testing.T) {
	dev := NewCPU(kernels.Best(), 2)
	defer dev.pool.Close()
	var wait sync.WaitGroup
	for worker := range 3 {
		wait.Go(func() {
			r := rand.New(rand.NewPCG(uint64(worker), 5))
			a, b := randomTensor(r, dev, 150, 200), randomTensor(r, dev, 170, 200)
			want, got := New(dev, 150, 170), New(dev, 150, 170)
			for round := range 20 {
				Gemm(got, a, b, false, true, 1, 0)
				if round == 0 {
					copy(want.data, got.data)
					near(t, "against the serial product", got, serialProduct(a, b), 1e-6)
				}
				near(t, "again", got, want, 0)
			}
		})
	}
	wait.Wait()
}

// serialProduct is a·bᵀ in float64.
func serialProduct(a, b *Tensor) *Tensor {
	c := New(a.dev, a.shape[0], b.shape[0])
	for i := range a.shape[0] {
		for j := range b.shape[0] {
			var s float64
			for p := range a.shape[1] {
				s += float64(a.data[i*a.shape[1]+p]) * float64(b.data[j*b.shape[1]+p])
			}
			c.data[i*b.shape[0]+j] = float32(s)
		}
	}
	return c
}

// TestLinearBits: forward and gradients, the sums over many rows included, have the same bits on any number of threads, and those of the
// formulas in float64 within rounding.
func TestLinearBits(t *testing.T) {
	const rows, in, out = 9001, 33, 40
	for _, table := range kernels.Tables() {
		var first []*Tensor
		for _, threads := range []int{1, 2, 3} {
			dev := NewCPU(table, threads)
			r := rand.New(rand.NewPCG(6, 7))
			x, w, bias, dy := randomTensor(r, dev, rows, in), randomTensor(r, dev, out, in), randomTensor(r, dev, out), randomTensor(r, dev, rows, out)
			y, dx, dw, dbias := New(dev, rows, out), New(dev, rows, in), New(dev, out, in), New(dev, out)
			LinearForward(y, x, w, bias)
			LinearBackward(dx, dw, dbias, dy, x, w, false, true)
			results := []*Tensor{y, dx, dw, dbias}
			if first == nil {
				first = results
				sums := New(dev, out)
				for j := range out {
					var s float64
					for i := range rows {
						s += float64(dy.data[i*out+j])
					}
					sums.data[j] = float32(s)
				}
				near(t, table.Name+" dbias", dbias, sums, 1e-5)
			}
			for i := range results {
				near(t, fmt.Sprintf("%s, %d threads, result %d", table.Name, threads, i), results[i], first[i], 0)
			}
			dev.pool.Close()
		}
	}
}

// TestLinearAllocates: after the first time, a linear layer allocates nothing.
func TestLinearAllocates(t *testing.T) {
	dev := NewCPU(kernels.Best(), 2)
	defer dev.pool.Close()
	x, w, bias, y := New(dev, 500, 64), New(dev, 96, 64), New(dev, 96), New(dev, 500, 96)
	dx, dw, dbias := New(dev, 500, 64), New(dev, 96, 64), New(dev, 96)
	allocs := testing.AllocsPerRun(20, func() {
		LinearForward(y, x, w, bias)
		LinearBackward(dx, dw, dbias, y, x, w, true, true)
	})
	if allocs != 0 {
		t.Errorf("a linear layer allocates %g times", allocs)
	}
}

// TestGemmShapeErrors: shapes that do not fit panic with the operation's name.
func TestGemmShapeErrors(t *testing.T) {
	dev := NewCPU(kernels.Reference(), 1)
	n := func(shape ...int) *Tensor { return New(dev, shape...) }
	for i, c := range []struct {
		op   string
		call func()
	}{
		{"Gemm", func() { Gemm(n(2, 3), n(2, 4), n(5, 3), false, false, 1, 0) }},
		{"Gemm", func() { Gemm(n(2, 3), n(2, 4), n(4, 3), true, false, 1, 0) }},
		{"Gemm", func() { Gemm(n(6), n(2, 4), n(4, 3), false, false, 1, 0) }},
		{"LinearForward", func() { LinearForward(n(2, 3), n(2, 4), n(4, 3), nil) }},
		{"LinearForward", func() { LinearForward(n(2, 3), n(2, 4), n(3, 4), n(4)) }},
		{"LinearBackward", func() { LinearBackward(n(2, 5), nil, nil, n(2, 3), n(2, 4), n(3, 4), false, true) }},
	} {
		func() {
			defer func() {
				err, _ := recover().(error)
				var shape *ShapeError
				if !errors.As(err, &shape) || shape.Op != c.op {
					t.Errorf("%s, case %d: panics with %v", c.op, i, err)
				}
			}()
			c.call()
		}()
	}
	Gemm(n(2, 3), n(2, 4), n(4, 3), false, false, 1, 0)
}

// TestGemmFewChunks: of a product with fewer chunks than threads any thread may take one, so there must be scratch memory for each.
func TestGemmFewChunks(t *testing.T) {
	for _, table := range kernels.Tables() {
		dev := NewCPU(table, 7)
		a, b, c := New(dev, 70, 90), New(dev, 90, 110), New(dev, 70, 110)
		Fill(a, 1)
		Fill(b, 1)
		for range 600 {
			Gemm(c, a, b, false, false, 1, 0)
		}
		if got := c.Data()[70*110-1]; got != 90 {
			t.Errorf("%s: %v, want 90", table.Name, got)
		}
	}
}
