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

// feeds bring the crops of batches of one size to the device.
type feeds struct {
	global, local *tensor.Feed // local is nil without small crops
	sent          []*Batch     // and not taken
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
		list[i] = crops{feeds: f, slot: f.global.Slot(), views: []*autograd.Var{autograd.NewConst(f.global.Take())}}
		if f.local != nil {
			list[i].views = append(list[i].views, autograd.NewConst(f.local.Take()))
		}
	}
	return list
}

// feed is the feeds of batches like b, made once.
func (t *Trainer) feed(b *Batch) *feeds {
	images := t.imagesOf(b)
	if f := t.feeds[images]; f != nil {
		return f
	}
	c := &t.config
	g, s := c.GlobalCropsSize, c.LocalCropsSize
	slots := 2 * c.Accum // those of the step under way, those of the next
	f := &feeds{global: tensor.NewFeed(t.dev, slots, globalViews*images, 3, g, g)}
	if c.LocalCropsNumber > 0 {
		f.local = tensor.NewFeed(t.dev, slots, c.LocalCropsNumber*images, 3, s, s)
	}
	t.feeds[images] = f
	return f
}

func (f *feeds) send(b *Batch) {
	f.sent = append(f.sent, b)
	f.global.Send(b.Global)
	if f.local != nil {
		f.local.Send(b.Local)
	}
}

// done says that all work that reads crops taken so far has been started.
func (f *feeds) done() {
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
		if images < 1 || images != t.imagesOf(batches[0]) || len(b.Global) != globalViews*images*large || len(b.Local) != c.LocalCropsNumber*images*small {
			panic(&tensor.ShapeError{Op: "Step", Shapes: [][]int{{len(b.Global)}, {len(b.Local)}},
				Want: fmt.Sprintf("global 2·B·%d, local %d·B·%d elements, the same B in every batch", large, c.LocalCropsNumber, small)})
		}
	}
}

// imagesOf is B.
func (t *Trainer) imagesOf(b *Batch) int {
	return len(b.Global) / (globalViews * 3 * t.config.GlobalCropsSize * t.config.GlobalCropsSize)
}
