package blas_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	gblas "gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/blas32"
	"gonum.org/v1/gonum/blas/gonum"

	"github.com/godino-ml/godino/tensor/blas"
)

// TestSgemm compares with gonum's own, over shapes, transpositions and strides.
func TestSgemm(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	transposes := []gblas.Transpose{gblas.NoTrans, gblas.Trans, gblas.ConjTrans}
	for range 300 {
		m, n, k := r.IntN(60), r.IntN(60), r.IntN(300)
		tA, tB := transposes[r.IntN(3)], transposes[r.IntN(3)]
		rowsA, colsA, rowsB, colsB := m, k, k, n
		if tA != gblas.NoTrans {
			rowsA, colsA = k, m
		}
		if tB != gblas.NoTrans {
			rowsB, colsB = n, k
		}
		lda, ldb, ldc := max(colsA, 1)+r.IntN(3), max(colsB, 1)+r.IntN(3), max(n, 1)+r.IntN(3)
		a, b, c := random(r, rowsA*lda), random(r, rowsB*ldb), random(r, m*ldc)
		alpha, beta := []float32{1, 0, -2}[r.IntN(3)], []float32{1, 0, .5}[r.IntN(3)]
		want := append([]float32(nil), c...)
		gonum.Implementation{}.Sgemm(tA, tB, m, n, k, alpha, a, lda, b, ldb, beta, want, ldc)
		blas.Implementation{}.Sgemm(tA, tB, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc)
		for i := range want {
			if err := math.Abs(float64(c[i] - want[i])); !(err <= 1e-6*float64(k+1)) {
				t.Fatalf("%c %c %dx%dx%d: element %d is %g, gonum's is %g", tA, tB, m, n, k, i, c[i], want[i])
			}
		}
	}
}

func random(r *rand.Rand, n int) []float32 {
	s := make([]float32, n)
	for i := range s {
		s[i] = r.Float32()*2 - 1
	}
	return s
}

// TestSgemmPanics: every mistake panics with gonum's words.
func TestSgemmPanics(t *testing.T) {
	type arguments struct {
		tA, tB      gblas.Transpose
		m, n, k     int
		a           int // lengths
		lda, b, ldb int
		c, ldc      int
		alpha, beta float32
	}
	good := arguments{tA: gblas.NoTrans, tB: gblas.Trans, m: 3, n: 4, k: 5, a: 15, lda: 5, b: 20, ldb: 5, c: 12, ldc: 4, alpha: 1}
	call := func(f func(tA, tB gblas.Transpose, m, n, k int, alpha float32, a []float32, lda int, b []float32, ldb int, beta float32, c []float32, ldc int), x arguments) (v any) {
		defer func() { v = recover() }()
		f(x.tA, x.tB, x.m, x.n, x.k, x.alpha, make([]float32, x.a), x.lda, make([]float32, x.b), x.ldb, x.beta, make([]float32, x.c), x.ldc)
		return nil
	}
	if v := call(blas.Implementation{}.Sgemm, good); v != nil {
		t.Fatalf("good arguments panic: %v", v)
	}
	for name, spoil := range map[string]func(*arguments){
		"transpose A": func(x *arguments) { x.tA = 'x' },
		"transpose B": func(x *arguments) { x.tB = 0 },
		"m":           func(x *arguments) { x.m = -1 },
		"n":           func(x *arguments) { x.n = -1 },
		"k":           func(x *arguments) { x.k = -1 },
		"lda":         func(x *arguments) { x.lda = 4 },
		"ldb":         func(x *arguments) { x.ldb = 0 },
		"ldc":         func(x *arguments) { x.ldc = 3 },
		"short a":     func(x *arguments) { x.a = 14 },
		"short b":     func(x *arguments) { x.b = 19 },
		"short c":     func(x *arguments) { x.c = 11 },
		"huge stride": func(x *arguments) { x.lda = 1 << 40 },
	} {
		x := good
		spoil(&x)
		got, want := call(blas.Implementation{}.Sgemm, x), call(gonum.Implementation{}.Sgemm, x)
		if want == nil || got != want {
			t.Errorf("%s: panics with %v, gonum with %v", name, got, want)
		}
	}
}

func ExampleImplementation() {
	blas32.Use(blas.Implementation{})
	defer blas32.Use(gonum.Implementation{})
	a := blas32.General{Rows: 2, Cols: 3, Stride: 3, Data: []float32{1, 2, 3, 4, 5, 6}}
	b := blas32.General{Rows: 3, Cols: 2, Stride: 2, Data: []float32{1, 0, 0, 1, 1, 1}}
	c := blas32.General{Rows: 2, Cols: 2, Stride: 2, Data: make([]float32, 4)}
	blas32.Gemm(gblas.NoTrans, gblas.NoTrans, 1, a, b, 0, c)
	fmt.Println(c.Data)
	// Output: [4 5 10 11]
}
