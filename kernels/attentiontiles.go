package kernels

// AttentionTiles is what a fast attention is made of: products whose operands lie as they are in the packed arrays, and the row-wise steps
// between them. Forward, Weights and Backward put them together, a tile of queries at a time, so that the N×N scores never leave the caches.
//
// All kernels take head dimensions that are multiples of 8: heads of others are copied to rows padded with zeros first.
//
// Rows of a tile are ld apart, a multiple of 16 elements: kernels may read and write up to it. What they leave there means nothing.
type AttentionTiles struct {
	// Product: c[i·ldc+j] = Σ_p a[i·ars+p·acs]·b[p·ldb+j] for i < m, j < n, p < k, added to c if add; n is a multiple of 8.
	Product func(c []float32, ldc int, a []float32, ars, acs int, b []float32, ldb, m, n, k int, add bool)
	// Transpose: dst[j·ldd+i] = src[i·lds+j] for i < 8 and j < n.
	Transpose func(dst []float32, ldd int, src []float32, lds, n int)
	// Softmax: p[i] = softmax(scale·p[i]) over the first n elements of m rows, lse[i] = log Σ_j exp(scale·p[i,j]). work and lse have room
	// for m rounded up to 16.
	Softmax func(p []float32, ld int, lse, work []float32, m, n int, scale float32)
	// Grad: p[i,j] = exp(scale·p[i,j] − lse[i]) and ds[i,j] = p[i,j]·(ds[i,j] − delta[i])·scale for i < m and j < n.
	Grad func(p, ds []float32, ld int, lse, delta []float32, m, n int, scale float32)
	// Delta: delta[i] = Σ_l dy[i·ld+l]·y[i·ld+l] for i < m and l < d.
	Delta func(delta, dy, y []float32, ld, m, d int)
}

// attentionTile is how many queries a tile has at most: a multiple of the rows that a product computes at once (6), and one tile for the
// 65 tokens of a 32×32 image in 4×4 patches.
const attentionTile = 66

// attentionTileRows splits m queries evenly into tiles of no more than attentionTile.
func attentionTileRows(m int) int {
	tiles := (m + attentionTile - 1) / attentionTile
	return ((m+tiles-1)/tiles + 5) / 6 * 6
}

// attentionLD is how far the rows of a tile with n columns lie apart: whole cache lines, but not a power of two of them, which would put
// the rows on few places of the cache.
func attentionLD(n int) int {
	ld := (n + 15) &^ 15
	if ld%128 == 0 {
		ld += 16
	}
	return ld
}

// attentionSpace is the scratch memory of one head.
type attentionSpace struct {
	ld         int
	kt, vt     []float32 // d × ld: k and v transposed
	p, ds      []float32 // tile × ld
	rows       []float32 // 8 × d
	lse, delta []float32 // tile, rounded up to vectors
}

func attentionTilesWork(n, d int) int {
	work := 0
	if d%8 != 0 {
		d = eights(d)
		work = 8 * n * d // q, k, v, y and their gradients
	}
	work += 2*(d+attentionTile)*attentionLD(n) + 8*d + 2*((attentionTile+15)&^15)
	return (work + 31) &^ 31 // neighbours share no cache line
}

func newAttentionSpace(work []float32, n, d int) (s attentionSpace) {
	s.ld = attentionLD(n)
	take := func(n int) (x []float32) {
		x, work = work[:n:n], work[n:]
		return x
	}
	s.kt, s.vt = take(d*s.ld), take(d*s.ld)
	s.p, s.ds = take(attentionTile*s.ld), take(attentionTile*s.ld)
	s.rows = take(8 * d)
	s.lse, s.delta = take((attentionTile+15)&^15), take((attentionTile+15)&^15)
	return s
}

// Forward computes attentionFloat32.forward.
func (t *AttentionTiles) Forward(y []float32, ldy int, lse []float32, h AttentionHead, work []float32) {
	if h.D%8 != 0 {
		padForward(t.Forward, y, ldy, lse, h, work)
		return
	}
	s := newAttentionSpace(work, h.N, h.D)
	t.transpose(s.kt, h.K, h, &s)
	step := attentionTileRows(h.M)
	for from := 0; from < h.M; from += step {
		m := min(step, h.M-from)
		t.weights(h, from, m, &s)
		copy(lse[from:from+m], s.lse)
		t.Product(y[from*ldy:], ldy, s.p, s.ld, 1, h.V, h.LD, m, h.D, h.N, false)
	}
}

// Weights computes attentionFloat32.weights.
func (t *AttentionTiles) Weights(p []float32, h AttentionHead, work []float32) {
	if h.D%8 != 0 {
		h, work = padHead(h, work)
	}
	s := newAttentionSpace(work, h.N, h.D)
	t.transpose(s.kt, h.K, h, &s)
	step := attentionTileRows(h.M)
	for from := 0; from < h.M; from += step {
		m := min(step, h.M-from)
		t.weights(h, from, m, &s)
		for i := range m {
			copy(p[(from+i)*h.N:][:h.N], s.p[i*s.ld:])
		}
	}
}

