//go:build fakecuda

// Fakecuda is a libcuda.so.1 without a GPU: the CUDA driver's functions, on the interpreter of PTX. With it the programs that have the tag cuda, and the
// tests, go through all of driver_cuda.go, shim.c, mumax/3 and libcuda.c, on any machine:
//
//	go build -tags fakecuda -buildmode=c-shared -o fake/libcuda.so.1 ./kernels/cuda/internal/fakecuda
//	LD_LIBRARY_PATH=fake go test -tags cuda ./kernels/cuda
//
// It is stricter than a driver where it can be: a call on a thread that has not made the context current is an error, as is the default stream. Like the
// real one it reports what a kernel did wrong at some later call; what that was is printed to standard error. GODINO_FAKECUDA=9.0 is its compute
// capability; 8.0 without it. There are two Go runtimes in such a process, which nobody promises to work; it does.
package main

// #include <stdint.h>
// #include <stdlib.h>
// #include <string.h>
//
// typedef const char *string;
// typedef const void *constant;
//
// static _Thread_local uintptr_t current;
// static void set_current(uintptr_t ctx) { current = ctx; }
// static uintptr_t get_current(void) { return current; }
//
// typedef struct {
//     unsigned grid[3], block[3], shared;
//     uintptr_t stream;
//     struct { int id; char pad[4]; union { char pad[64]; unsigned cluster[3]; } value; } *attributes;
//     unsigned count;
// } config;
// static unsigned cluster(const config *c, int i) { return c->count == 1 && c->attributes->id == 4 ? c->attributes->value.cluster[i] : 0; }
import "C"

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"sync"
	"unsafe"

	"github.com/godino-ml/godino/kernels/cuda"
	"github.com/godino-ml/godino/kernels/cuda/internal/ptx"
)

func main() {}

// What the functions return, and what the driver calls it.
const (
	success         C.int = 0
	invalidValue    C.int = 1
	outOfMemory     C.int = 2
	notInitialized  C.int = 3
	invalidDevice   C.int = 101
	invalidContext  C.int = 201
	invalidPTX      C.int = 218
	invalidHandle   C.int = 400
	notFound        C.int = 500
	illegalAddress  C.int = 700
	captureImplicit C.int = 906
)

var names = map[C.int]*C.char{}

func init() {
	for code, name := range map[C.int]string{
		success: "CUDA_SUCCESS", invalidValue: "CUDA_ERROR_INVALID_VALUE", outOfMemory: "CUDA_ERROR_OUT_OF_MEMORY", notInitialized: "CUDA_ERROR_NOT_INITIALIZED",
		invalidDevice: "CUDA_ERROR_INVALID_DEVICE", invalidContext: "CUDA_ERROR_INVALID_CONTEXT", invalidPTX: "CUDA_ERROR_INVALID_PTX",
		invalidHandle: "CUDA_ERROR_INVALID_HANDLE", notFound: "CUDA_ERROR_NOT_FOUND", illegalAddress: "CUDA_ERROR_ILLEGAL_ADDRESS",
		captureImplicit: "CUDA_ERROR_STREAM_CAPTURE_IMPLICIT",
	} {
		names[code] = C.CString(name)
	}
}

// gpu is the one device.
var gpu struct {
	sync.Mutex
	cuda.Driver
	started bool
	retains int
	fault   error // of a kernel: every later call returns it
	streams map[C.uintptr_t]cuda.Stream
	shared  map[cuda.Function]int // what was asked for by cuFuncSetAttribute
	host    map[C.uintptr_t][]byte
	used    int64
	bytes   map[C.uint64_t]int64
}

// The context is a number that is no address.
const context = 0xc0de

// call runs a function that needs the context.
func call(f func() C.int) C.int {
	gpu.Lock()
	defer gpu.Unlock()
	switch {
	case !gpu.started:
		return notInitialized
	case C.get_current() != context || gpu.retains == 0:
		return invalidContext
	case gpu.fault != nil:
		return illegalAddress
	}
	return f()
}

