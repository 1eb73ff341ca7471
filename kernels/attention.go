package kernels

import "math"

// AttentionHead is one head of scaled dot-product attention (Vaswani et al. 2017, §3.2.1): rows of D elements that lie LD apart, as the
// rows of q, k and v of a head do in a packed (N, 3C) array. There are M queries, and N keys with as many values.
type AttentionHead struct {
	Q, K, V []float32
	LD      int
	M, N, D int
	Scale   float32 // of the scores, > 0
}

// AttentionWork is how many float32 of scratch memory the attention kernels of any table need for a head of n keys of d elements and
// no more queries than that.
func AttentionWork(n, d int) int {
	return max(attentionTilesWork(n, d), attentionBF16Work(n, d))
}

// attentionArithmetic is the products of attention in one precision. The definitions below are its methods; delta, the softmax and sums are
// float32 in any.
type attentionArithmetic struct {
	dot       func(x, y []float32) float32
	addScaled func(y, x []float32, a float32) // y += a·x
}

var attentionFloat32 = attentionArithmetic{dot, addScaled}

// forward: p[i,j] = softmax over j of scale·q[i]·k[j], y[i] = Σ_j p[i,j]·v[j], lse[i] = log Σ_j exp(scale·q[i]·k[j]), which is
// what the backward needs to compute p again. Rows of y are ldy apart.
func (t attentionArithmetic) forward(y []float32, ldy int, lse []float32, h AttentionHead, work []float32) {
	p := work[:h.N]
	for i := range h.M {
		lse[i] = t.row(p, h, i)
		o := y[i*ldy:][:h.D]
		clear(o)
		for j, w := range p {
			t.addScaled(o, h.V[j*h.LD:][:h.D], w)
		}
	}
}

// weights: p[i,j] = softmax over j of scale·q[i]·k[j]; p is dense, M×N.
func (t attentionArithmetic) weights(p []float32, h AttentionHead, _ []float32) {
	for i := range h.M {
		t.row(p[i*h.N:][:h.N], h, i)
	}
}

// row computes the weights of query i and returns the logarithm of their denominator.
func (t attentionArithmetic) row(p []float32, h AttentionHead, i int) (lse float32) {
	for j := range p {
		p[j] = t.dot(h.Q[i*h.LD:][:h.D], h.K[j*h.LD:][:h.D])
	}
	return softmaxRow(p, p, h.Scale)
}

// backward undoes forward of as many queries as keys. With delta[i] = Σ_j p[i,j]·dp[i,j] = dy[i]·y[i] (Dao et al. 2022,
// FlashAttention, appendix B.2),
//
//	p[i,j] = exp(scale·q[i]·k[j] − lse[i])
//	ds[i,j] = p[i,j]·(dy[i]·v[j] − delta[i])·scale
//	dq[i] = Σ_j ds[i,j]·k[j]    dk[j] = Σ_i ds[i,j]·q[i]    dv[j] = Σ_i p[i,j]·dy[i]
//
// Rows of dq, dk and dv are h.LD apart, those of dy and y ldy. With add, the gradients are added to dq, dk and dv, otherwise stored.
func (t attentionArithmetic) backward(dq, dk, dv, dy, y []float32, ldy int, lse []float32, h AttentionHead, add bool, _ []float32) {
	if !add {
		for i := range h.N {
			clear(dq[i*h.LD:][:h.D])
			clear(dk[i*h.LD:][:h.D])
			clear(dv[i*h.LD:][:h.D])
		}
	}
	for i := range h.N {
		q, dqi, dyi := h.Q[i*h.LD:][:h.D], dq[i*h.LD:][:h.D], dy[i*ldy:][:h.D]
		delta := dot(dyi, y[i*ldy:][:h.D])
		for j := range h.N {
			k, v := h.K[j*h.LD:][:h.D], h.V[j*h.LD:][:h.D]
			p := float32(math.Exp(float64(h.Scale*t.dot(q, k) - lse[i])))
			ds := p * (t.dot(dyi, v) - delta) * h.Scale
			t.addScaled(dqi, k, ds)
			t.addScaled(dk[j*h.LD:][:h.D], q, ds)
			t.addScaled(dv[j*h.LD:][:h.D], dyi, p)
		}
	}
}