// weights computes p and lse of the space for m queries from one on.
func (t *AttentionTiles) weights(h AttentionHead, from, m int, s *attentionSpace) {
	t.Product(s.p, s.ld, h.Q[from*h.LD:], h.LD, 1, s.kt, s.ld, m, eights(h.N), h.D, false)
	t.Softmax(s.p, s.ld, s.lse, s.delta, m, h.N, h.Scale)
}

// Backward computes attentionFloat32.backward.
func (t *AttentionTiles) Backward(dq, dk, dv, dy, y []float32, ldy int, lse []float32, h AttentionHead, add bool, work []float32) {
	if h.D%8 != 0 {
		padBackward(t.Backward, dq, dk, dv, dy, y, ldy, lse, h, add, work)
		return
	}
	s := newAttentionSpace(work, h.N, h.D)
	t.transpose(s.kt, h.K, h, &s)
	t.transpose(s.vt, h.V, h, &s)
	columns := eights(h.N)
	step := attentionTileRows(h.N)
	for from := 0; from < h.N; from += step {
		m, more := min(step, h.N-from), add || from > 0
		q, dyt := h.Q[from*h.LD:], dy[from*ldy:]
		t.Delta(s.delta, dyt, y[from*ldy:], ldy, m, h.D)
		t.Product(s.p, s.ld, q, h.LD, 1, s.kt, s.ld, m, columns, h.D, false)
		t.Product(s.ds, s.ld, dyt, ldy, 1, s.vt, s.ld, m, columns, h.D, false)
		t.Grad(s.p, s.ds, s.ld, lse[from:], s.delta, m, h.N, h.Scale)
		t.Product(dv, h.LD, s.p, 1, s.ld, dyt, ldy, h.N, h.D, m, more)
		t.Product(dk, h.LD, s.ds, 1, s.ld, q, h.LD, h.N, h.D, m, more)
		t.Product(dq[from*h.LD:], h.LD, s.ds, s.ld, 1, h.K, h.LD, m, h.D, h.N, add)
	}
}

// transpose writes the n rows x of a head as columns, with zeros up to a multiple of 8.
func (t *AttentionTiles) transpose(dst, x []float32, h AttentionHead, s *attentionSpace) {
	i := 0
	for ; i+8 <= h.N; i += 8 {
		t.Transpose(dst[i:], s.ld, x[i*h.LD:], h.LD, h.D)
	}
	if i == h.N {
		return
	}
	clear(s.rows)
	for r := range h.N - i {
		copy(s.rows[r*h.D:(r+1)*h.D], x[(i+r)*h.LD:])
	}
	t.Transpose(dst[i:], s.ld, s.rows, h.D, h.D)
}

// padForward computes the forward of a head whose rows have to be padded.
func padForward(forward func(y []float32, ldy int, lse []float32, h AttentionHead, work []float32), y []float32, ldy int, lse []float32, h AttentionHead, work []float32) {
	p, work := padHead(h, work)
	out := work[:h.M*p.D]
	forward(out, p.D, lse, p, work[len(out):])
	copyRows(y, ldy, out, p.D, h.M, h.D)
}

// padBackward computes the backward of a head whose rows have to be padded; more is its add.
func padBackward(backward func(dq, dk, dv, dy, y []float32, ldy int, lse []float32, h AttentionHead, add bool, work []float32),
	dq, dk, dv, dy, y []float32, ldy int, lse []float32, h AttentionHead, more bool, work []float32) {
	p, work := padHead(h, work)
	n, d := h.N, p.D
	var x [5][]float32
	for i := range x {
		x[i], work = work[:n*d], work[n*d:]
	}
	padRows(x[0], d, dy, ldy, n, h.D)
	padRows(x[1], d, y, ldy, n, h.D)
	backward(x[2], x[3], x[4], x[0], x[1], d, lse, p, false, work)
	for i, out := range [3][]float32{dq, dk, dv} {
		if more {
			for r := range n {
				add(out[r*h.LD:][:h.D], x[2+i][r*d:][:h.D])
			}
		} else {
			copyRows(out, h.LD, x[2+i], d, n, h.D)
		}
	}
}

// padHead copies a head to rows padded with zeros to a multiple of 8 and returns it with the rest of work.
func padHead(h AttentionHead, work []float32) (AttentionHead, []float32) {
	p := h
	p.D = eights(h.D)
	p.LD = p.D
	take := func(x []float32, n int) []float32 {
		dst := work[:n*p.D]
		work = work[n*p.D:]
		padRows(dst, p.D, x, h.LD, n, h.D)
		return dst
	}
	p.Q, p.K, p.V = take(h.Q, h.M), take(h.K, h.N), take(h.V, h.N)
	return p, work
}

// padRows copies n rows of d elements to rows of ldd and fills these with zeros.
func padRows(dst []float32, ldd int, src []float32, lds, n, d int) {
	for i := range n {
		row := dst[i*ldd:][:ldd]
		clear(row[copy(row, src[i*lds:][:d]):])
	}
}

func copyRows(dst []float32, ldd int, src []float32, lds, n, d int) {
	for i := range n {
		copy(dst[i*ldd:][:d], src[i*lds:])
	}
}

// eights is n rounded up to a multiple of 8.
func eights(n int) int { return (n + 7) &^ 7 }
