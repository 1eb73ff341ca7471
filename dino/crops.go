package dino

import (
	"fmt"
	"slices"

	"github.com/godino-ml/godino/autograd"
	"github.com/godino-ml/godino/tensor"
)

// crops are those of one batch on the device.
type crops struct {
	views []*autograd.Var // by size: the large ones (2B, 3, G, G), the small ones (L·B, 3, S, S)
	slot  int             // of the feeds: on a GPU, crops of one slot and size are always at the same place
	*feeds
}

// feeds bring the crops of batches of one kind to the device.
type feeds struct {
	global, local *tensor.Feed // local is nil without small crops
	pictures      *pictureFeed // instead, of uncropped batches
	sent          []*Batch     // and not taken
}

// kindOfBatch tells batches that need feeds of their own.
type kindOfBatch struct {
	images    int
	uncropped bool
}

// pictureFeed brings pictures to a GPU, which makes crops of them. It makes those of a step when the step starts, after all work on those of the last.
type pictureFeed struct {
	feed      *tensor.CropFeed
	mean, std [3]float32
	slots     [][]*tensor.Tensor // a step's crops: of each batch by size
	taken     int
}

// Prefetch sends batches to the device ahead of the step that will be given them, which has to be the next one that is started: to a GPU while it
// works.
func (t *Trainer) Prefetch(batches ...*Batch) {
	t.check(batches)
	for _, b := range batches {
		t.feed(b).send(b)
	}
}

// take is the crops of the next step's batches, sent now if Prefetch has not sent them.
func (t *Trainer) take(batches []*Batch) []crops {
	t.check(batches)
	list := make([]crops, len(batches))
	for i, b := range batches {
		f := t.feed(b)
		if len(f.sent) == 0 {
			f.send(b)
		}
		if f.sent[0] != b {
			panic("dino: a step on other batches than Prefetch was given")
		}
		f.sent = slices.Delete(f.sent, 0, 1)
		list[i] = f.take()
	}
	return list
}

// take is the crops of the batch that was sent first of those not taken.
func (f *feeds) take() crops {
	c := crops{feeds: f}
	if p := f.pictures; p != nil {
		c.slot = p.taken % len(p.slots)
		p.taken++
		p.feed.Take(p.mean, p.std, p.slots[c.slot]...)
		for _, x := range p.slots[c.slot] {
			c.views = append(c.views, autograd.NewConst(x))
		}
		return c
	}
	c.slot = f.global.Slot()
	c.views = []*autograd.Var{autograd.NewConst(f.global.Take())}
	if f.local != nil {
		c.views = append(c.views, autograd.NewConst(f.local.Take()))
	}
	return c
}

// feed is the feeds of batches like b, made once.
func (t *Trainer) feed(b *Batch) *feeds {
	images := t.imagesOf(b)
	kind := kindOfBatch{images, b.uncropped != nil}
	if f := t.feeds[kind]; f != nil {
		return f
	}
	c := &t.config
	g, s := c.GlobalCropsSize, c.LocalCropsSize
	slots := 2 * c.Accum // those of the step under way, those of the next
	f := &feeds{}
	if kind.uncropped {
		m := c.Crops()
		f.pictures = &pictureFeed{feed: tensor.NewCropFeed(t.dev, slots), mean: m.Mean, std: m.Std}
		memory := tensor.NewArena(t.dev) // whose tensors have the type of activations
		for range c.Accum {
			crops := []*tensor.Tensor{memory.New(globalViews*images, 3, g, g)}
			if c.LocalCropsNumber > 0 {
				crops = append(crops, memory.New(c.LocalCropsNumber*images, 3, s, s))
			}
			f.pictures.slots = append(f.pictures.slots, crops)
		}
	} else {
		f.global = tensor.NewFeed(t.dev, slots, globalViews*images, 3, g, g)
		if c.LocalCropsNumber > 0 {
			f.local = tensor.NewFeed(t.dev, slots, c.LocalCropsNumber*images, 3, s, s)
		}
	}
	t.feeds[kind] = f
	return f
}

func (f *feeds) send(b *Batch) {
	f.sent = append(f.sent, b)
	if f.pictures != nil {
		b.sendUncropped(f.pictures.feed)
		return
	}
	f.global.Send(b.Global)
	if f.local != nil {
		f.local.Send(b.Local)
	}
}

// done says that all work that reads crops taken so far has been started.
func (f *feeds) done() {
	if f.pictures != nil {
		return // the crops have been made; those of the next step wait for the work on them
	}
	f.global.Done()
	if f.local != nil {
		f.local.Done()
	}
}

// check panics if the batches are not what the configuration asks for.
func (t *Trainer) check(batches []*Batch) {
	c := &t.config
	if len(batches) != c.Accum {
		panic(fmt.Sprintf("dino: Step on %d batches with accum %d", len(batches), c.Accum))
	}
	large, small := 3*c.GlobalCropsSize*c.GlobalCropsSize, 3*c.LocalCropsSize*c.LocalCropsSize
	for _, b := range batches {
		images := t.imagesOf(b)
		if b.uncropped != nil && images == t.imagesOf(batches[0]) {
			continue // the loader has made them by the same configuration
		}
		if images < 1 || images != t.imagesOf(batches[0]) || len(b.Global) != globalViews*images*large || len(b.Local) != c.LocalCropsNumber*images*small {
			panic(&tensor.ShapeError{Op: "Step", Shapes: [][]int{{len(b.Global)}, {len(b.Local)}},
				Want: fmt.Sprintf("global 2·B·%d, local %d·B·%d elements, the same B in every batch", large, c.LocalCropsNumber, small)})
		}
	}
}

// imagesOf is B.
func (t *Trainer) imagesOf(b *Batch) int {
	if b.uncropped != nil {
		return len(b.uncropped)
	}
	return len(b.Global) / (globalViews * 3 * t.config.GlobalCropsSize * t.config.GlobalCropsSize)
}
