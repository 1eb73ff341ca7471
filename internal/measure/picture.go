package measure

import (
	"bytes"
	"image"
	"image/jpeg"
	"math/rand/v2"
	"sync"

	"github.com/godino-ml/godino/dino/augment"
	"github.com/godino-ml/godino/dino/dataset"
	"github.com/godino-ml/godino/internal/shapes"
)

// Width and height of the picture that is measured with: what most photos of ImageNet have.
const PictureWidth, PictureHeight = 500, 375

// JPEG is a file of such a picture. It is drawn, with a grain that makes the file as large as that of a photo, about 100 KB: a decoder's time
// goes with the bytes as well as with the pixels.
var JPEG = sync.OnceValue(func() []byte {
	const grain = 16 // grey levels, deviation
	img := shapes.Picture(0, 4, PictureWidth)
	r := rand.New(rand.NewPCG(3, 4))
	for i := range img.Pix {
		if i%4 != 3 { // not alpha
			img.Pix[i] = uint8(max(0, min(255, float64(img.Pix[i])+grain*r.NormFloat64())))
		}
	}
	var b bytes.Buffer
	err := jpeg.Encode(&b, img.SubImage(image.Rect(0, 0, PictureWidth, PictureHeight)), &jpeg.Options{Quality: 90})
	if err != nil {
		panic(err) // a buffer takes all
	}
	return b.Bytes()
})

// PictureParts are decoding alone, the ten crops of the reference with all their augmentations alone, and both: what a loader's worker does for
// an image. On so many threads, each works on pictures of its own.
func PictureParts(threads int) []Work {
	crops := augment.Reference()
	type worker struct {
		scratch augment.Scratch
		views   [][]float32
		img     *dataset.RGB
		sample  int
	}
	workers := make([]*worker, threads)
	decode := func(w *worker) {
		img, err := dataset.Decode(JPEG(), "picture.jpg", 0)
		if err != nil {
			panic(err) // it is made above
		}
		w.img = img
	}
	crop := func(w *worker) {
		w.sample++ // draws other boxes and colours
		crops.Sample(&w.scratch, w.views, w.img, 0, 0, w.sample)
	}
	for i := range workers {
		w := &worker{sample: 1000 * i}
		for v := range crops.Views() {
			w.views = append(w.views, make([]float32, 3*crops.Size(v)*crops.Size(v)))
		}
		decode(w)
		workers[i] = w
	}
	const each = 8 // pictures a thread and run: their augmentations differ
	part := func(name string, f func(*worker)) Work {
		return Work{Name: name, Images: each * threads, Do: func() {
			var wait sync.WaitGroup
			for _, w := range workers {
				wait.Go(func() {
					for range each {
						f(w)
					}
				})
			}
			wait.Wait()
		}}
	}
	return []Work{part("decode", decode), part("crops", crop), part("whole", func(w *worker) { decode(w); crop(w) })}
}
