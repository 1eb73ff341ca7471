package cuda

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
)

// Device is a GPU with the kernels that it has been asked for so far. It is used by one goroutine at a time.
type Device struct {
	driver    Driver
	info      Info
	modules   map[string]Module
	functions map[string]*function
	args      []byte // of a launch, as offsets
	offsets   []int32
	work      Ptr // see workspace
	workBytes int
	hopper    bool
	maps      map[tensorKey]*[128]byte // see tensorMap
	err       error

	// Reclaim, if set, is called when memory runs out, to free what nobody needs any more.
	Reclaim func()
}

// ErrMemory is wrapped by the error of a device whose memory is too small.
var ErrMemory = errors.New("the GPU's memory is too small")

type function struct {
	Function
	shared int // dynamic shared memory, at most
	params []int
}

// NewDevice makes a Device of a driver. It uses the kernels for sm_90a where the GPU has compute capability 9.0, unless the environment says GODINO_CUDA=sm_80.
func NewDevice(driver Driver) *Device {
	d := &Device{driver: driver, info: driver.Info(), modules: map[string]Module{}, functions: map[string]*function{}}
	d.hopper = d.info.Major == 9 && d.info.Minor == 0 && os.Getenv("GODINO_CUDA") != "sm_80"
	return d
}

// Driver is the device's driver.
func (d *Device) Driver() Driver { return d.driver }

// Info describes the GPU.
func (d *Device) Info() Info { return d.info }

// Err is the first error that the device met, after which it has done nothing.
func (d *Device) Err() error { return d.err }

// Sync waits for all work and returns the first error of the device's life.
func (d *Device) Sync() error {
	d.fail(d.driver.Sync())
	return d.err
}

func (d *Device) fail(err error) {
	if d.err == nil {
		d.err = err
	}
}

// Arg is an argument of a kernel.
type Arg struct {
	bits uint64
	size int
	more []byte // of a tensor map
}

// The arguments that kernels have: an address, a 32-bit and a 64-bit integer, a float32.

func P(p Ptr) Arg      { return Arg{bits: uint64(p), size: 8} }
func U64(x uint64) Arg { return Arg{bits: x, size: 8} }
func F(x float32) Arg  { return Arg{bits: uint64(math.Float32bits(x)), size: 4} }
func Flag(on bool) Arg {
	if on {
		return Arg{bits: 1, size: 4}
	}
	return Arg{size: 4}
}
func I(n int) Arg {
	if int(int32(n)) != n {
		panic(fmt.Sprintf("cuda: %d does not fit a kernel's 32-bit argument", n))
	}
	return Arg{bits: uint64(uint32(n)), size: 4}
}

// Map is a tensor map by value.
func Map(m *[128]byte) Arg { return Arg{size: 64, more: m[:]} }

// launch runs kernel name of source file (gelu for gelu.cu, gemm.sm_90a for gemm_sm_90a.cu).
func (d *Device) launch(file, name string, grid, block Dim, shared int, args ...Arg) {
	d.launchCluster(file, name, grid, block, Dim{}, shared, args...)
}

func (d *Device) launchCluster(file, name string, grid, block, cluster Dim, shared int, args ...Arg) {
	if d.err != nil || grid.X == 0 {
		return
	}
	f := d.function(file, name, shared)
	if f == nil {
		return
	}
	if len(args) != len(f.params) {
		panic(fmt.Sprintf("cuda: kernel %s takes %d arguments, got %d", name, len(f.params), len(args)))
	}
	b, offsets := d.args[:0], d.offsets[:0]
	for i, a := range args {
		if size := max(len(a.more), a.size); size != f.params[i] {
			panic(fmt.Sprintf("cuda: argument %d of kernel %s has %d bytes, got %d", i, name, f.params[i], size))
		}
		for len(b)%a.size != 0 {
			b = append(b, 0)
		}
		offsets = append(offsets, int32(len(b)))
		switch {
		case a.more != nil:
			b = append(b, a.more...)
		case a.size == 8:
			b = binary.LittleEndian.AppendUint64(b, a.bits)
		default:
			b = binary.LittleEndian.AppendUint32(b, uint32(a.bits))
		}
	}
	d.args, d.offsets = b, offsets
	if err := d.driver.Launch(f.Function, &Launch{Grid: grid, Block: block, Cluster: cluster, Shared: shared, Args: b, Offsets: offsets}); err != nil {
		d.fail(fmt.Errorf("cuda: kernel %s: %w", name, err))
	}
}

