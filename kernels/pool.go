package kernels

import (
	"runtime"
	"sync"
	"sync/atomic"
)

// Pool runs the chunks of an operation on several cores. It is the only place of the engine that starts goroutines.
//
// Chunks are claimed by an atomic counter, so which worker runs which chunk differs from run to run: an operation must give the same bits
// whatever that order. Partial results belong to chunks, never to workers; a worker's index is for scratch memory alone.
type Pool struct {
	threads int
	jobs    chan *job
	busy    atomic.Bool // a Run inside a Run, or beside one, goes on alone
}

type job struct {
	n    int64
	next atomic.Int64
	f    func(chunk, worker int)
	wait sync.WaitGroup
	fail atomic.Pointer[panicValue]
}

type panicValue struct{ v any }

// NewPool makes a pool of that many threads, the caller of Run included; 0 means GOMAXPROCS.
func NewPool(threads int) *Pool {
	if threads <= 0 {
		threads = runtime.GOMAXPROCS(0)
	}
	p := &Pool{threads: threads, jobs: make(chan *job, threads)}
	for w := 1; w < threads; w++ {
		go p.work(w)
	}
	return p
}

// Threads is how many chunks may run at once: worker indices are below it.
func (p *Pool) Threads() int { return p.threads }

// Close ends the pool's workers. No Run may be under way or follow.
func (p *Pool) Close() { close(p.jobs) }

// Run calls f(chunk, worker) for every chunk in [0, n) and returns when all have returned. A panic in f is passed on to the caller.
func (p *Pool) Run(n int, f func(chunk, worker int)) {
	if n <= 1 || p.threads == 1 || !p.busy.CompareAndSwap(false, true) {
		for i := range n {
			f(i, 0)
		}
		return
	}
	defer p.busy.Store(false)
	j := &job{n: int64(n), f: f}
	helpers := min(p.threads, n) - 1
	j.wait.Add(helpers)
	for range helpers {
		p.jobs <- j
	}
	j.run(0)
	j.wait.Wait()
	if e := j.fail.Load(); e != nil {
		panic(e.v)
	}
}

func (p *Pool) work(worker int) {
	for j := range p.jobs {
		j.run(worker)
		j.wait.Done()
	}
}

func (j *job) run(worker int) {
	defer func() {
		if v := recover(); v != nil {
			j.fail.CompareAndSwap(nil, &panicValue{v})
		}
	}()
	for {
		i := j.next.Add(1) - 1
		if i >= j.n {
			return
		}
		j.f(int(i), worker)
	}
}
