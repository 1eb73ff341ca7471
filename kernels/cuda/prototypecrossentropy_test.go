package cuda_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/godino-ml/godino/kernels/cuda"
	"github.com/godino-ml/godino/kernels/cuda/cudatest"
)

func TestPrototypeCrossEntropy(t *testing.T) {
	cudatest.Modes(t, func(t *testing.T, d *cuda.Device) {
		rng := rand.New(rand.NewPCG(1, 2))
		for _, types := range [][2]cuda.Type{{cuda.Float32, cuda.Float32}, {cuda.BFloat16, cuda.BFloat16}, {cuda.BFloat16, cuda.Float32}} {
			typ, ofTarget := types[0], types[1]
			for _, n := range []int{1, 9, 64, 250, 2048, 5000} {
				for offset := range 2 { // of the addresses, in elements
					const T, scale, weight, dloss = 3, 4.0, 0.25, 3.0
					rows := [][]int{{1}, {0, 2}, {}, {2, 0, 1}, {0}}
					R := len(rows)
					start, index := []int32{0}, []int32{}
					for _, list := range rows {
						for _, i := range list {
							index = append(index, int32(i))
						}
						start = append(start, int32(len(index)))
					}
					logits, target := make([]float32, R*n), make([]float32, T*n)
					for i := range logits {
						logits[i] = float32(2 * rng.NormFloat64())
					}
					for i := range target {
						target[i] = rng.Float32() / float32(n) // sums that are not 1
					}
					logits, target = cudatest.Round(typ, logits), cudatest.Round(ofTarget, target)
					put := func(typ cuda.Type, x []float32) cuda.Ptr {
						return cudatest.Put(d, typ, append(make([]float32, offset), x...)).Add(offset, typ)
					}
					c := &cuda.PrototypeCrossEntropy{R: R, T: T, N: n, Type: typ, TypeTarget: ofTarget, Logits: put(typ, logits), Target: put(ofTarget, target), Start: cudatest.PutInts(d, start),
						Index: cudatest.PutInts(d, index), Scale: scale, Loss: d.Alloc(4 * R), LSE: d.Alloc(4 * R), TargetSum: d.Alloc(4 * T)}
					d.PrototypeCrossEntropyForward(c)
					loss, lse, sums := cudatest.Get(d, c.Loss, cuda.Float32, R), cudatest.Get(d, c.LSE, cuda.Float32, R), cudatest.Get(d, c.TargetSum, cuda.Float32, T)

					apart := d.Alloc(typ.Size() * R * n)
					d.PrototypeCrossEntropyBackward(c, apart, cudatest.Put(d, cuda.Float32, []float32{dloss}), weight)
					got := cudatest.Get(d, apart, typ, R*n)
					d.PrototypeCrossEntropyBackward(c, c.Logits, 0, weight*dloss)
					for i, v := range cudatest.Get(d, c.Logits, typ, R*n) {
						if v != got[i] {
							t.Fatalf("%v, %d columns: in place dlogits[%d] is %g, elsewhere %g", typ, n, i, v, got[i])
						}
					}

					what := fmt.Sprintf("%v, %d columns, offset %d: ", types, n, offset)
					sum := func(i int) (s float64) {
						for _, v := range target[i*n : (i+1)*n] {
							s += float64(v)
						}
						return s
					}
					for i := range T {
						near(t, what+fmt.Sprintf("sum of target %d", i), sums[i], sum(i), 1e-6, 0)
					}
					for r, list := range rows {
						var s, l, all float64
						for _, v := range logits[r*n : (r+1)*n] {
							s += math.Exp(scale * float64(v))
						}
						logSum := math.Log(s)
						near(t, what+fmt.Sprintf("lse[%d]", r), lse[r], logSum, 1e-6, 2e-6)
						for _, i := range list {
							all += sum(i)
							for k, v := range target[i*n : (i+1)*n] {
								l -= float64(v) * (scale*float64(logits[r*n+k]) - logSum)
							}
						}
						near(t, what+fmt.Sprintf("loss[%d]", r), loss[r], l, 1e-6, 4e-6)
						for k := range n {
							p := all * math.Exp(scale*float64(logits[r*n+k])-logSum)
							want, size := p, p
							for _, i := range list {
								want -= float64(target[i*n+k])
								size += float64(target[i*n+k])
							}
							tolerance := 4e-6
							if typ == cuda.BFloat16 {
								tolerance = 1.0 / 256
							}
							near(t, what+fmt.Sprintf("dlogits[%d,%d]", r, k), got[r*n+k], weight*dloss*scale*want, tolerance, weight*dloss*scale*4e-6*size)
						}
					}
				}
			}
		}
	})
}
