package augment

import (
	"slices"
	"testing"

	"github.com/godino-ml/godino/kernels"
)

// TestResizedCropIsPillows compares with Image.crop(box).resize((size, size), BILINEAR) of Pillow 13.0.0 on pattern(w, h).
func TestResizedCropIsPillows(t *testing.T) {
	for _, table := range kernels.Tables() {
		s := Scratch{table: table}
		for _, c := range []struct {
			w, h int
			box  Box
			size int
			want string
		}{
			{31, 20, Box{3, 2, 25, 17}, 9,
				"fbF5hYJ4hIl+jX5viIF9Y4tgYp1pgHqIe2CCloddaHaDb21pdnBrlYBmjXVleI9nfH+Gh3yIllGNdYt3eIKIdYN5f2eIb3KViYJzf4eOfIZ7dnOOgnGHa3R/dH9wgXhlj5WChoVziIB1kX54gIR1e3uKdIeTg4J4jXGCd35seYdujoiDjW6Cb3Jyb4N3e5WLgZSReYJ2g3mBgoiQiYN3eml+fHuBhIR2gZNvdnmCjIZxf3x0dHuGiHl0e4R9jHd2fI1zeIJ3koKSlY+DeYR/gXJ4iXx5j4JgZ4CMgXlze418iZCXiH2SeXVnbGx6hX6Iqlp3"},
			{13, 12, Box{1, 0, 7, 11}, 16,
				"AzVnBDZoCDpsDD5wE0V3Gkx+IlSGK12PNmiaQnSmToCyXY/Ba53PfK7gjb/xk8X3CT91C0F2EEZ7FkuBHVOJJVuRL2SaOW+kRXuwUoi9YJW+b6WUf7RpkcZ3o9mJqd+PEkyHFE6JGlWPIlyXKmWfNG6pP3q0S4XAWJPBZ6G4drGhh8FdmNMYrNAmv8s5xspAGlmZHVybJWSjLW2sOHe3Q4LCUI/OXZzba6u4e7tljMsln94tsvE2xqlK21tf4z9nImaqJmquL3O3OX3BRYnOUZbaYKS1brOCf8NckNVBo9kwt6tEy35YpWduelGFa0mNKnO8L3jBOYLLRY7UUpvDYKmycLl9gMk/kssppcA8sqpQqXFmoDd7bEqTNmOrImu0M4DOOIXTRJHfUJ7kX62Kb70ugM4mkuA0pb5GumhbuClwZTyHEVCdIGq3N4TRP4zaO43gQJLLTqCRXK9abcBFftAwkas7pHZOuFNjz0R5zj2PeFaoI27AN4mZUqVsXK5cQ5ucSKCHWLBPaL0ce6kujZZAoWpVtjZquSh/q0CXllinZ3KcOoyQUalnbsY8eNAsS6gJUa4PYr8gdMkxiG5FnBRZshNvyCmFqUCcVFm1F3O3Mo5mTqoUbMUqiuBIlepTVLUbWrshbc40gNlHlYBcqihxwiiJ2kChvFm6aXPULY7YSquHaMk3h59OpnBusl95XMItY7k0d6BIjIddol1zuTKKrz2inFa8gHHBWo2wQ6CbYpJ5gYRWomVzw0aUzzqgZM8+bK9GgVdcmAdysB+KyDiijFK0OW3FH4mrPKZkWq00el9VmhJ1syyXzFC61FzGbNxQdL1YjGZwoxiHvTGh1ku6nGeTS4RZMqFBUMBHcMhUknx2tDCYiEy7VnHgRX3tdelifcprlnWEryidykO35V/TrHyaXJpKRaAzZoxThnl0qWGXzUq6jGywRJKiK5+ee/NwhNV5noGTuDWt1FHJ8W7muYyuaqtfVJVJdklrmBWNvDmx4F3VoYSWWqtPQbk2"},
			{16, 16, Box{2, 3, 8, 8}, 8,
				"P4bNXaTrgcgUq/I+2yduFl2kUpnglNsnUJ7sc8EUnOo9yx5sBVOhQI7cgc8iyBtpYbYQid44txFm60WaKn/Uar8ZsApfAVarcs4vnwBc0jOPEGzIT6sMlPBR30CcNZHtg+ZOtR2A7VW4MJP2dNc/viaJE3bZacw0lANtyzqkDXfhULopmQhy6FfBQqwbnQx2pRuM4VfIKJkPcOFXvjSlF4j5ceJY0Ue4tjOr93TsQ7s4kA2F42DYQbk2oB2VCoL6"},
		} {
			s.resizeTo(&s.crop, bilinear, c.size, c.size, Box{W: c.size, H: c.size}, pattern(c.w, c.h), c.box, false)
			differ(t, s.picture(&s.crop), c.want, 0)
		}
	}
}

// TestResizedCropIsKeyed: a crop depends on its stream and nothing else, and each probability does what it says.
func TestResizedCropIsKeyed(t *testing.T) {
	img := noise(50, 40, 1)
	crop := func(c ResizedCrop, s *Scratch, sample int) []float32 {
		dst := make([]float32, 3*c.Size*c.Size)
		c.Apply(s, dst, img, CropStream(7, 2, sample, 0))
		return dst
	}
	c := ResizedCropAt(16)
	var used Scratch
	crop(c, &used, 3)
	used.resize(&used.crop, 16, 16, img, Box{W: 50, H: 40}, true) // bicubic weights of the same sizes are not taken for bilinear ones
	if !slices.Equal(crop(c, &used, 5), crop(c, new(Scratch), 5)) {
		t.Error("a crop depends on what the scratch was used for before")
	}
	if slices.Equal(crop(c, &used, 5), crop(c, &used, 6)) {
		t.Error("two samples have the same crop")
	}
	whole := c
	whole.Scale, whole.Ratio, whole.Flip = [2]float64{1, 1}, [2]float64{1.25, 1.25}, 0
	mirrored, jittered := whole, whole
	mirrored.Flip, jittered.Jitter = 1, 1
	a, b := crop(whole, &used, 1), crop(mirrored, &used, 1)
	want := make([]float32, len(a))
	used.resizeTo(&used.crop, bilinear, 16, 16, Box{W: 16, H: 16}, img, Box{W: 50, H: 40}, false)
	used.normalize(want, &used.crop, ImageNetMean, ImageNetStd)
	if !slices.Equal(a, want) {
		t.Error("the whole picture is not resized by the bilinear filter")
	}
	if !slices.Equal(a, crop(whole, &used, 2)) {
		t.Error("the whole picture differs between samples")
	}
	for row := 0; row < len(b); row += 16 {
		slices.Reverse(b[row : row+16])
	}
	if !slices.Equal(a, b) {
		t.Error("a flip is no mirror image")
	}
	if slices.Equal(a, crop(jittered, &used, 1)) {
		t.Error("jitter changes nothing")
	}
	for i, bad := range []func(c *ResizedCrop){
		func(c *ResizedCrop) { c.Size = 0 }, func(c *ResizedCrop) { c.Flip = 1.5 }, func(c *ResizedCrop) { c.Scale[0] = 0 }, func(c *ResizedCrop) { c.Jitter = -1 },
	} {
		b := c
		bad(&b)
		if b.Validate() == nil {
			t.Errorf("spoiled settings %d pass", i)
		}
	}
	if err := c.Validate(); err != nil {
		t.Error(err)
	}
}