// say prints an error and gives it a number.
func say(err error, code C.int) C.int {
	if err == nil {
		return success
	}
	fmt.Fprintf(os.Stderr, "fakecuda: %v\n", err)
	return code
}

func handle[T ~uintptr](to *C.uintptr_t, h T) { *to = C.uintptr_t(h) }

func memory(p unsafe.Pointer, n C.size_t) []byte { return unsafe.Slice((*byte)(p), int(n)) }

//export cuGetErrorName
func cuGetErrorName(code C.int, text *C.string) C.int {
	n, ok := names[code]
	if !ok {
		return invalidValue
	}
	*text = C.string(n)
	return success
}

//export cuGetErrorString
func cuGetErrorString(code C.int, text *C.string) C.int { return invalidValue }

//export cuInit
func cuInit(flags C.uint) C.int {
	gpu.Lock()
	defer gpu.Unlock()
	if gpu.started {
		return success
	}
	driver, err := interpreter(os.Getenv("GODINO_FAKECUDA"))
	if err != nil {
		return say(err, invalidValue)
	}
	gpu.Driver, gpu.started = driver, true
	gpu.streams, gpu.shared, gpu.host, gpu.bytes = map[C.uintptr_t]cuda.Stream{}, map[cuda.Function]int{}, map[C.uintptr_t][]byte{}, map[C.uint64_t]int64{}
	return success
}

//export cuDriverGetVersion
func cuDriverGetVersion(version *C.int) C.int {
	*version = 13000
	return success
}

//export cuDeviceGetCount
func cuDeviceGetCount(n *C.int) C.int {
	*n = 1
	return success
}

//export cuDeviceGet
func cuDeviceGet(dev *C.int, number C.int) C.int {
	if number != 0 {
		return invalidDevice
	}
	*dev = 0
	return success
}

//export cuDeviceGetName
func cuDeviceGetName(name *C.char, size C.int, dev C.int) C.int {
	copy(memory(unsafe.Pointer(name), C.size_t(size)), gpu.Info().Name+"\x00")
	return success
}

//export cuDeviceTotalMem_v2
func cuDeviceTotalMem_v2(bytes *C.size_t, dev C.int) C.int {
	*bytes = C.size_t(gpu.Info().Memory)
	return success
}

//export cuDeviceGetAttribute
func cuDeviceGetAttribute(value *C.int, attribute C.int, dev C.int) C.int {
	i := gpu.Info()
	values := map[C.int]int{16: i.Multiprocessors, 75: i.Major, 76: i.Minor, 97: i.SharedPerBlock}
	v, ok := values[attribute]
	if !ok {
		return invalidValue
	}
	*value = C.int(v)
	return success
}

//export cuDevicePrimaryCtxSetFlags_v2
func cuDevicePrimaryCtxSetFlags_v2(dev C.int, flags C.uint) C.int { return success }

//export cuDevicePrimaryCtxRetain
func cuDevicePrimaryCtxRetain(ctx *C.uintptr_t, dev C.int) C.int {
	gpu.Lock()
	defer gpu.Unlock()
	if !gpu.started {
		return notInitialized
	}
	gpu.retains++
	*ctx = context
	return success
}

//export cuCtxSetCurrent
func cuCtxSetCurrent(ctx C.uintptr_t) C.int {
	if ctx != 0 && ctx != context {
		return invalidContext
	}
	C.set_current(ctx)
	return success
}

var entries = regexp.MustCompile(`\.entry\s+(\w+)`)

//export cuModuleLoadDataEx
func cuModuleLoadDataEx(m *C.uintptr_t, image C.string, n C.uint, options *C.int, values *unsafe.Pointer) C.int {
	return call(func() C.int {
		var log []byte
		for i, o := range unsafe.Slice(options, int(n)) {
			switch v := unsafe.Slice(values, int(n))[i]; o {
			case 5:
				log = memory(v, 1)
			case 6:
				log = unsafe.Slice(unsafe.SliceData(log), int(uintptr(v)))
			}
		}
		text := C.GoString(image)
		module, err := gpu.Load([]byte(text))
		for _, m := range entries.FindAllStringSubmatch(text, -1) { // compile all of it
			if err == nil {
				_, err = gpu.Function(module, m[1], 0)
			}
		}
		if err != nil {
			copy(log, err.Error()+"\x00")
			return invalidPTX
		}
		handle(m, module)
		return success
	})
}

