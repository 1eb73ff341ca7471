package measure

import (
	"fmt"

	"github.com/godino-ml/godino/kernels"
	"github.com/godino-ml/godino/tensor"
)

// Products are M, N, K of the matrix products of a Vision Transformer and its head, with those of their gradients, and two that machines are
// known by.
var Products = [][3]int{
	{1024, 1024, 1024}, {2048, 2048, 2048}, {3152, 1152, 384}, {3152, 384, 384}, {3152, 1536, 384}, {3152, 384, 1536}, {1184, 1152, 384},
	{197, 197, 64}, {197, 64, 197}, {37, 37, 64}, {65, 65, 64}, {65, 64, 65}, {17, 17, 64}, {17, 64, 17}, {1040, 576, 192}, {1040, 192, 768},
	{40, 65536, 256}, {40, 2048, 384}, {128, 384, 12672},
}

// Form says which factors of a product lie transposed: NN in a forward, NT and TN in its gradients.
type Form struct {
	Name           string
	TransA, TransB bool
}

// Forms are those that training needs.
var Forms = []Form{{"NN", false, false}, {"NT", false, true}, {"TN", true, false}}

// leading are the leading dimensions of A and B in an M×N×K product.
func (f Form) leading(m, n, k int) (lda, ldb int) {
	lda, ldb = k, n
	if f.TransA {
		lda = m
	}
	if f.TransB {
		ldb = k
	}
	return lda, ldb
}

// Product is C = op(A)·op(B), in the device's precision.
func Product(dev *tensor.Device, f Form, shape [3]int) Work {
	m, n, k := shape[0], shape[1], shape[2]
	a, b, c := Integers(m*k, 17), Integers(k*n, 13), make([]float32, m*n)
	lda, ldb := f.leading(m, n, k)
	return Work{
		Name: fmt.Sprintf("%s/%dx%dx%d", f.Name, m, n, k),
		Do: func() {
			dev.LayerProduct(kernels.Product{TransA: f.TransA, TransB: f.TransB, M: m, N: n, K: k, Alpha: 1, A: a, LDA: lda, B: b, LDB: ldb, C: c, LDC: n})
		},
		FLOPs:  2 * float64(m) * float64(n) * float64(k),
		Repeat: 1 + 1_000_000/(m*n*k), // as long as a clock can measure
	}
}

// HeadProducts are the products of attention, one for each head of each image: count, M, N, K.
var HeadProducts = [][4]int{{96, 37, 37, 64}, {96, 65, 65, 64}, {96, 65, 64, 65}, {24, 197, 197, 64}, {24, 197, 64, 197}}

// BatchedProduct is count products of one shape, with matrices of their own, shared among the device's threads.
func BatchedProduct(dev *tensor.Device, f Form, shape [4]int) Work {
	count, m, n, k := shape[0], shape[1], shape[2], shape[3]
	a, b, c := Integers(count*m*k, 17), Integers(count*k*n, 13), make([]float32, count*m*n)
	lda, ldb := f.leading(m, n, k)
	table := dev.Kernels()
	products := make([]kernels.Product, count)
	for i := range products {
		products[i] = kernels.Product{
			TransA: f.TransA, TransB: f.TransB, M: m, N: n, K: k, Alpha: 1,
			A: a[i*m*k:], LDA: lda, B: b[i*k*n:], LDB: ldb, C: c[i*m*n:], LDC: n,
		}
	}
	work := make([][]float32, dev.Threads())
	for i := range work {
		work[i] = make([]float32, table.GemmWork(&products[0]))
	}
	one := func(i, worker int) { table.GemmSerial(&products[i], work[worker]) }
	return Work{
		Name:   fmt.Sprintf("%s/%dx%dx%dx%d", f.Name, count, m, n, k),
		Do:     func() { dev.Run(count, one) },
		FLOPs:  2 * float64(count) * float64(m) * float64(n) * float64(k),
		Repeat: 1 + 1_000_000/(count*m*n*k),
	}
}

// Integers are small whole numbers, positive and negative, which repeat after so many.
func Integers(n, period int) []float32 {
	s := make([]float32, n)
	for i := range s {
		s[i] = float32(i%period - period/2)
	}
	return s
}

// AttentionShape is (B, N, H, D): images, tokens, heads, and dimensions of a head.
type AttentionShape struct{ B, N, H, D int }

// Attentions are those that training and evaluation meet.
var Attentions = []AttentionShape{{16, 17, 3, 64}, {16, 37, 6, 64}, {16, 65, 3, 64}, {16, 65, 3, 32}, {4, 197, 6, 64}, {1, 785, 6, 64}}

func (s AttentionShape) String() string { return fmt.Sprintf("b%dh%dn%dd%d", s.B, s.H, s.N, s.D) }

// Attention is a forward, two products a head, and its backward, five products: it computes the weights again.
func Attention(dev *tensor.Device, s AttentionShape) (forward, backward Work) {
	qkv, dy := normal(dev, s.B, s.N, 3*s.H*s.D), normal(dev, s.B, s.N, s.H*s.D)
	y, lse, dqkv := tensor.New(dev, s.B, s.N, s.H*s.D), tensor.New(dev, s.B, s.H, s.N), tensor.New(dev, s.B, s.N, 3*s.H*s.D)
	flops := 4 * float64(s.N) * float64(s.N) * float64(s.D) * float64(s.H) * float64(s.B)
	forward = Work{Name: "Forward/" + s.String(), FLOPs: flops, Do: func() { tensor.AttentionForward(y, lse, qkv, s.H) }}
	forward.Do() // whose output the backward needs
	backward = Work{Name: "Backward/" + s.String(), FLOPs: 2.5 * flops, Do: func() { tensor.AttentionBackward(dqkv, dy, qkv, y, lse, s.H, false) }}
	return forward, backward
}
