package cuda_test

import (
	"testing"

	"github.com/godino-ml/godino/kernels/cuda"
	"github.com/godino-ml/godino/kernels/cuda/cudatest"
)

// hopperProducts are products that kernels for sm_90a take: every orientation and epilogue, tails of tiles, of steps and of clusters.
func hopperProducts() []product {
	var products []product
	add := func(transA, transB bool, m, n, k int, set func(p *product)) {
		p := product{Gemm: cuda.Gemm{TransA: transA, TransB: transB, M: m, N: n, K: k, Alpha: 1, Type: cuda.BFloat16, TypeC: cuda.BFloat16}}
		if set != nil {
			set(&p)
		}
		products = append(products, p)
	}
	add(false, true, 128, 192, 64, nil)
	add(false, true, 300, 200, 152, func(p *product) { p.bias, p.Alpha, p.pad = true, 0.5, 8 })
	add(false, true, 64, 392, 72, func(p *product) { p.GELU, p.h, p.bias = true, true, true }) // side by side
	return products
}

func TestGemmHopper(t *testing.T) {
	products := hopperProducts()
	cudatest.Modes(t, func(t *testing.T, d *cuda.Device) {
		for i := range products {
			p := &products[i]
			t.Run(p.name(), func(t *testing.T) { p.test(t, d) })
		}
	}, cudatest.Capability(9, 0))
	t.Log(cudatest.Launches())
}
