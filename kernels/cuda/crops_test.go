package cuda_test

import (
	"math/rand/v2"
	"testing"

	"github.com/godino-ml/godino/dino/augment"
	"github.com/godino-ml/godino/dino/dataset"
	"github.com/godino-ml/godino/kernels/cuda"
	"github.com/godino-ml/godino/kernels/cuda/cudatest"
)

// TestCrops: the crops that a GPU makes are those of the CPU, bit for bit.
func TestCrops(t *testing.T) {
	cudatest.Modes(t, func(t *testing.T, d *cuda.Device) {
		var s augment.Scratch
		for _, size := range []int{1, 15, 32} {
			m := augment.Reference()
			m.GlobalSize, m.LocalSize, m.LocalNumber = size, size, 6
			m.Solarize[2], m.Gray, m.Blur[2], m.Flip = 0.5, 0.3, 0.7, 0.5
			m.BlurRadius = [2]float64{0, 6}
			rng := rand.New(rand.NewPCG(uint64(size), 1))
			crops := &cuda.Crops{Size: size}
			for range 2 { // the second time in the memory of the first
				var pictures []byte
				var want []float32
				crops.Reset()
				for i, wh := range [][2]int{{37, 23}, {size, size}, {1, 5}, {90, 61}} {
					img := dataset.NewRGB(wh[0], wh[1])
					for i := range img.Pix {
						img.Pix[i] = byte(rng.IntN(256))
						if rng.IntN(3) == 0 {
							img.Pix[i] = byte(255 * rng.IntN(2))
						}
					}
					at := len(pictures)
					pictures = append(pictures, img.Pix...)
					for v := range m.Views() {
						view := make([]float32, 3*size*size)
						m.View(&s, view, img, v, augment.CropStream(9, 1, i, v))
						want = append(want, view...)
						r := m.Draw(v, img.W, img.H, augment.CropStream(9, 1, i, v))
						m.AddTo(crops, &s, &r, at, img.W)
					}
				}
				records, taps := crops.Parts()
				recordsAt, tapsAt, picturesAt := cudatest.PutBytes(d, records), cudatest.PutBytes(d, taps), cudatest.PutBytes(d, pictures)
				for _, typ := range []cuda.Type{cuda.Float32, cuda.BFloat16} {
					out := d.Alloc(len(want) * typ.Size())
					d.Crops(out, typ, crops, picturesAt, recordsAt, tapsAt, m.Mean, m.Std)
					rounded := cudatest.Round(typ, want)
					for i, x := range cudatest.Get(d, out, typ, len(want)) {
						if x != rounded[i] {
							crop, rest := i/(3*size*size), i%(3*size*size)
							t.Fatalf("%v, %d pixels: crop %d, channel %d, pixel %d is %g, want %g", typ, size, crop, rest/(size*size), rest%(size*size), x, rounded[i])
						}
					}
				}
			}
		}
	})
}
