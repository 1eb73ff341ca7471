package dino

import (
	"context"
	"errors"
	"io"

	"github.com/godino-ml/godino/dino/augment"
	"github.com/godino-ml/godino/dino/dataset"
)

// EvalBatch is some images of a dataset after the evaluation transform, in the dataset's order; bad images are left out.
type EvalBatch struct {
	Indices []int     // (n) numbers of the images
	Pixels  []float32 // (n, 3, S, S), normalised; valid until the function that got it returns

	err []error // by slot, until delivered
}

// EvalOptions says how to run through a dataset in order.
type EvalOptions struct {
	Batch   int     // images given at a time, at most; 0 means 64
	Workers int     // 0 means 1
	MaxBad  float64 // share of bad images beyond which to stop
	OnBad   func(BadSample)
}

// EvalBatches gives f all images of ds in order, transformed by e in parallel. It stops at the first error: f's, ctx's, or a
// [*BadDataError] when more than a share of MaxBad are bad.
func EvalBatches(ctx context.Context, ds *dataset.Dataset, e augment.Eval, opts EvalOptions, f func(EvalBatch) error) error {
	if err := e.Validate(); err != nil {
		return err
	}
	if opts.Batch <= 0 {
		opts.Batch = 64
	}
	size := 3 * e.Size() * e.Size()
	const ahead = 2
	free := make(chan *EvalBatch, ahead+2)
	at := 0
	next := func() (*EvalBatch, int, bool) {
		n := min(opts.Batch, ds.Len()-at)
		if n == 0 {
			return nil, 0, false
		}
		var b *EvalBatch
		select {
		case b = <-free:
		default:
			b = &EvalBatch{Indices: make([]int, opts.Batch), Pixels: make([]float32, opts.Batch*size), err: make([]error, opts.Batch)}
		}
		b.Indices, b.Pixels, b.err = b.Indices[:n], b.Pixels[:n*size], b.err[:n]
		for i := range n {
			b.Indices[i], b.err[i] = at+i, nil
		}
		at += n
		return b, n, true
	}
	fill := func(w *sampler, b *EvalBatch, slot int) {
		b.err[slot] = w.guard(func() error {
			err := ds.LoadInto(&w.image, b.Indices[slot])
			if err == nil {
				e.Apply(&w.scratch, b.Pixels[slot*size:(slot+1)*size], &w.image)
			}
			return err
		}, ds, b.Indices[slot])
	}
	p := startPipeline(ctx, max(opts.Workers, 1), ahead, next, fill)
	defer p.running.Wait()
	defer p.stop()
	var bad []BadSample
	for {
		b, err := p.take(ctx)
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		n := 0
		for slot, i := range b.Indices {
			var broken *dataset.BadImageError
			switch err := b.err[slot]; {
			case err == nil:
				if n < slot {
					copy(b.Pixels[n*size:(n+1)*size], b.Pixels[slot*size:])
					b.Indices[n] = i
				}
				n++
			case errors.As(err, &broken):
				bad = append(bad, BadSample{Index: i, Path: ds.FullPath(i), Err: err})
				if opts.OnBad != nil {
					opts.OnBad(bad[len(bad)-1])
				}
			default:
				return err
			}
		}
		if float64(len(bad)) > opts.MaxBad*float64(ds.Len()) {
			return &BadDataError{Bad: bad, Of: ds.Len(), Limit: opts.MaxBad}
		}
		if n > 0 {
			if err := f(EvalBatch{Indices: b.Indices[:n], Pixels: b.Pixels[:n*size]}); err != nil {
				return err
			}
		}
		free <- b
	}
}

// Pixels are the images of ds as vectors (N, 3·S·S), transformed by e, and which images they are: the raw-pixel baseline that learned
// features have to beat. [augment.Square] at 32 pixels suits photos.
func Pixels(ctx context.Context, ds *dataset.Dataset, e augment.Eval, opts EvalOptions) (pixels []float32, indices []int, err error) {
	pixels = make([]float32, 0, ds.Len()*3*e.Size()*e.Size())
	err = EvalBatches(ctx, ds, e, opts, func(b EvalBatch) error {
		pixels = append(pixels, b.Pixels...)
		indices = append(indices, b.Indices...)
		return nil
	})
	return pixels, indices, err
}
