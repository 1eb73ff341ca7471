package tensor

import (
	"fmt"
	"math"
	"runtime"
	"strings"
	"sync"
	"time"
	"unsafe"

	"github.com/godino-ml/godino/kernels/cuda"
)

// gpu is the part of a tensor that is on a GPU.
type gpu struct {
	ptr cuda.Ptr
	typ cuda.Type
	mem *memory // which ptr is in
}

// memory is a block of a GPU's memory. It goes back when no tensor has it any more.
type memory struct {
	ptr   cuda.Ptr
	bytes int

	// half is a copy of the block's float32 in bf16, which products read; nil until one has asked for it. It is stale when something has been
	// written since.
	half  *memory
	stale bool

	cleanup runtime.Cleanup
}

// release gives the block back at once: nobody may use it or a view of it any more.
func (m *memory) release(d *Device) {
	m.cleanup.Stop()
	d.gpu.Free(m.ptr)
	if m.half != nil {
		m.half.release(d)
	}
}

// trash is memory that nobody has any more, until the goroutine that uses the GPU gives it back.
type trash struct {
	mu   sync.Mutex
	list []cuda.Ptr
}

func (t *trash) add(p cuda.Ptr) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.list = append(t.list, p)
}

func (t *trash) empty(g *cuda.Device) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, p := range t.list {
		g.Free(p)
	}
	t.list = t.list[:0]
}

// reclaim looks for memory that nobody has any more, which the garbage collector knows, and gives it back.
func (t *trash) reclaim(g *cuda.Device) {
	for range 2 {
		runtime.GC()
		time.Sleep(20 * time.Millisecond) // the collector tells trash of what it has found in a goroutine of its own
	}
	t.empty(g)
}

// allocate takes memory of undefined content on the GPU.
func (d *Device) allocate(bytes int) gpu {
	d.trash.empty(d.gpu)
	m := &memory{ptr: d.gpu.Alloc(bytes), bytes: bytes}
	m.cleanup = runtime.AddCleanup(m, d.trash.add, m.ptr)
	return gpu{ptr: m.ptr, mem: m}
}

// undefined is a tensor of so many bytes for an arena.
func (d *Device) undefined(bytes int) *Tensor {
	t := &Tensor{dev: d}
	if d.gpu != nil {
		t.gpu = d.allocate(bytes)
	} else {
		t.data = make([]float32, bytes/4)
	}
	return t
}

// room is the size of the block that an arena has lent as t, in bytes.
func (t *Tensor) room() int {
	if t.mem != nil {
		return t.mem.bytes
	}
	return 4 * cap(t.data)
}

// activations is the type of the device's activations.
func (d *Device) activations() cuda.Type {
	if d.gpu != nil && d.precision == BF16 {
		return cuda.BFloat16
	}
	return cuda.Float32
}

// Type is the type of the elements: Float32 on a CPU.
func (t *Tensor) Type() cuda.Type { return t.typ }

// IsFloat32 says that the elements are float32.
func (t *Tensor) IsFloat32() bool { return t.typ == cuda.Float32 }

// at is the address of a tensor that has to have that type, 0 for nil.
func (t *Tensor) at(typ cuda.Type) cuda.Ptr {
	if t == nil {
		return 0
	}
	if t.dev.gpu == nil || t.typ != typ {
		panic(fmt.Sprintf("tensor: %v is on a CPU, or of type %v where an operation on a GPU wants %v", t, t.typ, typ))
	}
	return t.ptr
}

// f32 is the address of a tensor that has to be of float32, 0 for nil.
func (t *Tensor) f32() cuda.Ptr { return t.at(cuda.Float32) }

// factor is the address of a parameter as a product reads it, in the type of the activations: its own, or that of its copy in bf16.
func (t *Tensor) factor(typ cuda.Type) cuda.Ptr {
	if typ == t.typ {
		return t.ptr
	}
	return t.half()
}

