package kernels

import (
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestPoolChunks: every chunk once, worker indices in range and never two chunks of one worker at once, job after job.
func TestPoolChunks(t *testing.T) {
	for _, threads := range []int{1, 2, 3, 8} {
		p := NewPool(threads)
		for job := range 300 {
			n := job % 37
			calls := make([]int, n)
			inUse := make([]atomic.Bool, threads)
			p.Run(n, func(chunk, worker int) {
				if inUse[worker].Swap(true) {
					t.Errorf("%d threads: worker %d runs two chunks at once", threads, worker)
				}
				calls[chunk]++ // the race detector sees a chunk run twice
				if job%5 == 0 {
					runtime.Gosched()
				}
				inUse[worker].Store(false)
			})
			if slices.ContainsFunc(calls, func(c int) bool { return c != 1 }) {
				t.Fatalf("%d threads, %d chunks: calls %v", threads, n, calls)
			}
			if job%100 == 99 {
				time.Sleep(2 * spinTime) // let the workers fall asleep
			}
		}
		p.Close()
	}
}

// TestPoolUsesThreads: two chunks that wait for each other can only end on two threads.
func TestPoolUsesThreads(t *testing.T) {
	p := NewPool(2)
	defer p.Close()
	for round := range 50 {
		var meet sync.WaitGroup
		meet.Add(2)
		p.Run(2, func(int, int) {
			meet.Done()
			meet.Wait()
		})
		if round%10 == 0 {
			time.Sleep(2 * spinTime)
		}
	}
}

// TestPoolConcurrent: Runs beside and inside each other all do their own work.
func TestPoolConcurrent(t *testing.T) {
	p := NewPool(3)
	defer p.Close()
	var wait sync.WaitGroup
	for range 4 {
		wait.Go(func() {
			for range 100 {
				var sum atomic.Int64
				p.Run(10, func(i, _ int) {
					p.Run(3, func(j, _ int) { sum.Add(int64(i * j)) })
				})
				if got := sum.Load(); got != 135 {
					t.Errorf("the sum is %d, want 135", got)
				}
			}
		})
	}
	wait.Wait()
}

// TestPoolPanic: the panic of a chunk reaches the caller, all other chunks run, and the pool goes on.
func TestPoolPanic(t *testing.T) {
	p := NewPool(2)
	defer p.Close()
	for bad := range 20 {
		var ran atomic.Int64
		func() {
			defer func() {
				if v := recover(); v != "bad chunk" {
					t.Fatalf("recovered %v", v)
				}
			}()
			p.Run(20, func(chunk, _ int) {
				if chunk == bad {
					panic("bad chunk")
				}
				ran.Add(1)
			})
		}()
		if ran.Load() != 19 {
			t.Fatalf("%d chunks ran beside the one that panicked, want 19", ran.Load())
		}
	}
}

// TestPoolAllocates: a Run allocates nothing.
func TestPoolAllocates(t *testing.T) {
	p := NewPool(2)
	defer p.Close()
	var sum atomic.Int64
	f := func(chunk, _ int) { sum.Add(int64(chunk)) }
	if n := testing.AllocsPerRun(100, func() { p.Run(8, f) }); n != 0 {
		t.Errorf("a Run allocates %g times", n)
	}
}

func BenchmarkPool(b *testing.B) {
	p := NewPool(2)
	defer p.Close()
	for b.Loop() {
		p.Run(2, func(int, int) {})
	}
}
