package tensor

// gemmRows is how many rows of C a chunk of the product computes.
const gemmRows = 16

// Gemm computes c = alpha·op(a)·op(b) + beta·c, where op transposes if asked. c is (M, N), op(a) (M, K), op(b) (K, N). With beta 0, c need
// not be initialised; with alpha 0, a and b are not read. The result does not depend on the number of threads.
func Gemm(c, a, b *Tensor, transA, transB bool, alpha, beta float32) {
	m, k, kb, n := 0, 0, 0, 0
	ok := len(a.shape) == 2 && len(b.shape) == 2 && len(c.shape) == 2
	if ok {
		m, k = orient(a, transA)
		kb, n = orient(b, transB)
	}
	check(ok && k == kb && c.shape[0] == m && c.shape[1] == n, "Gemm", "c (M, N), op(a) (M, K), op(b) (K, N)", c, a, b)
	gemm(c.dev, transA, transB, m, n, k, alpha, a.data, a.shape[1], b.data, b.shape[1], beta, c.data, n)
}

// orient is the shape of op(t).
func orient(t *Tensor, trans bool) (rows, cols int) {
	if trans {
		return t.shape[1], t.shape[0]
	}
	return t.shape[0], t.shape[1]
}

// gemm is Gemm of matrices that are parts of slices.
func gemm(dev *Device, transA, transB bool, m, n, k int, alpha float32, a []float32, lda int, b []float32, ldb int, beta float32, c []float32, ldc int) {
	chunks := (m + gemmRows - 1) / gemmRows
	dev.Run(chunks, func(chunk, _ int) {
		i := chunk * gemmRows
		rows := min(gemmRows, m-i)
		first := i * lda
		if transA {
			first = i
		}
		work := make([]float32, dev.kernels.GemmWork(rows, n, k))
		dev.kernels.GemmSerial(transA, transB, rows, n, k, alpha, a[min(first, len(a)):], lda, b, ldb, beta, c[i*ldc:], ldc, work)
	})
}
