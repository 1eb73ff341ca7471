package cuda_test

import (
	"os"
	"testing"

	"github.com/godino-ml/godino/kernels/cuda"
	"github.com/godino-ml/godino/kernels/cuda/cudatest"
)

// hopperProducts are products that the kernels for sm_90a take: every orientation and epilogue, tails of tiles, of stages and of clusters.
func hopperProducts() []product {
	var products []product
	add := func(transA, transB bool, m, n, k int, set func(p *product)) {
		p := product{Gemm: cuda.Gemm{TransA: transA, TransB: transB, M: m, N: n, K: k, Alpha: 1, Type: cuda.BFloat16, TypeC: cuda.BFloat16}}
		if set != nil {
			set(&p)
		}
		products = append(products, p)
	}
	nt := func(m, n, k int, set func(p *product)) { add(false, true, m, n, k, set) }
	nn := func(m, n, k int, set func(p *product)) { add(false, false, m, n, k, set) }
	tn := func(m, n, k int, set func(p *product)) { add(true, false, m, n, k, set) }
	nt(256, 192, 64, nil) // two tiles of a stage
	nt(300, 200, 152, func(p *product) { p.bias, p.Alpha, p.pad = true, 0.5, 8 })
	nt(130, 3208, 64, nil) // columns in groups
	nt(70, 392, 456, func(p *product) { p.GELU, p.h, p.bias = true, true, true })
	nt(200, 72, 64, func(p *product) { p.GELU, p.pad = true, 24 })
	nt(520, 192, 72, func(p *product) {
		p.residual, p.bias, p.scale, p.SampleRows = true, true, []float32{0, 1, 1.25, 0, 2, 0}, 100
	})
	nt(129, 200, 64, func(p *product) { p.Beta = 1 })
	nn(300, 200, 152, func(p *product) { p.pad = 8 })
	nn(100, 584, 448, func(p *product) { p.bias, p.Alpha = true, -1 })
	nn(136, 192, 64, func(p *product) { p.residual, p.inPlace = true, true })
	nn(260, 328, 96, func(p *product) { p.MulGELUDerivative, p.Alpha, p.pad = true, 0.5, 8 })
	nn(129, 136, 72, func(p *product) { p.MulGELUDerivative, p.activation = true, true })
	tn(64, 64, 64, func(p *product) { p.TypeC = cuda.Float32 })
	tn(328, 200, 1300, func(p *product) { p.TypeC, p.sums, p.Beta, p.pad = cuda.Float32, true, 1, 8 })   // parts
	tn(76, 68, 200, func(p *product) { p.sums, p.bias, p.GELU, p.h, p.pad = true, true, true, true, 4 }) // what gemm_reduce does
	tn(128, 416, 130, func(p *product) { p.TypeC, p.sums = cuda.Float32, true })                         // side by side
	return products
}

// TestGemmHopper compares products on a device of compute capability 9.0 with those in float64, in all modes.
func TestGemmHopper(t *testing.T) {
	products := hopperProducts()
	cudatest.Modes(t, func(t *testing.T, d *cuda.Device) {
		if i := d.Info(); i.Major != 9 || i.Minor != 0 {
			t.Skip("not of compute capability 9.0")
		}
		if os.Getenv("GODINO_CUDA") == "sm_80" {
			t.Skip("GODINO_CUDA=sm_80 takes the general kernels")
		}
		for i := range products {
			p := &products[i]
			t.Run(p.name(), func(t *testing.T) {
				was := cudatest.Launches()
				p.test(t, d)
				n := 0
				for k, runs := range cudatest.Launches() {
					if hopperKernels[k] {
						n += runs - was[k]
					}
				}
				if n != 1 && !cudatest.Hardware() {
					t.Errorf("%d launches of kernels for sm_90a", n)
				}
			})
		}
	}, cudatest.Capability(9, 0))
}

// hopperKernels are the names of the kernels of gemm_sm_90a.cu.
var hopperKernels = func() map[string]bool {
	text, err := cuda.PTX("gemm_sm_90a")
	if err != nil {
		panic(err)
	}
	names := map[string]bool{}
	for _, m := range entries.FindAllSubmatch(text, -1) {
		names[string(m[1])] = true
	}
	return names
}()
