//go:build cuda && cgo && linux

package cuda_test

import (
	"bytes"
	"encoding/binary"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/godino-ml/godino/kernels/cuda"
)

// These tests run on whatever libcuda.so.1 this machine has: a GPU's, or internal/fakecuda.

func openDriver(t *testing.T) cuda.Driver {
	t.Helper()
	if err := cuda.Available(); err != nil {
		if os.Getenv("GODINO_CUDA_TEST") == "hardware" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	device, err := cuda.Open(0)
	if err != nil {
		t.Fatal(err)
	}
	d := device.Driver()
	t.Cleanup(func() { try(t, d.Close()) })
	return d
}

func try(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func must[T any](t *testing.T) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		try(t, err)
		return v
	}
}

// wants checks that an error says so.
func wants(t *testing.T, err error, parts ...string) {
	t.Helper()
	if err == nil {
		t.Errorf("no error; want one with %q", parts)
		return
	}
	for _, p := range parts {
		if !strings.Contains(err.Error(), p) {
			t.Errorf("error %q lacks %q", err, p)
		}
	}
}

func words(x ...uint32) []byte {
	var b []byte
	for _, w := range x {
		b = binary.LittleEndian.AppendUint32(b, w)
	}
	return b
}

func TestOpen(t *testing.T) {
	openDriver(t)
	all := must[[]cuda.Info](t)(cuda.GPUs())
	t.Log(all)
	if i := all[0]; i.Name == "" || i.Major < 8 || i.Multiprocessors < 1 || i.Memory < 1<<20 || i.SharedPerBlock < 48<<10 || !strings.Contains(i.Driver, "CUDA") {
		t.Errorf("%+v", i)
	}
	_, err := cuda.Open(len(all))
	wants(t, err, "there is no GPU", "from 0")
}

func TestDriverMemory(t *testing.T) {
	d := openDriver(t)
	const n = 1000
	a, b := must[cuda.Ptr](t)(d.Alloc(4*n)), must[cuda.Ptr](t)(d.Alloc(4*n))
	if a%256 != 0 || b%256 != 0 {
		t.Errorf("memory at %#x and %#x", a, b)
	}
	in := make([]byte, 4*n)
	for i := range in {
		in[i] = byte(i * 7)
	}
	want := slices.Clone(in)
	try(t, d.Upload(cuda.Compute, a, in))
	clear(in) // it may be used again
	try(t, d.Copy(b, a, 4*n))
	try(t, d.Fill(b+8, 0x01020304, 3))
	copy(want[8:], words(0x01020304, 0x01020304, 0x01020304))
	out := make([]byte, 4*n)
	try(t, d.Download(out, b))
	if !bytes.Equal(out, want) {
		t.Error("what came back is not what was sent")
	}

	// Page-locked memory, on both streams.
	host := must[[]byte](t)(d.HostMemory(4 * n))
	if len(host) != 4*n {
		t.Fatalf("%d bytes of host memory, asked for %d", len(host), 4*n)
	}
	copy(host, want)
	e := must[cuda.Event](t)(d.NewEvent())
	try(t, d.Upload(cuda.Copies, a, host))
	try(t, d.Record(e, cuda.Copies))
	try(t, d.Wait(cuda.Compute, e))
	try(t, d.Copy(b, a, 4*n))
	back := must[[]byte](t)(d.HostMemory(4*n + 4))
	try(t, d.DownloadLater(cuda.Compute, back[4:], b))
	try(t, d.Sync())
	if !bytes.Equal(back[4:], want) {
		t.Error("what came back by page-locked memory is not what was sent")
	}
	wants(t, d.DownloadLater(cuda.Compute, out, b), "HostMemory")
	wants(t, d.FreeHostMemory(back[4:]), "not its beginning")
	wants(t, d.FreeHostMemory(out), "not page-locked")
	try(t, d.FreeHostMemory(back))
	try(t, d.Free(a))
	wants(t, d.Free(a), "not the device's")
	_, err := d.Alloc(1 << 45)
	wants(t, err, "CUDA_ERROR_OUT_OF_MEMORY (2)", "33554432 MiB", "are free")
}

