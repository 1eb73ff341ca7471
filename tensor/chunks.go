package tensor

import (
	"sort"
	"sync"
)

// chunkElements is how many elements of one array a chunk of an elementwise or row-wise operation holds: 64 KiB. It stays in the second-level
// cache with the few other arrays of the operation, takes some 5–50 µs and is far below what a stop of the garbage collector minds to wait for.
const chunkElements = 16384

// chunksOf is how many chunks n elements are.
func chunksOf(n int) int { return (n + chunkElements - 1) / chunkElements }

// runElements calls f for the chunks [from, to) of n elements on the device's threads.
func (d *Device) runElements(n int, f func(from, to int)) { d.runRanges(n, chunkElements, f) }

// runRows calls f for chunks [from, to) of rows of cols elements on the device's threads.
func (d *Device) runRows(rows, cols int, f func(from, to int)) {
	d.runRanges(rows, rowsPerChunk(cols), f)
}

// runRanges calls f for ranges [from, to) of n, size at a time, on the device's threads.
func (d *Device) runRanges(n, size int, f func(from, to int)) {
	r := d.ranges.take()
	if r.run == nil {
		r.run = func(chunk, _ int) { r.f(chunk*r.size, min((chunk+1)*r.size, r.n)) }
	}
	r.n, r.size, r.f = n, size, f
	d.Run((n+size-1)/size, r.run)
	r.f = nil // keeps no one's memory alive
	d.ranges.give(r)
}

// rangeRun is one runRanges under way.
type rangeRun struct {
	n, size int
	f       func(from, to int)
	run     func(chunk, worker int)
}

// runLists calls f(chunk, i, from, to) for the chunks [from, to) of the elements of n tensors, size(i) each, on the device's threads. chunk counts
// through all of them.
func (d *Device) runLists(n int, size func(i int) int, f func(chunk, i, from, to int)) {
	r := d.lists.take()
	if r.run == nil {
		r.run = func(chunk, _ int) {
			i := sort.SearchInts(r.ends, chunk+1)
			c := chunk - r.ends[i] + chunksOf(r.size(i))
			r.f(chunk, i, c*chunkElements, min((c+1)*chunkElements, r.size(i)))
		}
	}
	r.size, r.f, r.ends = size, f, r.ends[:0]
	end := 0
	for i := range n {
		end += chunksOf(size(i))
		r.ends = append(r.ends, end)
	}
	d.Run(end, r.run)
	r.size, r.f = nil, nil
	d.lists.give(r)
}

// listRun is one runLists under way.
type listRun struct {
	ends []int // of the chunks of each tensor
	size func(i int) int
	f    func(chunk, i, from, to int)
	run  func(chunk, worker int)
}

// idle keeps values that were used for the next use: as many as were ever in use at once.
type idle[T any] struct {
	mu   sync.Mutex
	list []*T
}

func (l *idle[T]) take() *T {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := len(l.list)
	if n == 0 {
		return new(T)
	}
	x := l.list[n-1]
	l.list = l.list[:n-1]
	return x
}

func (l *idle[T]) give(x *T) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.list = append(l.list, x)
}

// rowsPerChunk is how many rows of that many columns a chunk holds.
func rowsPerChunk(cols int) int { return max(1, chunkElements/max(1, cols)) }

// clearUnless clears x unless add: what a backward does with the chunk of a gradient that it is to overwrite, while it is about to touch it
// anyway.
func clearUnless(add bool, x []float32) {
	if !add {
		clear(x)
	}
}
