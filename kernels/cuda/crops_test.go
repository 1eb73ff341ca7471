package cuda_test

import (
	"fmt"
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

// cropOperations make a batch's large and small crops of pictures of 500×375 pixels. Bytes are those of the pictures and of the crops; that every sample is
// looked at some times over, one byte at a time, takes longer.
func cropOperations(s sizes) []operation {
	m := augment.Reference()
	m.LocalNumber = s.locals
	const w, h = 500, 375
	if s == tiny {
		m.GlobalSize, m.LocalSize = 16, 8
	}
	var all []operation
	for kind, size := range []int{m.GlobalSize, m.LocalSize} {
		first, n := [2]int{0, s.globals}[kind], [2]int{s.globals, s.locals}[kind]
		all = append(all, operation{name: "Crops", shape: fmt.Sprintf("%dx%dx%d", s.images*n, size, size),
			bytes: float64(s.images) * (3*w*h + 2*3*float64(n*size*size)), prepare: func(mem *memory) func() {
				var scratch augment.Scratch
				crops := &cuda.Crops{Size: size}
				for i := range s.images {
					for v := first; v < first+n; v++ {
						r := m.Draw(v, w, h, augment.CropStream(1, 0, i, v))
						m.AddTo(crops, &scratch, &r, 3*w*h*i, w)
					}
				}
				records, taps := crops.Parts()
				pictures, recordsAt, tapsAt := mem.array((s.images*3*w*h+1)/2, cuda.BFloat16), cudatest.PutBytes(mem.Device, records), cudatest.PutBytes(mem.Device, taps)
				mem.list = append(mem.list, recordsAt, tapsAt)
				out := mem.act(crops.Count() * 3 * size * size)
				return func() { mem.Crops(out, cuda.BFloat16, crops, pictures, recordsAt, tapsAt, m.Mean, m.Std) }
			}})
	}
	return all
}
