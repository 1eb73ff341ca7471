//go:build cuda && cgo && linux

package cuda

// #cgo CFLAGS: -O2 -Wall -I${SRCDIR}/include
// #cgo noescape shim_launch
// #cgo nocallback shim_launch
// #include "shim.h"
import "C"

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"unsafe"

	"github.com/mumax/3/cuda/cu"

	"github.com/godino-ml/godino/kernels/cuda/internal/libcuda"
)

// driver is the CUDA driver of one GPU: github.com/mumax/3/cuda/cu for devices, memory and modules, shim.c for the rest.
type driver struct {
	dev       cu.Device
	ctx       C.CUcontext
	streams   [2]C.CUstream
	info      Info
	memory    map[Ptr]int            // and its bytes
	used      int64                  // of memory
	peak      int64                  // the most that used was
	host      map[unsafe.Pointer]int // page-locked memory and its bytes
	capturing bool
	wait      bool // after each launch, so that an error is that of its kernel: GODINO_CUDA_SYNC=1
}

// initialize starts the driver once. Without one, or without a GPU, the error says so.
var initialize = sync.OnceValue(func() error {
	if err := libcuda.Problem(); err != nil {
		return fmt.Errorf("no NVIDIA driver: %w", err)
	}
	return catch(func() { cu.Init(0) })
})

func gpus() ([]Info, error) {
	if err := initialize(); err != nil {
		return nil, err
	}
	var all []Info
	err := catch(func() {
		for i := range cu.DeviceGetCount() {
			all = append(all, describe(cu.DeviceGet(i)))
		}
	})
	if err == nil && len(all) == 0 {
		err = errors.New("the NVIDIA driver finds no GPU")
	}
	return all, err
}

func describe(d cu.Device) Info {
	const maxSharedOptIn = cu.DeviceAttribute(C.CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN)
	v := cu.Version()
	i := Info{
		Name:            strings.TrimRight(d.Name(), "\x00"),
		Driver:          fmt.Sprintf("CUDA %d.%d", v/1000, v%1000/10),
		Multiprocessors: d.Attribute(cu.MULTIPROCESSOR_COUNT),
		Memory:          d.TotalMem(),
		SharedPerBlock:  d.Attribute(maxSharedOptIn),
	}
	i.Major, i.Minor = d.ComputeCapability()
	if text, err := os.ReadFile("/proc/driver/nvidia/version"); err == nil {
		if m := regexp.MustCompile(`\b\d+\.\d+(\.\d+)?\b`).Find(text); m != nil {
			i.Driver = string(m) + ", " + i.Driver
		}
	}
	return i
}

func open(number int) (Driver, error) {
	all, err := gpus()
	if err != nil {
		return nil, err
	}
	if number < 0 || number >= len(all) {
		return nil, fmt.Errorf("there is no GPU %d: this machine has %d, from 0", number, len(all))
	}
	if err := all[number].Usable(); err != nil {
		return nil, err
	}
	d := &driver{info: all[number], memory: map[Ptr]int{}, host: map[unsafe.Pointer]int{}, wait: os.Getenv("GODINO_CUDA_SYNC") == "1"}
	if err := catch(func() { d.dev = cu.DeviceGet(number) }); err != nil {
		return nil, err
	}
	if err := result(C.shim_open(C.CUdevice(d.dev), &d.ctx, &d.streams[0])); err != nil {
		return nil, fmt.Errorf("opening GPU %d (%s): %w", number, d.info.Name, err)
	}
	return d, nil
}

// result is the error of a number.
func result(r C.CUresult) error {
	if r == C.CUDA_SUCCESS {
		return nil
	}
	name, text := "unknown error", ""
	var s *C.char
	if C.cuGetErrorName(r, &s) == C.CUDA_SUCCESS && s != nil {
		name = C.GoString(s)
	}
	if C.cuGetErrorString(r, &s) == C.CUDA_SUCCESS && s != nil {
		text = ": " + C.GoString(s)
	}
	return fmt.Errorf("%s (%d)%s", name, int(r), text)
}