// half is the address of the copy in bf16 of a float32 tensor, brought up to date.
func (t *Tensor) half() cuda.Ptr {
	m := t.mem
	if m.half == nil {
		m.half, m.stale = t.dev.allocate(m.bytes/2).mem, true
	}
	if m.stale {
		t.dev.gpu.Convert(m.half.ptr, cuda.BFloat16, m.ptr, cuda.Float32, m.bytes/4)
		m.stale = false
	}
	return m.half.ptr + (t.ptr-m.ptr)/2
}

// kept is the address of the copy in bf16 for a kernel that writes it together with t, 0 if t has none.
func (t *Tensor) kept() cuda.Ptr {
	if t.mem.half == nil {
		return 0
	}
	return t.mem.half.ptr + (t.ptr-t.mem.ptr)/2
}

// written says that t is about to be written by an operation that does not write its copy in bf16.
func (t *Tensor) written() {
	if t.mem != nil {
		t.mem.stale = true
	}
}

// download copies the elements from the GPU.
func (t *Tensor) download() []float32 {
	x := make([]float32, t.n)
	if t.typ == cuda.Float32 {
		t.dev.gpu.Download(bytesOf(x), t.ptr)
		return x
	}
	half := make([]uint16, t.n)
	t.dev.gpu.Download(bytesOf(half), t.ptr)
	for i, h := range half {
		x[i] = fromBF16(h)
	}
	return x
}

// upload copies elements to the GPU.
func (t *Tensor) upload(x []float32) {
	t.written()
	if t.typ == cuda.Float32 {
		t.dev.gpu.Upload(t.ptr, bytesOf(x))
		return
	}
	half := make([]uint16, len(x))
	for i, v := range x {
		half[i] = toBF16(v)
	}
	t.dev.gpu.Upload(t.ptr, bytesOf(half))
}

// resident is a list of numbers that has been copied to GPUs: what operations are told about in the memory of the program and read in a GPU's. The
// list never changes afterwards.
type resident[T any] struct {
	mu sync.Mutex
	on map[*cuda.Device]*memory
}

// at is the address of list on d.
func (r *resident[T]) at(d *Device, list []T) cuda.Ptr {
	r.mu.Lock()
	defer r.mu.Unlock()
	m := r.on[d.gpu]
	if m == nil {
		if r.on == nil {
			r.on = map[*cuda.Device]*memory{}
		}
		var zero T
		m = d.allocate(len(list) * int(unsafe.Sizeof(zero))).mem
		d.gpu.Upload(m.ptr, bytesOf(list))
		r.on[d.gpu] = m
	}
	return m.ptr
}

// indices is the address of a copy of list as int32, for the next launch: the memory goes back when this device allocates again.
func (d *Device) indices(list []int) cuda.Ptr {
	short := make([]int32, len(list))
	for i, k := range list {
		short[i] = int32(k)
	}
	m := d.allocate(4 * len(list))
	d.gpu.Upload(m.ptr, bytesOf(short))
	return m.ptr
}

// bytesOf is the memory of x.
func bytesOf[T any](x []T) []byte {
	if len(x) == 0 {
		return nil
	}
	return unsafe.Slice((*byte)(unsafe.Pointer(&x[0])), len(x)*int(unsafe.Sizeof(x[0])))
}

// noKernel is the panic of an operation that a GPU cannot do.
func noKernel() string {
	pc := make([]uintptr, 16)
	frames := runtime.CallersFrames(pc[:runtime.Callers(2, pc)])
	for {
		f, more := frames.Next()
		if _, name, ok := strings.Cut(f.Function, "/tensor."); ok && name != "" && name[0] >= 'A' && name[0] <= 'Z' {
			return fmt.Sprintf("tensor: %s has no kernel for GPUs: use the CPU (Device.Host)", name)
		}
		if !more {
			return "tensor: an operation that has no kernel for GPUs: use the CPU (Device.Host)"
		}
	}
}

// bf16 is the upper half of a float32; toBF16 rounds to nearest, ties to even.
func fromBF16(x uint16) float32 { return math.Float32frombits(uint32(x) << 16) }

func toBF16(x float32) uint16 {
	b := math.Float32bits(x)
	if x != x {
		return uint16(b>>16) | 1<<6 // quiet, and NaN whatever is cut off
	}
	return uint16((b + 0x7fff + b>>16&1) >> 16)
}
