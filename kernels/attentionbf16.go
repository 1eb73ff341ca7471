package kernels

// attentionBF16 rounds the factors of products to bf16, q, k, v and dy as well as p and ds, and adds the products in float32.
var attentionBF16 = attentionArithmetic{dotBF16, addScaledBF16}

// roundBF16 is x rounded to bf16.
func roundBF16(x float32) float32 { return fromBF16(toBF16(x)) }

func dotBF16(x, y []float32) float32 {
	var sum float64
	for i, v := range x {
		sum += float64(roundBF16(v)) * float64(roundBF16(y[i]))
	}
	return float32(sum)
}

// addScaledBF16: y += a·x, with a and x rounded to bf16.
func addScaledBF16(y, x []float32, a float32) {
	a = roundBF16(a)
	for i, v := range x {
		y[i] += a * roundBF16(v)
	}
}

// AttentionBF16Tiles is AttentionTiles with products in bf16. Operands are rounded to words of two terms first, which also puts them into the
// order in which the products read them:
//
//	rows     word p of row i:  x[i, 2p], x[i, 2p+1]    the left factor of a product along the row
//	columns  the same, transposed                      the right factor of such a product
//	pairs    word j of row p:  x[2p, j], x[2p+1, j]    either factor of a product along the column
//
// A term after an odd last one is zero.
type AttentionBF16Tiles struct {
	*AttentionTiles // Softmax, Grad and Delta, which are float32

	// Product is that of AttentionTiles on words, whose two products are added both: k counts words.
	Product func(c []float32, ldc int, a []float32, ars, acs int, b []float32, ldb, m, n, k int, add bool)
	// Rows rounds m rows of n elements, n even, to rows of words.
	Rows func(dst []float32, ldd int, src []float32, lds, m, n int)
	// Pack has columns and pairs: PackColumns, and PackRows for up to 32 columns, which write up to attentionPairSlack words beyond.
	Pack *GemmKernel
}

const attentionPairSlack = 32

// attentionBF16Space is the scratch memory of one head.
type attentionBF16Space struct {
	ld              int
	kt, vt          []float32 // d/2 × ld: columns of k and v
	pairs           []float32 // n/2 × d: of v forward, of k backward
	p, ds           []float32 // tile × ld
	words           []float32 // rows or pairs of p or ds
	q, dy           []float32 // tile × d/2: rows
	qPairs, dyPairs []float32 // tile/2 × d
	lse, delta      []float32 // tile, rounded up to vectors
}

func attentionBF16Work(n, d int) int {
	work := 0
	if d%8 != 0 {
		d = eights(d)
		work = 8 * n * d // q, k, v, y and their gradients
	}
	ld := attentionLD(n)
	work += d*ld + ceilDiv(n, 2)*d + attentionTile*(2*ld+ld/2+2*d) + 3*attentionPairSlack + attentionPairSlack + 2*((attentionTile+15)&^15)
	return (work + 31) &^ 31
}

func newAttentionBF16Space(work []float32, n, d int) (s attentionBF16Space) {
	s.ld = attentionLD(n)
	take := func(n int) (x []float32) {
		x, work = work[:n:n], work[n:]
		return x
	}
	s.kt, s.vt = take(d/2*s.ld), take(d/2*s.ld)
	s.p, s.ds = take(attentionTile*s.ld), take(attentionTile*s.ld)
	s.words = take(attentionTile/2*s.ld + attentionPairSlack)
	s.pairs = take(ceilDiv(n, 2)*d + attentionPairSlack)
	s.q, s.dy = take(attentionTile*d/2), take(attentionTile*d/2)
	s.qPairs, s.dyPairs = take(attentionTile/2*d+attentionPairSlack), take(attentionTile/2*d+attentionPairSlack)
	s.lse, s.delta = take((attentionTile+15)&^15), take((attentionTile+15)&^15)
	return s
}

// Forward computes attentionBF16.forward.
func (t *AttentionBF16Tiles) Forward(y []float32, ldy int, lse []float32, h AttentionHead, work []float32) {
	if h.D%8 != 0 {
		padForward(t.Forward, y, ldy, lse, h, work)
		return
	}
	s := newAttentionBF16Space(work, h.N, h.D)
	t.columns(s.kt, s.ld, h.K, h)
	t.pairs(s.pairs, h.D, h.V, h.LD, h.N, h.D)
	step := attentionTileRows(h.M)
	for from := 0; from < h.M; from += step {
		m := min(step, h.M-from)
		t.scores(s.p, s.q, h.Q[from*h.LD:], h.LD, s.kt, m, h, &s)
		t.Softmax(s.p, s.ld, s.lse, s.delta, m, h.N, h.Scale)
		copy(lse[from:from+m], s.lse)
		t.rowProduct(y[from*ldy:], ldy, s.p, m, h, &s, false)
	}
}

