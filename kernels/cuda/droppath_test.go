package cuda_test

import (
	"encoding/binary"
	"testing"

	"github.com/godino-ml/godino/kernels/cuda"
	"github.com/godino-ml/godino/kernels/cuda/cudatest"
	"github.com/godino-ml/godino/tensor"
)

func TestDropPath(t *testing.T) {
	cudatest.Modes(t, func(t *testing.T, d *cuda.Device) {
		const seed, step, pass, block, branch = 1<<63 + 5, 1<<40 + 3, 2, 11, 1
		exactly := float64(tensor.Uniform(seed, step, pass, block, branch, 200)) // of which sample 200 is not below
		for _, keep := range []float64{1, 0.9, 1 - 0.1/11, 0.5, 1e-9, exactly, exactly + 1e-9} {
			for _, n := range []int{1, 255, 257} {
				number := cudatest.PutBytes(d, binary.LittleEndian.AppendUint64(nil, step))
				scale := cudatest.Put(d, cuda.Float32, make([]float32, n+1))
				d.DropPath(scale, n, seed, number, pass, block, branch, keep)
				got := cudatest.Get(d, scale, cuda.Float32, n+1)
				for i := range n {
					var want float32
					if float64(tensor.Uniform(seed, step, pass, block, branch, uint64(i))) < keep {
						want = float32(1 / keep)
					}
					if got[i] != want {
						t.Fatalf("keep %g, sample %d of %d: scale %g, want %g", keep, i, n, got[i], want)
					}
				}
				if got[n] != 0 {
					t.Fatalf("wrote behind %d samples", n)
				}
			}
		}
	})
}