//export cuModuleGetFunction
func cuModuleGetFunction(f *C.uintptr_t, m C.uintptr_t, name C.string) C.int {
	return call(func() C.int {
		function, err := gpu.Function(cuda.Module(m), C.GoString(name), 0)
		if err != nil {
			return notFound
		}
		handle(f, function)
		return success
	})
}

//export cuFuncGetAttribute
func cuFuncGetAttribute(value *C.int, attribute C.int, f C.uintptr_t) C.int {
	*value = 0
	return success
}

//export cuFuncSetAttribute
func cuFuncSetAttribute(f C.uintptr_t, attribute, value C.int) C.int {
	return call(func() C.int {
		if attribute != 8 || int(value) > gpu.Info().SharedPerBlock {
			return invalidValue
		}
		gpu.shared[cuda.Function(f)] = int(value)
		return success
	})
}

//export cuLaunchKernel
func cuLaunchKernel(f C.uintptr_t, gx, gy, gz, bx, by, bz, shared C.uint, s C.uintptr_t, parameters, extra *unsafe.Pointer) C.int {
	dim := func(x, y, z C.uint) cuda.Dim { return cuda.Dim{X: int(x), Y: int(y), Z: int(z)} }
	return launch(f, s, &cuda.Launch{Grid: dim(gx, gy, gz), Block: dim(bx, by, bz), Shared: int(shared)}, parameters, extra)
}

//export cuLaunchKernelEx
func cuLaunchKernelEx(c *C.config, f C.uintptr_t, parameters, extra *unsafe.Pointer) C.int {
	dim := func(x [3]C.uint) cuda.Dim { return cuda.Dim{X: int(x[0]), Y: int(x[1]), Z: int(x[2])} }
	l := &cuda.Launch{Grid: dim(c.grid), Block: dim(c.block), Shared: int(c.shared)}
	l.Cluster = dim([3]C.uint{C.cluster(c, 0), C.cluster(c, 1), C.cluster(c, 2)})
	return launch(f, c.stream, l, parameters, extra)
}

// launch takes parameters one by one only: what a buffer of all must look like is not said anywhere.
func launch(f, s C.uintptr_t, l *cuda.Launch, parameters, extra *unsafe.Pointer) C.int {
	return call(func() C.int {
		if stream, ok := gpu.streams[s]; !ok || stream != cuda.Compute {
			return invalidHandle
		}
		if l.Shared > max(gpu.shared[cuda.Function(f)], 48<<10) || extra != nil {
			return invalidValue
		}
		list := gpu.Driver.(*ptx.Driver).Parameters(cuda.Function(f))
		for i, from := range unsafe.Slice(parameters, len(list)) {
			l.Args = append(l.Args, make([]byte, list[i][0]-len(l.Args))...)
			l.Args = append(l.Args, memory(from, C.size_t(list[i][1]))...)
		}
		return fault(gpu.Launch(cuda.Function(f), l))
	})
}

// fault reports a mistake in a launch at once, and one of the kernel at the next call.
func fault(err error) C.int {
	var f *ptx.Fault
	if !errors.As(err, &f) {
		return say(err, invalidValue)
	}
	gpu.fault = err
	say(err, illegalAddress)
	return success
}

//export cuMemAlloc_v2
func cuMemAlloc_v2(p *C.uint64_t, bytes C.size_t) C.int {
	return call(func() C.int {
		if bytes == 0 {
			return invalidValue
		}
		if gpu.used+int64(bytes) > gpu.Info().Memory {
			return outOfMemory
		}
		address, err := gpu.Alloc(int(bytes))
		if err != nil {
			return say(err, outOfMemory)
		}
		*p = C.uint64_t(address)
		gpu.bytes[*p] = int64(bytes)
		gpu.used += int64(bytes)
		return success
	})
}