// The kernels of this test: arguments of all sizes, launch dimensions, dynamic shared memory, a bad address.
const testPTX = `.version 7.0
.target sm_80
.address_size 64
.extern .shared .align 16 .b8 room[];
.visible .entry arguments(.param .u64 out, .param .u32 a, .param .u64 b, .param .f32 c, .param .align 64 .b8 m[128])
{
	.reg .b32 %r<8>;
	.reg .b64 %rd<8>;
	ld.param.u64 %rd1, [out];
	cvta.to.global.u64 %rd1, %rd1;
	ld.param.u32 %r1, [a];
	ld.param.u64 %rd2, [b];
	ld.param.b32 %r2, [c];
	ld.param.u64 %rd3, [m];
	ld.param.u64 %rd4, [m+120];
	st.global.u32 [%rd1], %r1;
	st.global.u32 [%rd1+4], %r2;
	st.global.u64 [%rd1+8], %rd2;
	st.global.u64 [%rd1+16], %rd3;
	st.global.u64 [%rd1+24], %rd4;
	ret;
}
.visible .entry dimensions(.param .u64 out)
{
	.reg .pred %p<2>;
	.reg .b32 %r<8>;
	.reg .b64 %rd<4>;
	mov.u32 %r1, %ctaid.x;
	mov.u32 %r2, %ctaid.y;
	mov.u32 %r3, %nctaid.x;
	mad.lo.s32 %r1, %r2, %r3, %r1;
	mov.u32 %r2, %tid.x;
	mov.u32 %r4, %tid.y;
	mov.u32 %r5, %ntid.x;
	mad.lo.s32 %r2, %r4, %r5, %r2;
	mul.lo.s32 %r5, %r5, 2;
	mad.lo.s32 %r1, %r1, %r5, %r2;
	ld.param.u64 %rd1, [out];
	cvta.to.global.u64 %rd1, %rd1;
	mul.wide.s32 %rd2, %r1, 4;
	add.s64 %rd1, %rd1, %rd2;
	st.global.u32 [%rd1], %r1;
	ret;
}
.visible .entry shared(.param .u64 out, .param .u32 last)
{
	.reg .b32 %r<4>;
	.reg .b64 %rd<2>;
	ld.param.u32 %r1, [last];
	mov.u32 %r2, room;
	add.s32 %r2, %r2, %r1;
	st.shared.u32 [%r2], %r1;
	ld.shared.u32 %r3, [%r2];
	ld.param.u64 %rd1, [out];
	cvta.to.global.u64 %rd1, %rd1;
	st.global.u32 [%rd1], %r3;
	ret;
}
`

func kernel(t *testing.T, d cuda.Driver, name string, shared int) cuda.Function {
	t.Helper()
	return must[cuda.Function](t)(d.Function(must[cuda.Module](t)(d.Load([]byte(testPTX))), name, shared))
}