// Backward computes attentionBF16.backward.
func (t *AttentionBF16Tiles) Backward(dq, dk, dv, dy, y []float32, ldy int, lse []float32, h AttentionHead, add bool, work []float32) {
	if h.D%8 != 0 {
		padBackward(t.Backward, dq, dk, dv, dy, y, ldy, lse, h, add, work)
		return
	}
	s := newAttentionBF16Space(work, h.N, h.D)
	t.columns(s.kt, s.ld, h.K, h)
	t.columns(s.vt, s.ld, h.V, h)
	t.pairs(s.pairs, h.D, h.K, h.LD, h.N, h.D)
	step := attentionTileRows(h.N)
	for from := 0; from < h.N; from += step {
		m, more := min(step, h.N-from), add || from > 0
		q, dyt := h.Q[from*h.LD:], dy[from*ldy:]
		t.Delta(s.delta, dyt, y[from*ldy:], ldy, m, h.D)
		t.scores(s.p, s.q, q, h.LD, s.kt, m, h, &s)
		t.scores(s.ds, s.dy, dyt, ldy, s.vt, m, h, &s)
		t.Grad(s.p, s.ds, s.ld, lse[from:], s.delta, m, h.N, h.Scale)
		t.pairs(s.dyPairs, h.D, dyt, ldy, m, h.D)
		t.columnProduct(dv, s.p, s.dyPairs, m, h, &s, more)
		t.pairs(s.qPairs, h.D, q, h.LD, m, h.D)
		t.columnProduct(dk, s.ds, s.qPairs, m, h, &s, more)
		t.rowProduct(dq[from*h.LD:], h.LD, s.ds, m, h, &s, add)
	}
}

// scores computes x·kᵀ of m rows x with the columns of all keys, or dy·vᵀ with those of all values.
func (t *AttentionBF16Tiles) scores(p, rows, x []float32, ldx int, columns []float32, m int, h AttentionHead, s *attentionBF16Space) {
	t.Rows(rows, h.D/2, x, ldx, m, h.D)
	t.Product(p, s.ld, rows, h.D/2, 1, columns, s.ld, m, eights(h.N), h.D/2, false)
}

// rowProduct computes p·x of m rows p with the pairs of all values, or of all keys.
func (t *AttentionBF16Tiles) rowProduct(y []float32, ldy int, p []float32, m int, h AttentionHead, s *attentionBF16Space, add bool) {
	if h.N%2 != 0 {
		for i := range m {
			p[i*s.ld+h.N] = 0
		}
	}
	t.Rows(s.words, s.ld/2, p, s.ld, m, eights(h.N))
	t.Product(y, ldy, s.words, s.ld/2, 1, s.pairs, h.D, m, h.D, ceilDiv(h.N, 2), add)
}

// columnProduct computes pᵀ·x of m rows p with as many rows x, whose pairs are given: what they add to the gradients of all keys or values.
func (t *AttentionBF16Tiles) columnProduct(dx, p, pairs []float32, m int, h AttentionHead, s *attentionBF16Space, add bool) {
	t.pairs(s.words, s.ld, p, s.ld, m, h.N)
	t.Product(dx, h.LD, s.words, 1, s.ld, pairs, h.D, h.N, h.D, ceilDiv(m, 2), add)
}

// columns rounds the rows x of all keys, or of all values, to columns of words.
func (t *AttentionBF16Tiles) columns(dst []float32, ldd int, x []float32, h AttentionHead) {
	t.Pack.PackColumns(&dst[0], &x[0], h.LD, h.D, h.N, ldd)
}

// pairs rounds m rows of n columns to rows of words, from the last columns to the first: what is too much is overwritten.
func (t *AttentionBF16Tiles) pairs(dst []float32, ldd int, x []float32, ldx, m, n int) {
	const most = 32
	for from := (n - 1) / most * most; from >= 0; from -= most {
		t.Pack.PackRows(&dst[from], 0, &x[from], ldx, m, min(most, n-from), ldd)
	}
}
