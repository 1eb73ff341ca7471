package tensor

import (
	"math"

	"github.com/godino-ml/godino/kernels/cuda"
)

// Arena lends the memory of one pass. New takes a block, Free gives one back early, Reset gives all back at once. Blocks are kept by size
// and lent again, so that a pass of the same shapes as the last allocates nothing. An Arena belongs to one goroutine.
type Arena struct {
	dev    *Device
	free   map[int][]*Tensor // by size in bytes
	lent   []*Tensor
	bytes  int64
	inUse  int64
	maxUse int64
	poison bool
}

// NewArena makes an empty arena.
func NewArena(dev *Device) *Arena { return &Arena{dev: dev, free: map[int][]*Tensor{}} }

// Device is the device of the arena's memory.
func (a *Arena) Device() *Device { return a.dev }

// New lends a tensor for activations or their gradients, whose elements are undefined: the operation that takes it must write all of them. They are
// float32, or bf16 on a GPU of that precision.
func (a *Arena) New(shape ...int) *Tensor { return a.NewOf(product(shape), shape...) }

// NewOf is New in a block of size elements, at least as many as the tensor has: tensors whose shape changes from pass to pass share blocks of
// the largest.
func (a *Arena) NewOf(size int, shape ...int) *Tensor {
	return a.lend(a.dev.activations(), size, shape)
}

// NewFloat32 is New for what is float32 whatever the activations are: statistics, losses, factors, gradients of parameters.
func (a *Arena) NewFloat32(shape ...int) *Tensor { return a.lend(cuda.Float32, product(shape), shape) }

// NewFloat32Of is NewOf for float32.
func (a *Arena) NewFloat32Of(size int, shape ...int) *Tensor {
	return a.lend(cuda.Float32, size, shape)
}

func (a *Arena) lend(typ cuda.Type, size int, shape []int) *Tensor {
	bytes := size * typ.Size()
	var t *Tensor
	if list := a.free[bytes]; len(list) > 0 {
		t = list[len(list)-1]
		a.free[bytes] = list[:len(list)-1]
	} else {
		t = a.dev.undefined(bytes)
		a.bytes += int64(bytes)
	}
	t.shape = append(t.shape[:0], shape...)
	t.n, t.typ = product(shape), typ
	if a.dev.gpu == nil {
		t.data = t.data[:t.n]
	}
	a.lent = append(a.lent, t)
	t.lent = len(a.lent)
	a.inUse += int64(bytes)
	a.maxUse = max(a.maxUse, a.inUse)
	if a.poison {
		a.forget(t)
	}
	return t
}

// Of lends a float32 tensor of data for operations that only read it. On a CPU it is data's own memory, which must stay as it is as long.
func (a *Arena) Of(data []float32, shape ...int) *Tensor {
	if a.dev.gpu == nil {
		return FromSlice(a.dev, data, shape...)
	}
	t := a.NewFloat32(shape...)
	t.SetFloats(data)
	return t
}

// Release gives all memory back to the device, as the end of the arena would, but at once: a GPU's memory is not the garbage collector's. Tensors that
// the arena has lent must not be used afterwards.
func (a *Arena) Release() {
	a.Reset()
	if a.dev.gpu != nil {
		for _, list := range a.free {
			for _, t := range list {
				t.mem.release(a.dev)
			}
		}
	}
	clear(a.free)
	a.bytes = 0
}

// Zeros lends a tensor of zeros.
func (a *Arena) Zeros(shape ...int) *Tensor {
	t := a.New(shape...)
	t.Zero()
	return t
}

// Free gives a tensor back before Reset. Nothing may use it or a view of it afterwards; a tensor that the arena has not lent is a mistake.
func (a *Arena) Free(t *Tensor) {
	if !a.Lent(t) {
		panic("tensor: Arena.Free of a tensor that this arena has not lent")
	}
	last := a.lent[len(a.lent)-1]
	a.lent[t.lent-1], last.lent = last, t.lent
	a.lent = a.lent[:len(a.lent)-1]
	a.giveBack(t)
}

// Lent says whether the arena has lent t and not got it back. Views of a lent tensor are not lent themselves.
func (a *Arena) Lent(t *Tensor) bool {
	return t.lent > 0 && t.lent <= len(a.lent) && a.lent[t.lent-1] == t
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
	t.lent = 0
	bytes := t.room()
	a.free[bytes] = append(a.free[bytes], t)
	a.inUse -= int64(bytes)
	if a.poison {
		a.forget(t)
	}
}

// Bytes is the memory that the arena holds, lent or not.
func (a *Arena) Bytes() int64 { return a.bytes }

// MaxBytes is the most that was lent at once.
func (a *Arena) MaxBytes() int64 { return a.maxUse }

// Poison makes the arena spoil memory that it lends or takes back from now on, for tests: whoever reads an element that nobody wrote, or a
// tensor after it was given back, shows it. On a CPU there is NaN in it; on a GPU it is forgotten, see cuda.Device.Forget.
func (a *Arena) Poison() { a.poison = true }

// forget spoils all of the block of t.
func (a *Arena) forget(t *Tensor) {
	if g := a.dev.gpu; g != nil {
		g.Forget(t.ptr, t.room())
		return
	}
	nan := float32(math.NaN())
	x := t.data[:cap(t.data)]
	for i := range x {
		x[i] = nan
	}
}
