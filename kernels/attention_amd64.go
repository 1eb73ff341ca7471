package kernels

import (
	"github.com/godino-ml/godino/kernels/avx2"
	"github.com/godino-ml/godino/kernels/avx512"
)

var attentionAVX2 = AttentionTiles{
	Product:   attentionProductAVX2.product,
	Transpose: attentionTranspose,
	Softmax: func(p []float32, ld int, lse, work []float32, m, n int, scale float32) {
		avx2.AttentionSoftmax(&p[0], ld, &lse[0], &work[0], m, n, scale)
		avx2.AttentionLogSum(&lse[0], &work[0], m)
	},
	Grad: func(p, ds []float32, ld int, lse, delta []float32, m, n int, scale float32) {
		avx2.AttentionGrad(&p[0], &ds[0], ld, &lse[0], &delta[0], m, n, scale)
	},
	Delta: attentionDelta,
}

var attentionAVX512 = AttentionTiles{
	Product:   attentionProductAVX512.product,
	Transpose: attentionTranspose,
	Softmax: func(p []float32, ld int, lse, work []float32, m, n int, scale float32) {
		avx512.AttentionSoftmax(&p[0], ld, &lse[0], &work[0], m, n, scale)
		avx512.AttentionLogSum(&lse[0], &work[0], m)
	},
	Grad: func(p, ds []float32, ld int, lse, delta []float32, m, n int, scale float32) {
		avx512.AttentionGrad(&p[0], &ds[0], ld, &lse[0], &delta[0], m, n, scale)
	},
	Delta: attentionDelta,
}

var attentionAVX512BF16 = AttentionBF16Tiles{
	AttentionTiles: &attentionAVX512,
	Product:        attentionProductAVX512BF16.product,
	Rows: func(dst []float32, ldd int, src []float32, lds, m, n int) {
		avx512.AttentionBF16Rows(&dst[0], ldd, &src[0], lds, m, n)
	},
	Pack: &gemmAVX512BF16,
}

// attentionProducts are the products of one instruction set by how many times 8 columns they compute, from 1 on.
type attentionProducts []func(c *float32, ldc int, a *float32, ars, acs int, b *float32, ldb, m, k int, add bool)

var (
	attentionProductAVX2   = attentionProducts{avx2.AttentionProduct8, avx2.AttentionProduct16}
	attentionProductAVX512 = attentionProducts{
		avx512.AttentionProduct8, avx512.AttentionProduct16, avx512.AttentionProduct24, avx512.AttentionProduct32,
		avx512.AttentionProduct40, avx512.AttentionProduct48, avx512.AttentionProduct56, avx512.AttentionProduct64,
	}
	attentionProductAVX512BF16 = attentionProducts{
		avx512.AttentionBF16Product8, avx512.AttentionBF16Product16, avx512.AttentionBF16Product24, avx512.AttentionBF16Product32,
		avx512.AttentionBF16Product40, avx512.AttentionBF16Product48, avx512.AttentionBF16Product56, avx512.AttentionBF16Product64,
	}
)

// attentionDepth is how many rows of b, and attentionHeight how many of a, a product goes through in one call: with 64 columns the former
// fill three quarters of the first-level cache, and no call takes 100 µs, in which the garbage collector could not stop it.
const attentionDepth, attentionHeight = 96, 384

// product computes AttentionTiles.Product: with the columns split evenly over the widths at hand.
func (ps attentionProducts) product(c []float32, ldc int, a []float32, ars, acs int, b []float32, ldb, m, n, k int, add bool) {
	n /= 8
	blocks := (n + len(ps) - 1) / len(ps)
	for p := 0; p < k; p += attentionDepth {
		depth := min(attentionDepth, k-p)
		for i := 0; i < m; i += attentionHeight {
			height := min(attentionHeight, m-i)
			for block := range blocks {
				from, to := n*block/blocks, n*(block+1)/blocks
				ps[to-from-1](&c[i*ldc+8*from], ldc, &a[i*ars+p*acs], ars, acs, &b[p*ldb+8*from], ldb, height, depth, add || p > 0)
			}
		}
	}
}

func attentionTranspose(dst []float32, ldd int, src []float32, lds, n int) {
	avx2.AttentionTranspose(&dst[0], ldd, &src[0], lds, n)
}

func attentionDelta(delta, dy, y []float32, ld, m, d int) {
	avx2.AttentionDelta(&delta[0], &dy[0], &y[0], ld, m, d)
}