// catch is the edge where package cu's panics become errors.
func catch(f func()) (err error) {
	defer func() {
		switch r := recover().(type) {
		case nil:
		case cu.Result:
			err = result(C.CUresult(r))
		default:
			panic(r)
		}
	}()
	f()
	return nil
}

// cu runs calls of package cu, which need the context current to the OS thread, and the goroutine to stay on it.
func (d *driver) cu(f func()) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := result(C.shim_current(d.ctx)); err != nil {
		return err
	}
	return catch(f)
}

func (d *driver) Info() Info { return d.info }

func (d *driver) Alloc(bytes int) (p Ptr, err error) {
	err = d.cu(func() { p = Ptr(cu.MemAlloc(int64(bytes))) })
	if err == nil {
		d.memory[p] = bytes
		d.used += int64(bytes)
		d.peak = max(d.peak, d.used)
		return p, nil
	}
	var free, total int64
	if d.cu(func() { free, total = cu.MemGetInfo() }) == nil {
		err = fmt.Errorf("%w: asked for %d MiB, and %d of the GPU's %d MiB are free", err, bytes>>20, free>>20, total>>20)
	}
	return 0, err
}

func (d *driver) Free(p Ptr) error {
	bytes, ok := d.memory[p]
	if !ok {
		return fmt.Errorf("memory to be freed is not the device's: %#x", uint64(p))
	}
	delete(d.memory, p)
	d.used -= int64(bytes)
	return d.cu(func() { cu.MemFree(cu.DevicePtr(p)) })
}

// PeakMemory is the most memory that was taken at once, in bytes.
func (d *driver) PeakMemory() int64 { return d.peak }

func (d *driver) HostMemory(bytes int) ([]byte, error) {
	var p unsafe.Pointer
	if err := d.cu(func() { p = cu.MemAllocHost(int64(max(bytes, 1))) }); err != nil {
		return nil, err
	}
	d.host[p] = bytes
	return unsafe.Slice((*byte)(p), max(bytes, 1))[:bytes], nil // a slice that has no byte at all need not know its address
}

func (d *driver) FreeHostMemory(m []byte) error {
	p := unsafe.Pointer(unsafe.SliceData(m))
	if _, ok := d.host[p]; !ok {
		return errors.New("memory to be freed is not page-locked memory, or not its beginning")
	}
	delete(d.host, p)
	return d.cu(func() { cu.MemFreeHost(p) })
}

// isHost says whether m is part of page-locked memory.
func (d *driver) isHost(m []byte) bool {
	p := uintptr(unsafe.Pointer(unsafe.SliceData(m)))
	for h, n := range d.host {
		if from := uintptr(h); p >= from && p+uintptr(len(m)) <= from+uintptr(n) {
			return true
		}
	}
	return false
}

// loaded are the modules of a GPU's context, which all its drivers of this process share.
var loaded sync.Map

type image struct {
	dev cu.Device
	sum [sha256.Size]byte
}

func (d *driver) Load(ptx []byte) (Module, error) {
	key := image{d.dev, sha256.Sum256(ptx)}
	if m, ok := loaded.Load(key); ok {
		return m.(Module), nil
	}
	text := C.CString(string(ptx))
	defer C.free(unsafe.Pointer(text))
	log := make([]byte, 8<<10)
	var m C.CUmodule
	err := result(C.shim_load(d.ctx, text, &m, (*C.char)(unsafe.Pointer(&log[0])), C.uint(len(log))))
	if err != nil {
		if said := strings.TrimSpace(C.GoString((*C.char)(unsafe.Pointer(&log[0])))); said != "" {
			err = fmt.Errorf("%w\n%s", err, said)
		}
		return 0, err
	}
	loaded.Store(key, Module(unsafe.Pointer(m)))
	return Module(unsafe.Pointer(m)), nil
}

