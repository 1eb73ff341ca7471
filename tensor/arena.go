package tensor

import "slices"

// Arena lends the memory of one pass. New takes a block, Free gives one back early, Reset gives all back at once. Blocks are kept by size
// and lent again, so that a pass of the same shapes as the last allocates nothing. An Arena belongs to one goroutine.
type Arena struct {
	dev    *Device
	free   map[int][]*Tensor // by length of data
	lent   []*Tensor
	bytes  int64
	inUse  int64
	maxUse int64
}

// NewArena makes an empty arena.
func NewArena(dev *Device) *Arena { return &Arena{dev: dev, free: map[int][]*Tensor{}} }

// Device is the device of the arena's memory.
func (a *Arena) Device() *Device { return a.dev }

// New lends a tensor whose elements are undefined: the operation that takes it must write all of them.
func (a *Arena) New(shape ...int) *Tensor {
	n := product(shape)
	var t *Tensor
	if list := a.free[n]; len(list) > 0 {
		t = list[len(list)-1]
		a.free[n] = list[:len(list)-1]
		t.shape = append(t.shape[:0], shape...)
	} else {
		t = New(a.dev, shape...)
		a.bytes += int64(n) * 4
	}
	a.lent = append(a.lent, t)
	a.inUse += int64(n) * 4
	a.maxUse = max(a.maxUse, a.inUse)
	return t
}

// Zeros lends a tensor of zeros.
func (a *Arena) Zeros(shape ...int) *Tensor {
	t := a.New(shape...)
	clear(t.data)
	return t
}

// Free gives a tensor back before Reset. Nothing may use it or a view of it afterwards; a tensor that the arena has not lent is a mistake.
func (a *Arena) Free(t *Tensor) {
	// The last lent are the first freed: search from the end.
	for i := len(a.lent) - 1; i >= 0; i-- {
		if a.lent[i] == t {
			a.lent = slices.Delete(a.lent, i, i+1)
			a.giveBack(t)
			return
		}
	}
	panic("tensor: Arena.Free of a tensor that this arena has not lent")
}

// Reset takes all memory back: tensors lent by the arena must not be used afterwards.
func (a *Arena) Reset() {
	// In reverse, so that the next pass of the same shapes gets the same blocks in the same order.
	for i := len(a.lent) - 1; i >= 0; i-- {
		a.giveBack(a.lent[i])
	}
	a.lent = a.lent[:0]
}

func (a *Arena) giveBack(t *Tensor) {
	a.free[len(t.data)] = append(a.free[len(t.data)], t)
	a.inUse -= int64(len(t.data)) * 4
}

// Bytes is the memory that the arena holds, lent or not.
func (a *Arena) Bytes() int64 { return a.bytes }

// MaxBytes is the most that was lent at once.
func (a *Arena) MaxBytes() int64 { return a.maxUse }
