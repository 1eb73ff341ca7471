package tensor

import (
	"math/bits"
	"sync"
)

// scratchPool keeps the scratch memory of a device's operations: packed panels, partial sums. It is lent for the time of one operation and
// kept for the next, so that operations allocate nothing after their first round.
type scratchPool struct {
	mu   sync.Mutex
	free [bits.UintSize][][]float32 // by the binary logarithm of the capacity
}

// minScratchLog is the smallest block, 64 KiB: Go gives blocks above 32 KiB whole pages, so that scratch memory starts at a page.
const minScratchLog = 14

// scratch lends n floats of undefined content, page-aligned, until release. It may be called from several goroutines.
func (d *Device) scratch(n int) []float32 {
	class := max(minScratchLog, bits.Len(uint(max(n, 1)-1)))
	p := &d.scratchMem
	p.mu.Lock()
	if list := p.free[class]; len(list) > 0 {
		s := list[len(list)-1]
		p.free[class] = list[:len(list)-1]
		p.mu.Unlock()
		return s[:n]
	}
	p.mu.Unlock()
	return make([]float32, 1<<class)[:n]
}

// release takes back what scratch has lent: the slice as it was, or one with another length and the same start and capacity.
func (d *Device) release(s []float32) {
	class := bits.Len(uint(cap(s))) - 1
	p := &d.scratchMem
	p.mu.Lock()
	p.free[class] = append(p.free[class], s)
	p.mu.Unlock()
}