func (d *driver) Function(m Module, name string, shared int) (Function, error) {
	var f cu.Function
	if err := d.cu(func() { f = cu.Module(m).GetFunction(name) }); err != nil {
		return 0, err
	}
	if shared > 0 { // 48 KiB are free, but a kernel's own count among them
		if err := result(C.shim_shared(d.ctx, kernel(f), C.int(shared))); err != nil {
			return 0, fmt.Errorf("%d bytes of shared memory: %w", shared, err)
		}
	}
	return Function(f), nil
}

// Attributes are the registers, and the bytes of shared and of local memory, that the driver's compiler gave a kernel's thread or block.
func (d *driver) Attributes(f Function) (registers, shared, local int, err error) {
	err = d.cu(func() {
		k := cu.Function(f)
		registers, shared, local = k.GetAttribute(cu.FUNC_A_NUM_REGS), k.GetAttribute(cu.FUNC_A_SHARED_SIZE_BYTES), k.GetAttribute(cu.FUNC_A_LOCAL_SIZE_BYTES)
	})
	return
}

func (d *driver) Launch(f Function, l *Launch) error {
	dims := [...][3]C.uint{l.Grid.at(1), l.Block.at(1), l.Cluster.at(1)}
	if l.Cluster == (Dim{}) {
		dims[2][0] = 0
	}
	args, offsets := unsafe.Pointer(unsafe.SliceData(l.Args)), (*C.int)(unsafe.SliceData(l.Offsets))
	r := C.shim_launch(d.ctx, d.streams[Compute], kernel(f), &dims[0][0], &dims[1][0], &dims[2][0], C.uint(l.Shared), args, offsets, C.int(len(l.Offsets)))
	if r == C.CUDA_SUCCESS && d.wait && !d.capturing {
		r = C.shim_wait(d.ctx, d.streams[Compute])
	}
	return result(r)
}

// at is the dimension with n for 0.
func (d Dim) at(n int) [3]C.uint {
	or := func(x int) C.uint {
		if x == 0 {
			x = n
		}
		return C.uint(x)
	}
	return [3]C.uint{or(d.X), or(d.Y), or(d.Z)}
}

func (d *driver) TensorMap(m *TensorMap) (encoded [128]byte, err error) {
	rank := len(m.Dims)
	if rank < 1 || rank > 5 || len(m.Strides) != rank-1 || len(m.Box) != rank {
		return encoded, fmt.Errorf("tensor map of %d dimensions with %d strides and a box of %d", rank, len(m.Strides), len(m.Box))
	}
	var dims, strides [5]C.uint64_t
	var box [5]C.uint32_t
	for i := range rank {
		dims[i], box[i] = C.uint64_t(m.Dims[i]), C.uint32_t(m.Box[i])
	}
	for i, s := range m.Strides {
		strides[i] = C.uint64_t(s)
	}
	bf16 := C.int(0)
	if m.Type == BFloat16 {
		bf16 = 1
	}
	err = result(C.shim_tensor_map(d.ctx, unsafe.Pointer(&encoded), bf16, C.uint(rank), C.CUdeviceptr(m.Base), &dims[0], &strides[0], &box[0], C.int(m.Swizzle)))
	if err != nil {
		err = fmt.Errorf("tensor map %+v: %w", *m, err)
	}
	return encoded, err
}

func (d *driver) Upload(s Stream, dst Ptr, src []byte) error {
	if d.capturing && !d.isHost(src) {
		return errors.New("a copy of ordinary memory cannot be part of a graph: use HostMemory")
	}
	// What is not page-locked has been read when the call returns: the driver copies it to memory of its own first.
	return result(C.shim_upload(d.ctx, d.streams[s], C.CUdeviceptr(dst), unsafe.Pointer(unsafe.SliceData(src)), C.size_t(len(src))))
}

