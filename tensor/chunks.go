package tensor

import "sync"

// chunkElements is how many elements of one array a chunk of an elementwise or row-wise operation holds: 64 KiB. It stays in the second-level
// cache with the few other arrays of the operation, takes some 5–50 µs and is far below what a stop of the garbage collector minds to wait for.
const chunkElements = 16384

// runElements calls f for the chunks [from, to) of n elements on the device's threads.
func (d *Device) runElements(n int, f func(from, to int)) { d.runRanges(n, chunkElements, f) }

// runRows calls f for chunks [from, to) of rows of cols elements on the device's threads.
func (d *Device) runRows(rows, cols int, f func(from, to int)) {
	d.runRanges(rows, rowsPerChunk(cols), f)
}

// runRanges calls f for ranges [from, to) of n, size at a time, on the device's threads.
func (d *Device) runRanges(n, size int, f func(from, to int)) {
	r := d.ranges.take()
	r.n, r.size, r.f = n, size, f
	d.Run((n+size-1)/size, r.chunk)
	r.f = nil // keeps no one's memory alive
	d.ranges.give(r)
}

// rangeRun is one runRanges under way.
type rangeRun struct {
	n, size int
	f       func(from, to int)
	chunk   func(chunk, worker int) // calls f
}

// rangeRuns are a device's idle rangeRuns, kept so that operations do not allocate them: as many as were ever under way at once.
type rangeRuns struct {
	mu   sync.Mutex
	idle []*rangeRun
}

func (l *rangeRuns) take() *rangeRun {
	l.mu.Lock()
	defer l.mu.Unlock()
	if n := len(l.idle); n > 0 {
		r := l.idle[n-1]
		l.idle = l.idle[:n-1]
		return r
	}
	r := new(rangeRun)
	r.chunk = func(chunk, _ int) { r.f(chunk*r.size, min((chunk+1)*r.size, r.n)) }
	return r
}

func (l *rangeRuns) give(r *rangeRun) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.idle = append(l.idle, r)
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