// function is a kernel, whose module is loaded when first asked for.
func (d *Device) function(file, name string, shared int) *function {
	f := d.functions[name]
	if f != nil && shared <= f.shared {
		return f
	}
	m, ok := d.modules[file]
	if !ok {
		ptx, err := PTX(file)
		if err == nil {
			m, err = d.driver.Load(ptx)
		}
		if err != nil {
			d.fail(fmt.Errorf("cuda: kernels of %s: %w", file, err))
			return nil
		}
		d.modules[file] = m
	}
	h, err := d.driver.Function(m, name, shared)
	if err != nil {
		d.fail(fmt.Errorf("cuda: kernel %s of %s: %w", name, file, err))
		return nil
	}
	ptx, _ := PTX(file)
	f = &function{Function: h, shared: shared, params: parameters(ptx, name)}
	d.functions[name] = f
	return f
}

// Memory. What fails makes the device's error; the address is then 0.

// Alloc takes memory of undefined content, aligned to 256 bytes.
func (d *Device) Alloc(bytes int) Ptr {
	if d.err != nil {
		return 0
	}
	p, err := d.driver.Alloc(max(bytes, 1))
	if err != nil && d.Reclaim != nil {
		d.Reclaim()
		p, err = d.driver.Alloc(max(bytes, 1))
	}
	if err != nil {
		d.fail(fmt.Errorf("%w: %w", ErrMemory, err))
	}
	return p
}

// Free gives memory back.
func (d *Device) Free(p Ptr) {
	if d.err == nil && p != 0 {
		d.fail(d.driver.Free(p))
	}
}

// Forget says that nobody needs what is in memory any more. A Driver that can (the interpreter) reports reads of it from now on.
func (d *Device) Forget(p Ptr, bytes int) {
	if f, ok := d.driver.(interface{ Forget(p Ptr, bytes int) }); ok && p != 0 && d.err == nil {
		f.Forget(p, bytes)
	}
}

// workspace is memory of undefined content for the launches of one launcher: the next call of workspace gives the same memory. There is one, because
// launches run one after the other. What was too small is never freed: graphs may know its address.
func (d *Device) workspace(bytes int) Ptr {
	if bytes > d.workBytes {
		d.workBytes = max(bytes, 2*d.workBytes, 1<<20)
		d.work = d.Alloc(d.workBytes)
	}
	d.Forget(d.work, d.workBytes)
	return d.work
}

// Upload copies src to the GPU, in the order of launches; src may be used again at once.
func (d *Device) Upload(dst Ptr, src []byte) {
	if d.err == nil && len(src) > 0 {
		d.fail(d.driver.Upload(Compute, dst, src))
	}
}

// Download waits for all work and copies from the GPU; after an error dst is left alone.
func (d *Device) Download(dst []byte, src Ptr) {
	if d.err == nil && len(dst) > 0 {
		d.fail(d.driver.Download(dst, src))
	}
}

// Copy copies bytes within the GPU.
func (d *Device) Copy(dst, src Ptr, bytes int) {
	if d.err == nil && bytes > 0 {
		d.fail(d.driver.Copy(dst, src, bytes))
	}
}

// Clear writes zeros to n elements.
func (d *Device) Clear(dst Ptr, n int, t Type) {
	if dst%4 != 0 { // bf16 from the second of a word on
		d.Fill(dst, t, 0, n)
	} else if d.err == nil && n > 0 {
		bytes := n * t.Size()
		d.fail(d.driver.Fill(dst, 0, bytes/4))
		if bytes%4 != 0 { // the last of an odd number of bf16
			d.launch("fill", "fill_bf16", Dim{X: 1}, Dim{X: 32}, 0, P(dst.Add(n-1, t)), F(0), I(1))
		}
	}
}

func ceilDiv(a, b int) int { return (a + b - 1) / b }