func (d *driver) Download(dst []byte, src Ptr) error {
	p := unsafe.Pointer(unsafe.SliceData(dst))
	if err := result(C.shim_download(d.ctx, d.streams[Compute], p, C.CUdeviceptr(src), C.size_t(len(dst)))); err != nil {
		return err
	}
	return result(C.shim_wait(d.ctx, d.streams[Compute]))
}

func (d *driver) DownloadLater(s Stream, dst []byte, src Ptr) error {
	if !d.isHost(dst) {
		return errors.New("a copy that is not waited for needs HostMemory")
	}
	return result(C.shim_download(d.ctx, d.streams[s], unsafe.Pointer(unsafe.SliceData(dst)), C.CUdeviceptr(src), C.size_t(len(dst))))
}

func (d *driver) Copy(dst, src Ptr, bytes int) error {
	return result(C.shim_copy(d.ctx, d.streams[Compute], C.CUdeviceptr(dst), C.CUdeviceptr(src), C.size_t(bytes)))
}

func (d *driver) Fill(dst Ptr, word uint32, n int) error {
	if n == 0 {
		return nil
	}
	return result(C.shim_fill(d.ctx, d.streams[Compute], C.CUdeviceptr(dst), C.uint(word), C.size_t(n)))
}

func (d *driver) NewEvent() (Event, error) {
	var e C.CUevent
	err := result(C.shim_event(d.ctx, &e))
	return Event(unsafe.Pointer(e)), err
}

func (d *driver) Record(e Event, s Stream) error {
	return result(C.shim_record(d.ctx, event(e), d.streams[s]))
}

func (d *driver) Wait(s Stream, e Event) error {
	return result(C.shim_wait_event(d.ctx, d.streams[s], event(e)))
}

func (d *driver) SyncEvent(e Event) error { return result(C.shim_sync_event(d.ctx, event(e))) }

func (d *driver) Elapsed(from, to Event) (float64, error) {
	var milliseconds C.float
	err := result(C.shim_elapsed(d.ctx, event(from), event(to), &milliseconds))
	return float64(milliseconds) / 1e3, err
}

func (d *driver) Sync() error {
	for _, s := range d.streams {
		if err := result(C.shim_wait(d.ctx, s)); err != nil {
			return err
		}
	}
	return nil
}

func (d *driver) BeginCapture() error {
	err := result(C.shim_begin_capture(d.ctx, d.streams[Compute]))
	d.capturing = err == nil
	return err
}

func (d *driver) EndCapture() (Graph, error) {
	d.capturing = false
	var g C.CUgraphExec
	err := result(C.shim_end_capture(d.ctx, d.streams[Compute], &g))
	return Graph(unsafe.Pointer(g)), err
}

func (d *driver) Replay(g Graph) error {
	return result(C.shim_replay(d.ctx, graph(g), d.streams[Compute]))
}

func (d *driver) FreeGraph(g Graph) error { return result(C.shim_free_graph(d.ctx, graph(g))) }

// Close gives back the driver's memory and streams.
func (d *driver) Close() error {
	err := d.Sync()
	for p := range d.memory {
		err = errors.Join(err, d.Free(p))
	}
	for p := range d.host {
		err = errors.Join(err, d.FreeHostMemory(unsafe.Slice((*byte)(p), 1)))
	}
	return errors.Join(err, result(C.shim_close(d.ctx, &d.streams[0])))
}

// The driver's handles are pointers of C, which Go has as numbers.

func kernel[T ~uintptr](f T) C.CUfunction { return *(*C.CUfunction)(unsafe.Pointer(&f)) }
func event(e Event) C.CUevent             { return *(*C.CUevent)(unsafe.Pointer(&e)) }
func graph(g Graph) C.CUgraphExec         { return *(*C.CUgraphExec)(unsafe.Pointer(&g)) }