func TestDriverLaunch(t *testing.T) {
	d := openDriver(t)
	out := must[cuda.Ptr](t)(d.Alloc(1024))
	got := func(n int) []byte {
		b := make([]byte, n)
		try(t, d.Download(b, out))
		return b
	}

	args := binary.LittleEndian.AppendUint64(nil, uint64(out))
	args = append(args, words(0xdeadbeef, 0, 0x89abcdef, 0x01234567, 0x3f800000)...)
	args = append(args, make([]byte, 64-len(args))...)
	m := make([]byte, 128)
	for i := range m {
		m[i] = byte(i + 1)
	}
	args = append(args, m...)
	l := &cuda.Launch{Grid: cuda.Dim{X: 1}, Block: cuda.Dim{X: 1}, Args: args, Offsets: []int32{0, 8, 16, 24, 64}}
	try(t, d.Launch(kernel(t, d, "arguments", 0), l))
	clear(args) // they have been copied
	want := append(words(0xdeadbeef, 0x3f800000, 0x89abcdef, 0x01234567), slices.Concat(m[:8], m[120:])...)
	if b := got(len(want)); !bytes.Equal(b, want) {
		t.Errorf("arguments arrived as %x, want %x", b, want)
	}

	pointer := binary.LittleEndian.AppendUint64(nil, uint64(out))
	try(t, d.Launch(kernel(t, d, "dimensions", 0), &cuda.Launch{Grid: cuda.Dim{X: 3, Y: 2}, Block: cuda.Dim{X: 8, Y: 2}, Args: pointer, Offsets: []int32{0}}))
	var order []uint32
	for i := range uint32(96) {
		order = append(order, i)
	}
	if b := got(4 * 96); !bytes.Equal(b, words(order...)) {
		t.Errorf("blocks and threads numbered %x", b)
	}

	// More shared memory than kernels have without asking for it.
	most := d.Info().SharedPerBlock
	f := kernel(t, d, "shared", most)
	try(t, d.Launch(f, &cuda.Launch{Grid: cuda.Dim{X: 1}, Block: cuda.Dim{X: 1}, Shared: most, Args: append(slices.Clone(pointer), words(uint32(most-4))...), Offsets: []int32{0, 8}}))
	if b := got(4); !bytes.Equal(b, words(uint32(most-4))) {
		t.Errorf("the last word of %d bytes of shared memory: %x", most, b)
	}
	_, err := d.Function(must[cuda.Module](t)(d.Load([]byte(testPTX))), "shared", most+1024)
	wants(t, err, "bytes of shared memory", "CUDA_ERROR_INVALID_VALUE (1)")

	if d.Info().Major >= 9 {
		try(t, d.Launch(kernel(t, d, "dimensions", 0), &cuda.Launch{Grid: cuda.Dim{X: 4}, Block: cuda.Dim{X: 8}, Cluster: cuda.Dim{X: 2}, Args: pointer, Offsets: []int32{0}}))
		wants(t, d.Launch(kernel(t, d, "dimensions", 0), &cuda.Launch{Grid: cuda.Dim{X: 3}, Block: cuda.Dim{X: 8}, Cluster: cuda.Dim{X: 2}, Args: pointer, Offsets: []int32{0}}), "CUDA_ERROR_")
	}
	if a, ok := d.(interface {
		Attributes(f cuda.Function) (registers, shared, local int, err error)
	}); ok {
		_, _, local, err := a.Attributes(f)
		if err != nil || local != 0 {
			t.Errorf("local memory %d, %v", local, err)
		}
	}
}

func TestDriverGraph(t *testing.T) {
	d := openDriver(t)
	a, b := must[cuda.Ptr](t)(d.Alloc(64)), must[cuda.Ptr](t)(d.Alloc(64))
	f := kernel(t, d, "dimensions", 0)
	host := must[[]byte](t)(d.HostMemory(16))
	try(t, d.Fill(a, 0, 16))
	try(t, d.Fill(b, 0, 16))
	try(t, d.Sync())

	try(t, d.BeginCapture())
	wants(t, d.Upload(cuda.Compute, a, make([]byte, 16)), "graph", "HostMemory")
	try(t, d.Launch(f, &cuda.Launch{Grid: cuda.Dim{X: 1}, Block: cuda.Dim{X: 16}, Args: binary.LittleEndian.AppendUint64(nil, uint64(a)), Offsets: []int32{0}}))
	try(t, d.Upload(cuda.Compute, a, host))
	try(t, d.Copy(b, a, 64))
	g := must[cuda.Graph](t)(d.EndCapture())

	out := make([]byte, 64)
	try(t, d.Download(out, b))
	if !bytes.Equal(out, make([]byte, 64)) {
		t.Fatal("a graph was run while it was captured")
	}
	for _, x := range []uint32{7, 8} {
		copy(host, words(x, x, x, x))
		try(t, d.Replay(g))
		try(t, d.Download(out, b))
		want := words(x, x, x, x, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)
		if !bytes.Equal(out, want) {
			t.Errorf("a graph's run with %d: got %x, want %x", x, out, want)
		}
	}
	try(t, d.FreeGraph(g))
}

func TestDriverEvents(t *testing.T) {
	d := openDriver(t)
	p := must[cuda.Ptr](t)(d.Alloc(1 << 20))
	from, to := must[cuda.Event](t)(d.NewEvent()), must[cuda.Event](t)(d.NewEvent())
	try(t, d.Record(from, cuda.Compute))
	try(t, d.Fill(p, 1, 1<<18))
	try(t, d.Record(to, cuda.Compute))
	seconds := must[float64](t)(d.Elapsed(from, to))
	if !(seconds >= 0 && seconds < 60) {
		t.Errorf("%g seconds", seconds)
	}
	try(t, d.SyncEvent(to))
}

