package kernels

// GemmKernel is a micro-kernel of matrix products and the tile it computes.
type GemmKernel struct {
	MR, NR int
	// Tile adds A·B to the MR×NR tile at c, whose rows are ldc apart: a is a packed panel of kc columns of MR elements, b one of kc rows of
	// NR elements.
	Tile func(kc int, a, b, c []float32, ldc int)
}

// GemmWork is how many float32 of scratch memory Gemm needs for a product of that size.
func (t *Table) GemmWork(m, n, k int) int { return 0 }

// GemmSerial computes C = alpha·op(A)·op(B) + beta·C on the calling goroutine, where op transposes if asked. C is m×n, op(A) m×k, op(B) k×n;
// all are row-major with leading dimensions lda, ldb, ldc. With beta 0, C need not be initialised. work is scratch of GemmWork elements.
func (t *Table) GemmSerial(transA, transB bool, m, n, k int, alpha float32, a []float32, lda int, b []float32, ldb int, beta float32, c []float32, ldc int, work []float32) {
	for i := range m {
		for j := range n {
			var s float32
			for p := range k {
				av, bv := a[0], b[0]
				if transA {
					av = a[p*lda+i]
				} else {
					av = a[i*lda+p]
				}
				if transB {
					bv = b[j*ldb+p]
				} else {
					bv = b[p*ldb+j]
				}
				s += av * bv
			}
			if beta == 0 {
				c[i*ldc+j] = alpha * s
			} else {
				c[i*ldc+j] = alpha*s + beta*c[i*ldc+j]
			}
		}
	}
}
