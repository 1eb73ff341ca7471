package dino

import (
	"sync/atomic"

	"github.com/godino-ml/godino/dino/dataset"
)

// imageCache keeps decoded images, and what is wrong with bad ones, as long as memory allows. Each is decoded when first asked for: a
// small dataset is decoded once, of a large one a part is kept.
type imageCache struct {
	ds    *dataset.Dataset
	left  atomic.Int64 // bytes
	full  atomic.Bool  // an image did not fit: no more are kept
	known []atomic.Pointer[loaded]
}

type loaded struct {
	img *dataset.RGB
	err error
}

func newImageCache(ds *dataset.Dataset, bytes int64) *imageCache {
	c := &imageCache{ds: ds, known: make([]atomic.Pointer[loaded], ds.Len())}
	c.left.Store(max(bytes, 0))
	return c
}

// load gives image i: one that is kept, or decoded into the memory that into has.
func (c *imageCache) load(i int, into *dataset.RGB) (*dataset.RGB, error) {
	if k := c.known[i].Load(); k != nil {
		return k.img, k.err
	}
	full := c.full.Load()
	if !full {
		into = new(dataset.RGB) // to be kept
	}
	if err := c.ds.LoadInto(into, i); err != nil {
		c.known[i].Store(&loaded{err: err})
		return nil, err
	}
	if full {
		return into, nil
	}
	const overhead = 128 // of the objects that hold it
	n := int64(cap(into.Pix)) + overhead
	if c.left.Add(-n) < 0 {
		c.left.Add(n)
		c.full.Store(true)
	} else if !c.known[i].CompareAndSwap(nil, &loaded{img: into}) {
		c.left.Add(n) // another worker was faster
	}
	return into, nil
}
