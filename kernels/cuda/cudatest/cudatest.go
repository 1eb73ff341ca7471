// Package cudatest gives tests a GPU: an interpreter of PTX, which is on every machine and stricter than hardware, or the hardware with
// GODINO_CUDA_TEST=hardware.
package cudatest

import (
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"sync"
	"testing"

	"github.com/godino-ml/godino/kernels/cuda"
	"github.com/godino-ml/godino/kernels/cuda/internal/ptx"
)

// Hardware says that tests run on the GPU of the machine.
func Hardware() bool { return os.Getenv("GODINO_CUDA_TEST") == "hardware" }

// Option chooses something of a device; the hardware has no choice.
type Option func(*options)

type options struct {
	modes        ptx.Modes
	major, minor int
}

// Lazy makes asynchronous copies land when they are waited for, and not at once.
func Lazy() Option { return func(o *options) { o.modes.Lazy = true } }

// Reverse runs the last warp of a block first.
func Reverse() Option { return func(o *options) { o.modes.Reverse = true } }

// Capability is the device's compute capability; 8.0 if nobody says otherwise.
func Capability(major, minor int) Option { return func(o *options) { o.major, o.minor = major, minor } }

// New is a device that lives as long as the test. The test fails if the device has met an error when the test ends, unless the test has asked for it by
// ExpectError.
func New(tb testing.TB, opts ...Option) *cuda.Device {
	tb.Helper()
	if Hardware() {
		d, err := cuda.Open(0)
		if err != nil {
			tb.Fatalf("GODINO_CUDA_TEST=hardware: %v", err)
		}
		watch(tb, d)
		return d
	}
	o := options{major: 8}
	for _, f := range opts {
		f(&o)
	}
	driver := ptx.New(o.modes, o.major, o.minor)
	driver.Edit = mutation()
	d := cuda.NewDevice(driver)
	watch(tb, d)
	return d
}

var tests, expected sync.Map // of *cuda.Device: its test, and whether an error is expected

func watch(tb testing.TB, d *cuda.Device) {
	tests.Store(d, tb)
	tb.Cleanup(func() {
		tests.Delete(d)
		err := d.Sync()
		if _, ok := expected.LoadAndDelete(d); err != nil && !ok && !tb.Failed() {
			tb.Errorf("the device met an error: %v", err)
		}
		d.Driver().Close()
	})
}

// ExpectError is the error of a device that a test has provoked.
func ExpectError(d *cuda.Device) error {
	expected.Store(d, true)
	return d.Sync()
}

// Modes runs a test on devices of every mode of the interpreter: asynchronous copies eager and lazy, warps forward and in reverse; once on the hardware.
func Modes(t *testing.T, test func(t *testing.T, d *cuda.Device), opts ...Option) {
	if Hardware() {
		t.Run("hardware", func(t *testing.T) { test(t, New(t)) })
		return
	}
	for _, m := range []struct {
		name string
		opts []Option
	}{
		{"eager", nil},
		{"eager reverse", []Option{Reverse()}},
		{"lazy", []Option{Lazy()}},
		{"lazy reverse", []Option{Lazy(), Reverse()}},
	} {
		t.Run(m.name, func(t *testing.T) { test(t, New(t, append(m.opts, opts...)...)) })
	}
}

// Launches is how often each kernel was interpreted in this process.
func Launches() map[string]int { return ptx.Launches() }

// LaunchesOf is how often each kernel of a file of PTX was interpreted in this process.
func LaunchesOf(file string) (map[string]int, error) {
	text, err := cuda.PTX(file)
	if err != nil {
		return nil, err
	}
	return ptx.LaunchesOf(text)
}

// Uncovered lists what no launch in this process has done of a file of PTX, by line: instructions, branches taken and not taken.
func Uncovered(file string) ([]string, error) {
	text, err := cuda.PTX(file)
	if err != nil {
		return nil, err
	}
	return ptx.Uncovered(text)
}

// Put copies values to new memory as elements of type t; to bf16 they are rounded to nearest, ties to even.
func Put(d *cuda.Device, t cuda.Type, x []float32) cuda.Ptr {
	b := make([]byte, 0, len(x)*t.Size())
	for _, v := range x {
		if t == cuda.BFloat16 {
			b = binary.LittleEndian.AppendUint16(b, bf16(v))
		} else {
			b = binary.LittleEndian.AppendUint32(b, math.Float32bits(v))
		}
	}
	return PutBytes(d, b)
}

// PutInts copies 32-bit integers to new memory.
func PutInts(d *cuda.Device, x []int32) cuda.Ptr {
	b := make([]byte, 0, 4*len(x))
	for _, v := range x {
		b = binary.LittleEndian.AppendUint32(b, uint32(v))
	}
	return PutBytes(d, b)
}

// PutBytes copies bytes to new memory.
func PutBytes(d *cuda.Device, b []byte) cuda.Ptr {
	p := d.Alloc(len(b))
	d.Upload(p, b)
	return p
}

// Get copies n elements of type t from the device.
func Get(d *cuda.Device, p cuda.Ptr, t cuda.Type, n int) []float32 {
	b := GetBytes(d, p, n*t.Size())
	x := make([]float32, n)
	for i := range x {
		if t == cuda.BFloat16 {
			x[i] = math.Float32frombits(uint32(binary.LittleEndian.Uint16(b[2*i:])) << 16)
		} else {
			x[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
		}
	}
	return x
}

// GetInts copies n 32-bit integers from the device.
func GetInts(d *cuda.Device, p cuda.Ptr, n int) []int32 {
	b := GetBytes(d, p, 4*n)
	x := make([]int32, n)
	for i := range x {
		x[i] = int32(binary.LittleEndian.Uint32(b[4*i:]))
	}
	return x
}

// GetBytes copies n bytes from the device. It ends the device's test if the device has met an error.
func GetBytes(d *cuda.Device, p cuda.Ptr, n int) []byte {
	b := make([]byte, n)
	d.Download(b, p)
	if err := d.Err(); err != nil {
		tb, ok := tests.Load(d)
		if !ok {
			panic(fmt.Sprintf("cudatest: %v", err))
		}
		tb.(testing.TB).Helper()
		tb.(testing.TB).Fatalf("the device met an error: %v", err)
	}
	return b
}

// Round is x as elements of type t have it.
func Round(t cuda.Type, x []float32) []float32 {
	r := make([]float32, len(x))
	for i, v := range x {
		r[i] = v
		if t == cuda.BFloat16 {
			r[i] = math.Float32frombits(uint32(bf16(v)) << 16)
		}
	}
	return r
}

func bf16(x float32) uint16 {
	u := math.Float32bits(x)
	if u&0x7fffffff > 0x7f800000 {
		return 0x7fff
	}
	return uint16((u + 0x7fff + u>>16&1) >> 16)
}