//export cuMemFree_v2
func cuMemFree_v2(p C.uint64_t) C.int {
	return call(func() C.int {
		gpu.used -= gpu.bytes[p]
		delete(gpu.bytes, p)
		return say(gpu.Free(cuda.Ptr(p)), invalidValue)
	})
}

//export cuMemGetInfo_v2
func cuMemGetInfo_v2(free, total *C.size_t) C.int {
	return call(func() C.int {
		*total = C.size_t(gpu.Info().Memory)
		*free = *total - C.size_t(gpu.used)
		return success
	})
}

//export cuMemAllocHost_v2
func cuMemAllocHost_v2(p *C.uintptr_t, bytes C.size_t) C.int {
	return call(func() C.int {
		m, err := gpu.HostMemory(int(bytes))
		if err != nil {
			return say(err, outOfMemory)
		}
		*p = C.uintptr_t(uintptr(unsafe.Pointer(unsafe.SliceData(m))))
		gpu.host[*p] = m
		return success
	})
}

//export cuMemFreeHost
func cuMemFreeHost(p C.uintptr_t) C.int {
	return call(func() C.int {
		m, ok := gpu.host[p]
		if !ok {
			return invalidValue
		}
		delete(gpu.host, p)
		return say(gpu.FreeHostMemory(m), invalidValue)
	})
}

// on runs a function with a stream.
func on(s C.uintptr_t, f func(s cuda.Stream) error) C.int {
	return call(func() C.int {
		stream, ok := gpu.streams[s]
		if !ok {
			return invalidHandle
		}
		return say(f(stream), invalidValue)
	})
}

//export cuMemcpyHtoDAsync_v2
func cuMemcpyHtoDAsync_v2(dst C.uint64_t, src C.constant, bytes C.size_t, s C.uintptr_t) C.int {
	return on(s, func(s cuda.Stream) error { return gpu.Upload(s, cuda.Ptr(dst), memory(unsafe.Pointer(src), bytes)) })
}

//export cuMemcpyDtoHAsync_v2
func cuMemcpyDtoHAsync_v2(dst unsafe.Pointer, src C.uint64_t, bytes C.size_t, s C.uintptr_t) C.int {
	to := memory(dst, bytes)
	return on(s, func(s cuda.Stream) error {
		for p, m := range gpu.host {
			if from := C.uintptr_t(uintptr(dst)); from >= p && from+C.uintptr_t(bytes) <= p+C.uintptr_t(len(m)) {
				return gpu.DownloadLater(s, m[from-p:][:bytes], cuda.Ptr(src))
			}
		}
		if s != cuda.Compute {
			return errors.New("a download by the stream of copies needs page-locked memory")
		}
		return gpu.Download(to, cuda.Ptr(src))
	})
}

//export cuMemcpyDtoDAsync_v2
func cuMemcpyDtoDAsync_v2(dst, src C.uint64_t, bytes C.size_t, s C.uintptr_t) C.int {
	return on(s, func(cuda.Stream) error { return gpu.Copy(cuda.Ptr(dst), cuda.Ptr(src), int(bytes)) })
}

//export cuMemsetD32Async
func cuMemsetD32Async(dst C.uint64_t, word C.uint, n C.size_t, s C.uintptr_t) C.int {
	return on(s, func(cuda.Stream) error { return gpu.Fill(cuda.Ptr(dst), uint32(word), int(n)) })
}

//export cuStreamCreate
func cuStreamCreate(s *C.uintptr_t, flags C.uint) C.int {
	return call(func() C.int {
		if flags != 1 { // CU_STREAM_NON_BLOCKING
			return invalidValue
		}
		// The first stream of a context is that of kernels, the second that of copies.
		*s = 0x5000 + C.uintptr_t(len(gpu.streams))
		gpu.streams[*s] = cuda.Stream(len(gpu.streams) % 2)
		return success
	})
}

//export cuStreamDestroy_v2
func cuStreamDestroy_v2(s C.uintptr_t) C.int {
	return on(s, func(cuda.Stream) error { return nil })
}

