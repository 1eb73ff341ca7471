package dino

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/godino-ml/godino/dino/augment"
	"github.com/godino-ml/godino/dino/dataset"
)

// Batch is the views of B samples in host memory, view-major: all samples' first global crop, all samples' second, then each local
// crop in turn.
//
// With LoaderOptions.Crop it is one crop of each sample, Global (B, 3, G, G), and there are no local ones.
type Batch struct {
	Epoch, Step, Pass int           // Pass counts the batches of a step, from 0 to Accum−1
	Indices           []int         // (B) numbers of the samples, as the epoch's order has them
	Labels            []int         // (B) their classes, −1 for none; of a bad image's substitute its own
	Global            []float32     // (2·B, 3, G, G)
	Local             []float32     // (L·B, 3, S, S)
	uncropped         []uncropped   // (B) instead of Global and Local, with LoaderOptions.Uncropped
	Waited            time.Duration // how long Next waited for it

	mu  sync.Mutex
	bad []BadSample
	err error
}

// LoaderOptions says how to turn a dataset into batches. Batch and Crops, or Crop, must be given.
type LoaderOptions struct {
	Batch int                  // B, samples
	Accum int                  // batches whose gradients make one step; 0 means 1
	Crops augment.MultiCrop    // what to cut out of a sample
	Crop  *augment.ResizedCrop // instead: a single crop, for training with labels
	Seed  uint64
	// Uncropped leaves making the crops to a GPU: batches have pictures and what is drawn of them. Its crops have the same bits.
	Uncropped bool
	// Workers decode and crop; 0 means 1. The batches do not depend on it.
	Workers int
	// Prefetch is how many batches are made ahead; 0 means 2.
	Prefetch int
	// KeepLast keeps an epoch's last step when it is not full; the reference drops it.
	KeepLast bool
	// MaxBad is the share of the dataset's images that may be bad before Next gives up.
	MaxBad float64
	// OnBad is told of each bad image once, from within Next.
	OnBad func(BadSample)
	// CacheBytes is how much memory may go to keeping decoded images for later epochs; 0 means 512 MiB, below 0 none.
	CacheBytes int64
}

// BadSample is an image that could not be used.
type BadSample struct {
	Index int
	Path  string
	Err   error // a *dataset.BadImageError
}

// BadDataError says that too many images are bad.
type BadDataError struct {
	Bad   []BadSample
	Of    int     // images in the dataset
	Limit float64 // share
}

func (e *BadDataError) Error() string {
	var s strings.Builder
	fmt.Fprintf(&s, "%d of %d images are bad, more than the allowed %.3g %%; the first:", len(e.Bad), e.Of, 100*e.Limit)
	for _, b := range e.Bad[:min(len(e.Bad), 3)] {
		fmt.Fprintf(&s, "\n  %v", b.Err)
	}
	s.WriteString("\nrepair or remove them, or allow more with --max_bad")
	return s.String()
}

// Loader makes the batches of all epochs in order. Which samples a batch has depends on (seed, epoch, step), what is cut out of a sample on
// (seed, epoch, sample, crop): so the bits are the same for any number of workers and for any step to start at. A bad image is replaced
// by the first good one of a sequence keyed by (seed, epoch, sample); the crops are still drawn as the bad one's.
//
// A Loader's methods are for one goroutine.
type Loader struct {
	ds       *dataset.Dataset
	opts     LoaderOptions
	images   *imageCache
	pipeline *pipeline[*Batch]
	free     chan *Batch

	bad     []BadSample // in the order of the batches
	badSeen map[int]bool
	err     error
	waited  time.Duration
	started time.Time
}

// NewLoader checks the options. Nothing is read before Start.
func NewLoader(ds *dataset.Dataset, opts LoaderOptions) (*Loader, error) {
	opts.Workers, opts.Accum = max(opts.Workers, 1), max(opts.Accum, 1)
	if opts.Prefetch <= 0 {
		opts.Prefetch = 2
	}
	if opts.CacheBytes == 0 {
		opts.CacheBytes = 512 << 20
	}
	if opts.Batch < 1 {
		return nil, fmt.Errorf("batch size %d: must be at least 1", opts.Batch)
	}
	validate := opts.Crops.Validate
	if opts.Crop != nil {
		validate = opts.Crop.Validate
	}
	if err := validate(); err != nil {
		return nil, err
	}
	global, local := opts.floats()
	perSample := global + local
	if opts.Batch > math.MaxInt32/perSample || opts.Accum > math.MaxInt32/opts.Batch {
		return nil, fmt.Errorf("%d batches of %d samples with %d floats each are too large a step", opts.Accum, opts.Batch, perSample)
	}
	l := &Loader{ds: ds, opts: opts, images: newImageCache(ds, opts.CacheBytes), badSeen: map[int]bool{}}
	if l.StepsPerEpoch() == 0 {
		return nil, fmt.Errorf("%d images in %s do not fill one step of %d: choose a smaller batch", ds.Len(), ds.Root(), l.perStep())
	}
	return l, nil
}

