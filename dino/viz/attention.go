package viz

import (
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"math"
	"os"
	"path/filepath"
	"slices"
)

// WriteAttention draws the attention of the class token over an image's patches into dir:
//
//	img.png                  the image, cut to whole patches
//	attn-head0.png, ...      each head's attention, min-max scaled, in the viridis map
//	mask-head0.png, ...      white where Mask keeps a patch
//	overlay-head0.png, ...   the image with the mask in colour (half transparent) and its contour
//	*-mean.png               the same of the mean over heads
//
// attention is (heads, gridH·gridW), the class token's own column left out. Without a threshold (0) there are no masks, and the overlay is
// the attention's colours over the image. It returns the files in the order of writing.
func WriteAttention(dir string, img image.Image, attention [][]float32, gridH, gridW, patch int, threshold float64) ([]string, error) {
	if err := checkAttention(img, attention, gridH, gridW, patch, threshold); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return nil, err
	}
	var paths []string
	write := func(name string, img image.Image) error {
		path := filepath.Join(dir, name+".png")
		paths = append(paths, path)
		return WritePNG(path, img)
	}
	input := crop(img, gridW*patch, gridH*patch)
	if err := write("img", input); err != nil {
		return paths, err
	}
	maps := append(slices.Clone(attention), MeanOfHeads(attention))
	for i, a := range maps {
		name := fmt.Sprintf("head%d", i)
		if i == len(attention) {
			name = "mean"
		}
		colours := AttentionMap(a, gridW, patch, Viridis)
		if err := write("attn-"+name, colours); err != nil {
			return paths, err
		}
		if threshold == 0 {
			if err := write("overlay-"+name, Blend(input, colours)); err != nil {
				return paths, err
			}
			continue
		}
		mask := Mask(a, threshold)
		if err := write("mask-"+name, maskImage(mask, gridW, patch)); err != nil {
			return paths, err
		}
		if err := write("overlay-"+name, Overlay(input, mask, gridW, patch, headColour(i))); err != nil {
			return paths, err
		}
	}
	return paths, nil
}

func checkAttention(img image.Image, attention [][]float32, gridH, gridW, patch int, threshold float64) error {
	if gridH < 1 || gridW < 1 || patch < 1 || len(attention) == 0 {
		return fmt.Errorf("attention of %d heads over a grid of %d×%d patches of %d px", len(attention), gridH, gridW, patch)
	}
	if size := img.Bounds().Size(); size.X < gridW*patch || size.Y < gridH*patch {
		return fmt.Errorf("an image of %d×%d px under a grid of %d×%d patches of %d px: draw on the image the model saw",
			size.X, size.Y, gridW, gridH, patch)
	}
	if !(threshold >= 0 && threshold <= 1) {
		return fmt.Errorf("threshold %v: a share of the attention, between 0 and 1, is needed", threshold)
	}
	for h, a := range attention {
		if len(a) != gridH*gridW {
			return fmt.Errorf("head %d: %d attention values for %d×%d patches", h, len(a), gridH, gridW)
		}
		for i, v := range a {
			if !(v >= 0) || math.IsInf(float64(v), 1) {
				return fmt.Errorf("head %d, patch %d: attention %v", h, i, v)
			}
		}
	}
	return nil
}

// Mask keeps the patches with the largest attention that together hold the share threshold of it: sorted from the smallest, normalised to
// sum 1, those whose cumulative sum is above 1−threshold.
func Mask(attention []float32, threshold float64) []bool {
	order := make([]int, len(attention))
	var total float64
	for i, v := range attention {
		order[i] = i
		total += float64(v)
	}
	slices.SortStableFunc(order, func(a, b int) int {
		switch {
		case attention[a] < attention[b]:
			return -1
		case attention[a] > attention[b]:
			return 1
		}
		return 0
	})
	mask := make([]bool, len(attention))
	var sum float64
	for _, i := range order {
		sum += float64(attention[i]) / total
		mask[i] = sum > 1-threshold
	}
	return mask
}

