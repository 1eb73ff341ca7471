// Package blas gives gonum the engine's matrix product. A program that computes with gonum in float32 gets it with one line,
//
//	blas32.Use(blas.Implementation{})
//
// after which Sgemm, and what gonum builds on it, runs on the kernels and threads of tensor.CPU:
//
//	a := blas32.General{Rows: m, Cols: k, Stride: k, Data: …}
//	blas32.Gemm(blas.NoTrans, blas.Trans, 1, a, b, 0, c) // c = a·bᵀ
//
// All other routines are gonum's own, and so are all of float64 (blas64, mat). docs/performance.md has the rates beside OpenBLAS and oneDNN.
package blas

import (
	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/gonum"

	"github.com/godino-ml/godino/tensor"
)

// Implementation is gonum's BLAS with another Sgemm. It has no state and may be used by several goroutines.
type Implementation struct {
	gonum.Implementation
}

var _ blas.Float32 = Implementation{}

// Sgemm computes C = alpha·op(A)·op(B) + beta·C, where op transposes if asked. C is m×n, op(A) m×k, op(B) k×n, all row-major with leading
// dimensions lda, ldb, ldc. Arguments that do not fit panic as gonum's do. Sums are added in another order than gonum's, so the last bits
// differ; they do not depend on the number of threads.
func (i Implementation) Sgemm(tA, tB blas.Transpose, m, n, k int, alpha float32, a []float32, lda int, b []float32, ldb int, beta float32, c []float32, ldc int) {
	transA, okA := transposes(tA)
	transB, okB := transposes(tB)
	// k rows of m in A if it is transposed, else m of k; likewise B.
	rowsA, colsA, rowsB, colsB := m, k, k, n
	if transA {
		rowsA, colsA = k, m
	}
	if transB {
		rowsB, colsB = n, k
	}
	if !okA || !okB || !holds(a, rowsA, colsA, lda) || !holds(b, rowsB, colsB, ldb) || !holds(c, m, n, ldc) {
		// A mistake, or nothing to multiply: gonum says which mistake, and scales C.
		i.Implementation.Sgemm(tA, tB, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc)
		return
	}
	tensor.CPU().Gemm(transA, transB, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc)
}

func transposes(t blas.Transpose) (transposed, ok bool) {
	switch t {
	case blas.NoTrans:
		return false, true
	case blas.Trans, blas.ConjTrans:
		return true, true
	}
	return false, false
}

// holds says whether s has room for a matrix that is not empty.
func holds(s []float32, rows, cols, ld int) bool {
	return rows > 0 && cols > 0 && ld >= cols && len(s) >= cols && (len(s)-cols)/ld >= rows-1
}
