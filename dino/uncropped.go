package dino

import (
	"github.com/godino-ml/godino/dino/augment"
	"github.com/godino-ml/godino/dino/dataset"
	"github.com/godino-ml/godino/kernels/cuda"
	"github.com/godino-ml/godino/tensor"
)

// uncropped is a sample whose crops a GPU will make: its picture, and what is drawn of every view.
type uncropped struct {
	pix           []byte      // of three bytes a pixel
	own           dataset.RGB // whose memory pix is in, unless the loader keeps the picture
	global, local cuda.Crops
}

// draw draws all views of a sample's picture.
func (u *uncropped) draw(w *sampler, img *dataset.RGB, c *augment.MultiCrop, seed uint64, epoch, sample int) {
	if img == &w.image { // the worker's, which the next picture is decoded into
		u.own, w.image = w.image, u.own
		img = &u.own
	}
	u.pix = img.Pix
	u.global.Size, u.local.Size = c.GlobalSize, c.LocalSize
	u.global.Reset()
	u.local.Reset()
	for v := range c.Views() {
		r := c.Draw(v, img.W, img.H, w.stream.Key(seed, epoch, sample, v))
		crops := &u.global
		if v >= 2 {
			crops = &u.local
		}
		c.AddTo(crops, &w.scratch, &r, 0, img.W)
	}
}

// sendUncropped sends the pictures of an uncropped batch and what is drawn of them: of the large crops, and of the small ones if there are any.
func (b *Batch) sendUncropped(f *tensor.CropFeed) {
	n := len(b.uncropped)
	pictures, global, local := make([][]byte, n), make([]*cuda.Crops, n), make([]*cuda.Crops, n)
	for i := range b.uncropped {
		u := &b.uncropped[i]
		pictures[i], global[i], local[i] = u.pix, &u.global, &u.local
	}
	if local[0].Count() == 0 {
		f.Send(pictures, global)
		return
	}
	f.Send(pictures, global, local)
}