// MeanOfHeads is the mean of several maps.
func MeanOfHeads(attention [][]float32) []float32 {
	m := make([]float32, len(attention[0]))
	for i := range m {
		var sum float64
		for _, a := range attention {
			sum += float64(a[i])
		}
		m[i] = float32(sum / float64(len(attention)))
	}
	return m
}

// AttentionMap draws one map, min-max scaled, each patch a square of patch pixels.
func AttentionMap(attention []float32, gridW, patch int, colours Colormap) *image.RGBA {
	low, high := float64(slices.Min(attention)), float64(slices.Max(attention))
	return squares(len(attention), gridW, patch, func(i int) color.RGBA {
		if high == low {
			return colours.At(0)
		}
		return colours.At((float64(attention[i]) - low) / (high - low))
	})
}

func maskImage(mask []bool, gridW, patch int) *image.RGBA {
	return squares(len(mask), gridW, patch, func(i int) color.RGBA {
		if mask[i] {
			return color.RGBA{255, 255, 255, 255}
		}
		return color.RGBA{0, 0, 0, 255}
	})
}

// squares fills square i of a grid with colour(i).
func squares(n, gridW, patch int, colour func(i int) color.RGBA) *image.RGBA {
	img := image.NewRGBA(image.Rect(0, 0, gridW*patch, n/gridW*patch))
	for i := range n {
		x, y := i%gridW*patch, i/gridW*patch
		draw.Draw(img, image.Rect(x, y, x+patch, y+patch), image.NewUniform(colour(i)), image.Point{}, draw.Src)
	}
	return img
}

// Overlay lays a mask over an image: half transparent colour inside, and a solid line of it along the border. The image is gridW·patch
// pixels wide.
func Overlay(img *image.RGBA, mask []bool, gridW, patch int, colour color.RGBA) *image.RGBA {
	out := image.NewRGBA(img.Bounds())
	gridH := len(mask) / gridW
	line := max(1, patch/8)
	inside := func(x, y int) bool { // outside the picture counts as inside: its edge is no contour
		if x < 0 || y < 0 || x >= gridW*patch || y >= gridH*patch {
			return true
		}
		return mask[y/patch*gridW+x/patch]
	}
	for y := range gridH * patch {
		for x := range gridW * patch {
			c := img.RGBAAt(x, y)
			if inside(x, y) {
				// The line is where a pixel within reach is outside; reach is below one patch, so the corners decide.
				if inside(x-line, y-line) && inside(x+line, y-line) && inside(x-line, y+line) && inside(x+line, y+line) &&
					inside(x-line, y) && inside(x+line, y) && inside(x, y-line) && inside(x, y+line) {
					c = half(c, colour)
				} else {
					c = colour
				}
			}
			out.SetRGBA(x, y, c)
		}
	}
	return out
}

func half(a, b color.RGBA) color.RGBA {
	mix := func(a, b uint8) uint8 { return uint8((uint16(a) + uint16(b) + 1) / 2) }
	return color.RGBA{mix(a.R, b.R), mix(a.G, b.G), mix(a.B, b.B), 255}
}

// Blend is the mean of two pictures of one size.
func Blend(a, b *image.RGBA) *image.RGBA {
	out := image.NewRGBA(a.Bounds())
	for y := range a.Bounds().Dy() {
		for x := range a.Bounds().Dx() {
			out.SetRGBA(x, y, half(a.RGBAAt(x, y), b.RGBAAt(x, y)))
		}
	}
	return out
}

// crop copies the upper left w×h pixels, on black where the picture is transparent.
func crop(img image.Image, w, h int) *image.RGBA {
	out := image.NewRGBA(image.Rect(0, 0, w, h))
	draw.Draw(out, out.Bounds(), image.Black, image.Point{}, draw.Src)
	draw.Draw(out, out.Bounds(), img, img.Bounds().Min, draw.Over)
	return out
}

// headColour is one of a few colours that stand out on photographs.
func headColour(i int) color.RGBA {
	table := []uint32{0xe6194b, 0x3cb44b, 0x4363d8, 0xf58231, 0x911eb4, 0x42d4f4, 0xf032e6, 0xbfef45}
	c := table[i%len(table)]
	return color.RGBA{uint8(c >> 16), uint8(c >> 8), uint8(c), 255}
}
