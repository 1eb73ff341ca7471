// Package viz draws what a run has to show: attention maps, sheets of images, curves, masks, animations, pages of pictures. It takes plain slices and images,
// and writes PNG, GIF or HTML; the same input gives the same bytes.
//
//	paths, err := viz.WriteAttention(dir, img, heads, 14, 14, 16, 0.6)
//	err = viz.Curves("loss.png", "Loss", "epoch", "loss", viz.Series{Name: "loss", X: x, Y: y}, viz.Level("ln K", math.Log(4096)))
//	err = viz.WritePNG("crops.png", viz.Sheet(crops, 10, 2))
package viz

import (
	"bufio"
	"fmt"
	"image"
	"image/png"
	"os"
)

// WritePNG writes an image.
func WritePNG(path string, img image.Image) (err error) {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() {
		if e := f.Close(); err == nil {
			err = e
		}
	}()
	w := bufio.NewWriter(f)
	if err := png.Encode(w, img); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return w.Flush()
}