//export cuStreamSynchronize
func cuStreamSynchronize(s C.uintptr_t) C.int {
	return on(s, func(cuda.Stream) error { return gpu.Sync() })
}

//export cuStreamWaitEvent
func cuStreamWaitEvent(s, e C.uintptr_t, flags C.uint) C.int {
	return on(s, func(s cuda.Stream) error { return gpu.Wait(s, cuda.Event(e)) })
}

//export cuEventCreate
func cuEventCreate(e *C.uintptr_t, flags C.uint) C.int {
	return call(func() C.int {
		event, err := gpu.NewEvent()
		handle(e, event)
		return say(err, invalidValue)
	})
}

//export cuEventRecord
func cuEventRecord(e, s C.uintptr_t) C.int {
	return on(s, func(s cuda.Stream) error { return gpu.Record(cuda.Event(e), s) })
}

//export cuEventSynchronize
func cuEventSynchronize(e C.uintptr_t) C.int {
	return call(func() C.int { return say(gpu.SyncEvent(cuda.Event(e)), invalidValue) })
}

//export cuEventElapsedTime
func cuEventElapsedTime(milliseconds *C.float, from, to C.uintptr_t) C.int {
	return call(func() C.int {
		seconds, err := gpu.Elapsed(cuda.Event(from), cuda.Event(to))
		*milliseconds = C.float(seconds * 1e3)
		return say(err, invalidValue)
	})
}

//export cuStreamBeginCapture_v2
func cuStreamBeginCapture_v2(s C.uintptr_t, mode C.int) C.int {
	return on(s, func(cuda.Stream) error { return gpu.BeginCapture() })
}

//export cuStreamEndCapture
func cuStreamEndCapture(s C.uintptr_t, g *C.uintptr_t) C.int {
	return on(s, func(cuda.Stream) error {
		graph, err := gpu.EndCapture()
		handle(g, graph)
		return err
	})
}

// A graph and what is made of it to be launched are one thing here.

//export cuGraphInstantiateWithFlags
func cuGraphInstantiateWithFlags(exec *C.uintptr_t, g C.uintptr_t, flags C.ulonglong) C.int {
	*exec = g
	return success
}

//export cuGraphDestroy
func cuGraphDestroy(g C.uintptr_t) C.int { return success }

//export cuGraphExecDestroy
func cuGraphExecDestroy(g C.uintptr_t) C.int {
	return call(func() C.int { return say(gpu.FreeGraph(cuda.Graph(g)), invalidValue) })
}

//export cuGraphLaunch
func cuGraphLaunch(g, s C.uintptr_t) C.int {
	return call(func() C.int { return fault(gpu.Replay(cuda.Graph(g))) })
}

//export cuTensorMapEncodeTiled
func cuTensorMapEncodeTiled(m unsafe.Pointer, kind C.int, rank C.uint, base C.uintptr_t, dims, strides *C.uint64_t, box, elements *C.uint32_t, interleave, swizzle, promotion, fill C.int) C.int {
	return call(func() C.int {
		types := map[C.int]cuda.Type{7: cuda.Float32, 9: cuda.BFloat16}
		t, ok := types[kind]
		if !ok || rank < 1 || rank > 5 || swizzle < 0 || swizzle > 3 || interleave != 0 || fill != 0 || uintptr(m)%64 != 0 {
			return invalidValue
		}
		d := cuda.TensorMap{Base: cuda.Ptr(base), Type: t, Swizzle: [...]int{0, 32, 64, 128}[swizzle]}
		for i := range int(rank) {
			d.Dims = append(d.Dims, int(unsafe.Slice(dims, rank)[i]))
			d.Box = append(d.Box, int(unsafe.Slice(box, rank)[i]))
			if unsafe.Slice(elements, rank)[i] != 1 {
				return invalidValue
			}
		}
		for i := range int(rank) - 1 {
			d.Strides = append(d.Strides, int(unsafe.Slice(strides, rank-1)[i]))
		}
		encoded, err := gpu.TensorMap(&d)
		copy(memory(m, 128), encoded[:])
		return say(err, invalidValue)
	})
}