// floats are how many a sample has in Batch.Global and Batch.Local.
func (o *LoaderOptions) floats() (global, local int) {
	if o.Crop != nil {
		return 3 * o.Crop.Size * o.Crop.Size, 0
	}
	c := &o.Crops
	return 2 * 3 * c.GlobalSize * c.GlobalSize, c.LocalNumber * 3 * c.LocalSize * c.LocalSize
}

func (l *Loader) perStep() int { return l.opts.Batch * l.opts.Accum }

// StepsPerEpoch is the number of steps, of Accum batches each, in an epoch.
func (l *Loader) StepsPerEpoch() int {
	if l.opts.KeepLast {
		return (l.ds.Len() + l.perStep() - 1) / l.perStep()
	}
	return l.ds.Len() / l.perStep()
}

// Start begins to make batches, the first being that of (epoch, step), and goes on through the epochs until ctx ends or Close. A Loader
// starts once.
func (l *Loader) Start(ctx context.Context, epoch, step int) error {
	if l.pipeline != nil {
		return errors.New("loader: started twice")
	}
	if epoch < 0 || step < 0 || step >= l.StepsPerEpoch() {
		return fmt.Errorf("loader: cannot start at epoch %d, step %d: an epoch has %d steps", epoch, step, l.StepsPerEpoch())
	}
	l.free = make(chan *Batch, l.opts.Prefetch+2) // all that exist: made ahead, being laid out, with the consumer
	l.started = time.Now()
	order := make([]int, l.ds.Len())
	epochOrder(order, l.opts.Seed, epoch)
	at := step * l.perStep() // samples of this epoch laid out so far
	end := min(l.StepsPerEpoch()*l.perStep(), len(order))
	next := func() (*Batch, int, bool) {
		if at >= end {
			epoch, at = epoch+1, 0
			epochOrder(order, l.opts.Seed, epoch)
		}
		samples := order[at:min(at+l.opts.Batch, end)]
		b := l.layOut(epoch, at, samples)
		at += len(samples)
		return b, len(samples), true
	}
	l.pipeline = startPipeline(ctx, l.opts.Workers, l.opts.Prefetch, next, l.fill)
	return nil
}

// epochOrder fills order with the epoch's permutation of 0, 1, 2, ….
func epochOrder(order []int, seed uint64, epoch int) {
	for i := range order {
		order[i] = i
	}
	// Crop −1 is no view: the stream is the epoch's own.
	augment.CropStream(seed, epoch, 0, -1).Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
}

// layOut is a batch of those samples, the epoch's from at on, with room for their views: recycled memory if there is some.
func (l *Loader) layOut(epoch, at int, samples []int) *Batch {
	var b *Batch
	select {
	case b = <-l.free:
	default:
		b = new(Batch)
	}
	global, local := l.opts.floats()
	n := len(samples)
	b.Epoch, b.Step, b.Pass = epoch, at/l.perStep(), at%l.perStep()/l.opts.Batch
	b.Waited, b.err, b.bad = 0, nil, b.bad[:0]
	b.Indices = append(b.Indices[:0], samples...)
	b.Labels = append(b.Labels[:0], samples...) // to be filled
	if l.opts.Uncropped {
		b.uncropped = slices.Grow(b.uncropped[:0], n)[:n]
		return b
	}
	b.Global, b.Local = resized(b.Global, n*global), resized(b.Local, n*local)
	return b
}

func resized(s []float32, n int) []float32 {
	if cap(s) < n {
		return make([]float32, n)
	}
	return s[:n]
}