func TestDriverTensorMap(t *testing.T) {
	d := openDriver(t)
	if d.Info().Major < 9 {
		t.Skip("needs compute capability 9.0")
	}
	m := &cuda.TensorMap{Base: must[cuda.Ptr](t)(d.Alloc(1 << 16)), Type: cuda.BFloat16, Dims: []int{128, 200}, Strides: []int{256}, Box: []int{64, 64}, Swizzle: 128}
	a, b := must[[128]byte](t)(d.TensorMap(m)), [128]byte{}
	if a == b {
		t.Error("a tensor map of zeros")
	}
	m.Strides[0] = 200
	_, err := d.TensorMap(m)
	wants(t, err, "tensor map", "CUDA_ERROR_INVALID_VALUE (1)", "200")
	m.Strides = nil
	_, err = d.TensorMap(m)
	wants(t, err, "2 dimensions with 0 strides")
}

func TestDriverErrors(t *testing.T) {
	d := openDriver(t)
	_, err := d.Load([]byte(strings.Replace(testPTX, "ret;", "no_such_instruction.u32 %r1, %r2;", 1)))
	wants(t, err, "CUDA_ERROR_INVALID_PTX (218)", "no_such_instruction")
	_, err = d.Function(must[cuda.Module](t)(d.Load([]byte(testPTX))), "no_such_kernel", 0)
	wants(t, err, "CUDA_ERROR_NOT_FOUND (500)")
	f := kernel(t, d, "dimensions", 0)
	wants(t, d.Launch(f, &cuda.Launch{Grid: cuda.Dim{X: 1}, Block: cuda.Dim{X: 2048}, Args: make([]byte, 8), Offsets: []int32{0}}), "CUDA_ERROR_INVALID_VALUE (1)")
	try(t, d.Sync()) // none of them is the end
}

// TestDriverThreads calls from threads that have never seen the context.
func TestDriverThreads(t *testing.T) {
	d := openDriver(t)
	var mutex sync.Mutex
	var wait sync.WaitGroup
	for range 8 {
		wait.Go(func() {
			runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
			mutex.Lock()
			defer mutex.Unlock()
			p, err := d.Alloc(16)
			if err == nil {
				err = d.Fill(p, 5, 4)
			}
			out := make([]byte, 16)
			if err == nil {
				err = d.Download(out, p)
			}
			if err != nil || !bytes.Equal(out, words(5, 5, 5, 5)) {
				t.Errorf("%v, %x", err, out)
			}
		})
	}
	wait.Wait()
}

// TestDriverFault runs a kernel that writes where no memory is, in a process of its own, because no call works after that.
func TestDriverFault(t *testing.T) {
	const in = "GODINO_TEST_FAULT"
	if os.Getenv(in) == "" {
		openDriver(t)
		for _, sync := range []string{"0", "1"} {
			c := exec.Command(os.Args[0], "-test.run=^TestDriverFault$", "-test.v")
			c.Env = append(os.Environ(), in+"=1", "GODINO_CUDA_SYNC="+sync)
			if out, err := c.CombinedOutput(); err != nil || !bytes.Contains(out, []byte("as it should be")) {
				t.Errorf("GODINO_CUDA_SYNC=%s: %v\n%s", sync, err, out)
			}
		}
		return
	}
	device := must[*cuda.Device](t)(cuda.Open(0))
	device.Fill(256, cuda.Float32, 1, 64)
	if sync := os.Getenv("GODINO_CUDA_SYNC"); (device.Err() != nil) != (sync == "1") {
		t.Errorf("GODINO_CUDA_SYNC=%s, and after the launch the error is %v", sync, device.Err())
	} else if sync == "1" {
		wants(t, device.Err(), "kernel fill_f32", "CUDA_ERROR_ILLEGAL_ADDRESS (700)")
	}
	wants(t, device.Sync(), "CUDA_ERROR_ILLEGAL_ADDRESS (700)")
	device.Fill(256, cuda.Float32, 1, 64) // nothing happens any more
	if !t.Failed() {
		t.Log("as it should be")
	}
}
