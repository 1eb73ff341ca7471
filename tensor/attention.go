package tensor

import (
	"math"
	"slices"

	"github.com/godino-ml/godino/kernels"
)

// AttentionForward computes multi-head self-attention: y (B, N, C) from the packed projections qkv (B, N, 3C), each row of which is
// [q | k | v] of heads × D elements, D = C/heads. Head by head, y = softmax(q·kᵀ/√D)·v. The logarithms of the softmax's denominators go to
// lse (B, heads, N); the backward needs them, and nothing of size N×N is kept.
func AttentionForward(y, lse, qkv *Tensor, heads int) {
	b, n, c := attentionShape("AttentionForward", heads, qkv, y, lse, qkv)
	check(hasShape(y, b, n, c) && hasShape(lse, b, heads, n), "AttentionForward", "y (B,N,C), lse (B,heads,N), qkv (B,N,3C)", y, lse, qkv)
	if n == 0 {
		return
	}
	if g := qkv.dev.gpu; g != nil {
		g.AttentionForward(y.at(qkv.typ), lse.f32(), qkv.ptr, qkv.typ, b, n, heads, c/heads)
		return
	}
	dev, t := qkv.dev, qkv.dev.kernels
	d := c / heads
	// A head is split into blocks of queries only when it is long: every block has to rearrange all the keys.
	const block = 256
	blocks := 1
	if n > block*3/2 {
		blocks = (n + block - 1) / block
	}
	rows := (n + blocks - 1) / blocks
	forward := t.AttentionForward
	if dev.precision == BF16 {
		forward = t.AttentionForwardBF16
	}
	each := kernels.AttentionWork(n, d)
	work := dev.scratch(dev.Threads() * each)
	defer dev.release(work)
	dev.Run(b*heads*blocks, func(chunk, worker int) {
		head, block := chunk/blocks, chunk%blocks
		from, to := block*rows, min((block+1)*rows, n)
		if from >= to {
			return
		}
		h := attentionHead(qkv.data, head/heads, head%heads, n, c, d)
		h.Q, h.M = h.Q[from*h.LD:], to-from
		o := y.data[(head/heads*n+from)*c+head%heads*d:]
		forward(o, c, lse.data[head*n+from:head*n+to], h, work[worker*each:(worker+1)*each])
	})
}

// AttentionBackward undoes AttentionForward: dqkv (B, N, 3C) from the gradient dy of y, with qkv, y and lse as the forward left them. With
// add the gradient is added to dqkv, otherwise dqkv is overwritten.
func AttentionBackward(dqkv, dy, qkv, y, lse *Tensor, heads int, add bool) {
	b, n, c := attentionShape("AttentionBackward", heads, qkv, dqkv, dy, qkv, y, lse)
	check(SameShape(dqkv, qkv) && hasShape(dy, b, n, c) && SameShape(dy, y) && hasShape(lse, b, heads, n), "AttentionBackward",
		"dqkv (B,N,3C), dy (B,N,C), qkv as dqkv, y as dy, lse (B,heads,N)", dqkv, dy, qkv, y, lse)
	if n == 0 {
		return
	}
	if g := qkv.dev.gpu; g != nil {
		g.AttentionBackward(dqkv.at(qkv.typ), dy.at(qkv.typ), qkv.ptr, y.at(qkv.typ), lse.f32(), qkv.typ, b, n, heads, c/heads, add)
		return
	}
	dev, t := qkv.dev, qkv.dev.kernels
	d := c / heads
	backward := t.AttentionBackward
	if dev.precision == BF16 {
		backward = t.AttentionBackwardBF16
	}
	each := kernels.AttentionWork(n, d)
	work := dev.scratch(dev.Threads() * each)
	defer dev.release(work)
	dev.Run(b*heads, func(chunk, worker int) {
		sample, head := chunk/heads, chunk%heads
		h := attentionHead(qkv.data, sample, head, n, c, d)
		g := attentionHead(dqkv.data, sample, head, n, c, d)
		from := sample*n*c + head*d
		backward(g.Q, g.K, g.V, dy.data[from:], y.data[from:], c, lse.data[chunk*n:(chunk+1)*n], h, add, work[worker*each:(worker+1)*each])
	})
}

// AttentionWeights computes p (B, heads, N, N), the softmaxed weights that AttentionForward does not keep, for pictures of them.
func AttentionWeights(p, qkv *Tensor, heads int) {
	b, n, c := attentionShape("AttentionWeights", heads, qkv, p, qkv)
	check(hasShape(p, b, heads, n, n), "AttentionWeights", "p (B,heads,N,N), qkv (B,N,3C)", p, qkv)
	if n == 0 {
		return
	}
	if g := qkv.dev.gpu; g != nil {
		g.AttentionWeights(p.at(qkv.typ), qkv.ptr, qkv.typ, b, n, heads, c/heads)
		return
	}
	dev, t := qkv.dev, qkv.dev.kernels
	d := c / heads
	each := kernels.AttentionWork(n, d)
	work := dev.scratch(dev.Threads() * each)
	defer dev.release(work)
	dev.Run(b*heads, func(chunk, worker int) {
		h := attentionHead(qkv.data, chunk/heads, chunk%heads, n, c, d)
		t.AttentionWeights(p.data[chunk*n*n:(chunk+1)*n*n], h, work[worker*each:(worker+1)*each])
	})
}

// attentionShape checks qkv, one of the tensors ts of op, and returns its (B, N, C).
func attentionShape(op string, heads int, qkv *Tensor, ts ...*Tensor) (b, n, c int) {
	ok := len(qkv.shape) == 3 && heads > 0 && qkv.shape[2] > 0 && qkv.shape[2]%(3*heads) == 0
	check(ok, op, "qkv (B,N,3·heads·D)", ts...)
	return qkv.shape[0], qkv.shape[1], qkv.shape[2] / 3
}

func hasShape(t *Tensor, shape ...int) bool { return slices.Equal(t.shape, shape) }

// attentionHead is one head of one sample of a packed array (B, N, 3C).
func attentionHead(qkv []float32, sample, head, n, c, d int) kernels.AttentionHead {
	row := qkv[sample*n*3*c : (sample+1)*n*3*c]
	return kernels.AttentionHead{
		Q: row[head*d:], K: row[c+head*d:], V: row[2*c+head*d:], LD: 3 * c,
		M: n, N: n, D: d, Scale: float32(1 / math.Sqrt(float64(d))),
	}
}