// fill makes all views of the sample in a slot of a batch.
func (l *Loader) fill(w *sampler, b *Batch, slot int) {
	w.found = w.found[:0]
	err := w.guard(func() error { return l.views(w, b, slot) }, l.ds, b.Indices[slot])
	if err == nil && len(w.found) == 0 {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.bad = append(b.bad, w.found...)
	if b.err == nil {
		b.err = err
	}
}

func (l *Loader) views(w *sampler, b *Batch, slot int) error {
	sample := b.Indices[slot]
	img, i, err := l.image(w, b.Epoch, sample)
	if err != nil {
		return err
	}
	b.Labels[slot] = l.ds.Label(i)
	if crop := l.opts.Crop; crop != nil {
		size, _ := l.opts.floats()
		crop.Apply(&w.scratch, b.Global[slot*size:(slot+1)*size], img, w.stream.Key(l.opts.Seed, b.Epoch, sample, 0))
		return nil
	}
	c, n := &l.opts.Crops, len(b.Indices)
	if l.opts.Uncropped {
		b.uncropped[slot].draw(w, img, c, l.opts.Seed, b.Epoch, sample)
		return nil
	}
	for v := range c.Views() {
		size, planes, at := 3*c.Size(v)*c.Size(v), b.Global, v
		if v >= 2 {
			planes, at = b.Local, v-2
		}
		at = (at*n + slot) * size
		c.View(&w.scratch, planes[at:at+size], img, v, w.stream.Key(l.opts.Seed, b.Epoch, sample, v))
	}
	return nil
}

// image is the sample's picture, or its substitute's, and its number.
func (l *Loader) image(w *sampler, epoch, sample int) (*dataset.RGB, int, error) {
	const tries = 100 // with half of the images bad, 2⁻¹⁰⁰ of the samples find no substitute
	var substitutes *rand.Rand
	i := sample
	for range tries {
		img, err := l.images.load(i, &w.image)
		if err == nil {
			return img, i, nil
		}
		w.found = append(w.found, BadSample{Index: i, Path: l.ds.FullPath(i), Err: err})
		if substitutes == nil {
			substitutes = augment.CropStream(l.opts.Seed, epoch, sample, -2)
		}
		i = substitutes.IntN(l.ds.Len())
	}
	return nil, 0, &BadDataError{Bad: slices.Clone(w.found), Of: l.ds.Len(), Limit: l.opts.MaxBad}
}

// Next waits for the next batch. Its error is that of a context that ended, a [*BadDataError] when too many images turned out bad, or
// what went wrong in a worker; after an error there are no more batches.
func (l *Loader) Next(ctx context.Context) (*Batch, error) {
	if l.err != nil {
		return nil, l.err
	}
	if l.pipeline == nil {
		return nil, errors.New("loader: Next before Start")
	}
	begin := time.Now()
	b, err := l.pipeline.take(ctx)
	if err != nil {
		return nil, l.fail(err)
	}
	b.Waited = time.Since(begin)
	l.waited += b.Waited
	l.note(b.bad)
	if float64(len(l.bad)) > l.opts.MaxBad*float64(l.ds.Len()) {
		return nil, l.fail(&BadDataError{Bad: slices.Clone(l.bad), Of: l.ds.Len(), Limit: l.opts.MaxBad})
	}
	if b.err != nil {
		return nil, l.fail(b.err)
	}
	return b, nil
}

func (l *Loader) fail(err error) error {
	l.err = err
	l.pipeline.stop()
	return err
}

// note counts and reports the bad samples not seen before. Workers add to a batch's list in any order, so it is sorted first.
func (l *Loader) note(found []BadSample) {
	slices.SortFunc(found, func(a, b BadSample) int { return a.Index - b.Index })
	for _, s := range found {
		if l.badSeen[s.Index] {
			continue
		}
		l.badSeen[s.Index] = true
		l.bad = append(l.bad, s)
		if l.opts.OnBad != nil {
			l.opts.OnBad(s)
		}
	}
}

// Recycle gives a batch's memory back. Its slices must not be used afterwards.
func (l *Loader) Recycle(b *Batch) {
	select {
	case l.free <- b:
	default:
	}
}

// Bad lists the bad images met so far.
func (l *Loader) Bad() []BadSample { return slices.Clone(l.bad) }

// WaitShare is the share of the time since Start that Next spent waiting.
func (l *Loader) WaitShare() float64 {
	if l.started.IsZero() {
		return 0
	}
	return l.waited.Seconds() / max(time.Since(l.started).Seconds(), 1e-9)
}

// Close stops all goroutines and returns when they have ended.
func (l *Loader) Close() {
	if l.pipeline != nil {
		l.pipeline.stop()
		l.pipeline.running.Wait()
	}
}
