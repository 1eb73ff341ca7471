package cuda_test

import (
	"testing"

	"github.com/godino-ml/godino/kernels/cuda"
)

func TestPatchify(t *testing.T) {
	const count = 2
	for _, s := range []struct{ channels, height, width, patch int }{{3, 8, 12, 4}, {3, 9, 11, 4}, {1, 15, 14, 7}, {2, 16, 32, 16}, {1, 40, 40, 40}, {1, 3, 3, 5}, {3, 5, 4, 1}} {
		lengths := []int{s.patch}
		test(t, lengths, func(r *run, patch int) {
			h, w := s.height, s.width
			rows, cols := h/patch, w/patch
			types := []cuda.Type{r.typ}
			if r.typ == cuda.BFloat16 {
				types = append(types, cuda.Float32)
			}
			for _, images := range types {
				img := r.input(images, count*s.channels*h*w)
				y := r.undefined(r.typ, count*rows*cols*s.channels*patch*patch)
				dy := r.in(len(y.x))
				dimg := r.array(images, r.random(len(img.x)))
				y.is(make([]float32, len(y.x)))
				dimg.is(make([]float32, len(img.x)))
				if r.add {
					dimg.want = dimg.prior()
				}
				k := 0
				for b := range count {
					for i := range rows {
						for j := range cols {
							for c := range s.channels {
								for u := range patch {
									for v := range patch {
										at := ((b*s.channels+c)*h+i*patch+u)*w + j*patch + v
										y.want[k] = img.x[at]
										dimg.want[at] += dy.x[k]
										k++
									}
								}
							}
						}
					}
				}
				r.d.PatchifyForward(y.ptr, img.ptr, r.typ, images, count, s.channels, h, w, patch)
				r.d.PatchifyBackward(dimg.ptr, dy.ptr, images, r.typ, count, s.channels, h, w, patch, r.add)
			}
		})
	}
}
