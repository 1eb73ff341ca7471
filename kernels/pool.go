package kernels

import (
	"runtime"
	"sync/atomic"
	"time"
)

// Pool runs the chunks of an operation on several cores. It is the only place of the engine that starts goroutines.
//
// Chunks are claimed by an atomic counter, so which worker runs which chunk differs from run to run: an operation must give the same bits
// whatever that order. Partial results belong to chunks, never to workers; a worker's index is for scratch memory alone, and that memory to
// one call of Run: a Run inside a Run, or beside one, goes on alone as worker 0, so two calls may have a worker of the same index at the same
// time.
//
// Operations of a network follow each other closely, and waking a thread costs as much as a small one. So a worker that has nothing to do
// looks for the next job for a while before it sleeps, unless there are more threads than cores.
type Pool struct {
	threads int
	spin    bool
	workers []poolWorker // of index 1 and above
	busy    atomic.Bool  // a Run inside a Run, or beside one, goes on alone
	closed  atomic.Bool

	// The job. Run writes n and f before it stores left, a worker reads them after it has claimed a chunk: no Run can end, and no other begin,
	// while a claimed chunk has not been finished.
	n    int
	f    func(chunk, worker int)
	fail atomic.Pointer[panicValue]
	done chan struct{} // wakes Run

	_       [128]byte    // the counters, which all threads write, have cache lines of their own
	left    atomic.Int64 // chunks not claimed
	_       [120]byte
	pending atomic.Int64 // chunks not finished
	waiting atomic.Bool  // Run sleeps until pending is 0
	_       [112]byte
}

// poolWorker is how Run wakes a worker.
type poolWorker struct {
	asleep atomic.Bool
	wake   chan struct{}
}

type panicValue struct{ v any }

// spinTime is how long a thread without work looks for some before it sleeps.
const spinTime = 80 * time.Microsecond

// NewPool makes a pool of that many threads, the caller of Run included; 0 means GOMAXPROCS.
func NewPool(threads int) *Pool {
	procs := runtime.GOMAXPROCS(0)
	if threads <= 0 {
		threads = procs
	}
	p := &Pool{
		threads: threads,
		spin:    procs > 1 && procs <= runtime.NumCPU() && threads <= procs,
		workers: make([]poolWorker, threads-1),
		done:    make(chan struct{}, 1),
	}
	for i := range p.workers {
		p.workers[i].wake = make(chan struct{}, 1)
		go p.work(&p.workers[i], i+1)
	}
	return p
}

// Threads is how many chunks may run at once: worker indices are below it.
func (p *Pool) Threads() int { return p.threads }

// Close ends the pool's workers. No Run may be under way or follow.
func (p *Pool) Close() {
	p.closed.Store(true)
	for i := range p.workers {
		p.workers[i].rouse()
	}
}

// Run calls f(chunk, worker) for every chunk in [0, n) and returns when all have returned. A panic in f is passed on to the caller after the
// other chunks.
func (p *Pool) Run(n int, f func(chunk, worker int)) {
	if n <= 1 || p.threads == 1 || !p.busy.CompareAndSwap(false, true) {
		for i := range n {
			f(i, 0)
		}
		return
	}
	p.n, p.f = n, f
	p.fail.Store(nil)
	p.pending.Store(int64(n))
	p.left.Store(int64(n))
	for i := range min(n, p.threads) - 1 {
		p.workers[i].rouse()
	}
	p.chunks(0)
	p.wait()
	p.f = nil
	fail := p.fail.Load()
	p.busy.Store(false)
	if fail != nil {
		panic(fail.v)
	}
}

// wait returns when no chunk is pending.
func (p *Pool) wait() {
	for !p.look(func() bool { return p.pending.Load() == 0 }) {
		p.waiting.Store(true)
		if p.pending.Load() == 0 && p.waiting.CompareAndSwap(true, false) {
			return // nobody has seen waiting, or will
		}
		// Who finished the last chunk of an earlier job may have seen waiting only now: look again.
		<-p.done
	}
}

// look calls ready until it is true or it is time to sleep.
func (p *Pool) look(ready func() bool) bool {
	if !p.spin {
		return ready()
	}
	for start := time.Now(); ; {
		for range 200 {
			if ready() {
				return true
			}
		}
		if time.Since(start) > spinTime {
			return false
		}
	}
}

func (p *Pool) work(w *poolWorker, index int) {
	ready := func() bool { return p.left.Load() > 0 || p.closed.Load() }
	for !p.closed.Load() {
		if p.look(ready) {
			p.chunks(index)
			continue
		}
		w.asleep.Store(true)
		if ready() && w.asleep.CompareAndSwap(true, false) {
			continue // nobody has seen asleep, or will
		}
		<-w.wake
	}
}

// rouse wakes the worker if it sleeps.
func (w *poolWorker) rouse() {
	if w.asleep.Load() && w.asleep.CompareAndSwap(true, false) {
		w.wake <- struct{}{}
	}
}

// chunks runs chunks until there are no more.
func (p *Pool) chunks(worker int) {
	for !p.chunksUntilPanic(worker) {
	}
}

// chunksUntilPanic runs chunks and says whether there are no more: not, when one has panicked.
func (p *Pool) chunksUntilPanic(worker int) (none bool) {
	defer func() {
		if !none {
			v := recover()
			p.fail.CompareAndSwap(nil, &panicValue{v})
			p.finish()
		}
	}()
	for {
		left := p.left.Load()
		if left == 0 {
			return true
		}
		if p.left.CompareAndSwap(left, left-1) {
			p.f(p.n-int(left), worker)
			p.finish()
		}
	}
}

// finish counts a chunk as done and wakes Run if it waits for the last.
func (p *Pool) finish() {
	if p.pending.Add(-1) == 0 && p.waiting.CompareAndSwap(true, false) {
		p.done <- struct{}{}
	}
}
