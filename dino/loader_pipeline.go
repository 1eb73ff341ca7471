package dino

import (
	"context"
	"fmt"
	"io"
	"runtime/debug"
	"sync"
	"sync/atomic"

	"github.com/godino-ml/godino/dino/augment"
	"github.com/godino-ml/godino/dino/dataset"
)

// A pipeline fills batches in parallel and delivers them in order. One goroutine lays out batches and hands single slots to the workers;
// batches leave in the order they were laid out, each once its last slot is filled. The queue's capacity bounds what is made ahead.
type pipeline[T any] struct {
	queue   chan *job[T]
	tasks   chan task[T]
	done    <-chan struct{}
	ctx     context.Context
	stop    context.CancelFunc
	running sync.WaitGroup
}

type job[T any] struct {
	batch   T
	pending atomic.Int64
	ready   chan struct{}
}

type task[T any] struct {
	job  *job[T]
	slot int
}

// sampler is what a worker keeps from sample to sample.
type sampler struct {
	image   dataset.RGB // what is decoded and not kept
	scratch augment.Scratch
	stream  augment.Stream
	found   []BadSample
}

// startPipeline runs until next says false, ctx ends or stop. next gives a batch and its number of slots, at least one; fill must not panic.
func startPipeline[T any](ctx context.Context, workers, ahead int, next func() (T, int, bool), fill func(w *sampler, batch T, slot int)) *pipeline[T] {
	ctx, stop := context.WithCancel(ctx)
	p := &pipeline[T]{ctx: ctx, done: ctx.Done(), stop: stop,
		queue: make(chan *job[T], ahead), tasks: make(chan task[T], workers)}
	p.running.Add(1 + workers)
	go p.layOut(next)
	for range workers {
		go p.work(fill)
	}
	return p
}

func (p *pipeline[T]) layOut(next func() (T, int, bool)) {
	defer p.running.Done()
	defer close(p.queue)
	defer close(p.tasks)
	for {
		batch, slots, ok := next()
		if !ok {
			return
		}
		j := &job[T]{batch: batch, ready: make(chan struct{})}
		j.pending.Store(int64(slots))
		select {
		case p.queue <- j: // waits while enough is made ahead
		case <-p.done:
			return
		}
		for slot := range slots {
			select {
			case p.tasks <- task[T]{j, slot}:
			case <-p.done:
				return
			}
		}
	}
}

func (p *pipeline[T]) work(fill func(w *sampler, batch T, slot int)) {
	defer p.running.Done()
	var w sampler
	for t := range p.tasks {
		if p.ctx.Err() != nil {
			return
		}
		fill(&w, t.job.batch, t.slot)
		if t.job.pending.Add(-1) == 0 {
			close(t.job.ready)
		}
	}
}

// take waits for the next batch. Its error is that of either context, or io.EOF after the last batch.
func (p *pipeline[T]) take(ctx context.Context) (batch T, err error) {
	ended := func() (T, error) {
		if ctx.Err() != nil {
			return batch, ctx.Err()
		}
		if p.ctx.Err() != nil {
			return batch, p.ctx.Err()
		}
		return batch, io.EOF
	}
	select {
	case j, ok := <-p.queue:
		if !ok {
			return ended()
		}
		select {
		case <-j.ready:
			return j.batch, nil
		case <-ctx.Done():
		case <-p.done:
		}
	case <-ctx.Done():
	case <-p.done:
	}
	return ended()
}

// guard turns a panic of f, which works on a sample, into an error.
func (w *sampler) guard(f func() error, ds *dataset.Dataset, sample int) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("loading %s: panic: %v\n%s", ds.FullPath(sample), p, debug.Stack())
		}
	}()
	return f()
}
