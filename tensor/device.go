package tensor

import (
	"sync"

	"github.com/godino-ml/godino/kernels"
	"github.com/godino-ml/godino/kernels/cuda"
)

// Device is where tensors live and operations run: the cores of this machine with one table of kernels, or a GPU.
type Device struct {
	gpu   *cuda.Device // nil for a CPU
	trash *trash       // of the GPU

	kernels   *kernels.Table
	pool      *kernels.Pool
	precision Precision

	scratchMem scratchPool
	gemms      gemmRuns
	ranges     idle[rangeRun]
	lists      idle[listRun]
}

// NewCPU makes a device of its own from a table of kernels and a number of threads (0: GOMAXPROCS).
func NewCPU(table *kernels.Table, threads int) *Device {
	return &Device{kernels: table, pool: kernels.NewPool(threads)}
}

// NewGPU makes a device of a GPU. It is used by one goroutine at a time. What the program does on the CPU beside it, the device's Host does.
func NewGPU(g *cuda.Device) *Device {
	host := CPU()
	d := &Device{gpu: g, trash: &trash{}, kernels: host.kernels, pool: host.pool}
	g.Reclaim = func() { d.trash.reclaim(g) }
	return d
}

// CPU is the device that programs use when they have no reason to choose: the best kernels of this CPU (or those that GODINO_KERNELS
// names), GOMAXPROCS threads.
var CPU = sync.OnceValue(func() *Device { return NewCPU(kernels.Best(), 0) })

// GPU is the device's GPU, nil if it is a CPU.
func (d *Device) GPU() *cuda.Device { return d.gpu }

// Host is the CPU beside a GPU, and a CPU itself.
func (d *Device) Host() *Device {
	if d.gpu != nil {
		return CPU()
	}
	return d
}

// Err is the first error of a GPU, after which nothing has been done on it; a CPU has none.
func (d *Device) Err() error {
	if d.gpu != nil {
		return d.gpu.Err()
	}
	return nil
}

// Kernels is the CPU's table of kernels.
func (d *Device) Kernels() *kernels.Table { return d.kernels }

// Threads is how many threads the operations of the CPU use.
func (d *Device) Threads() int { return d.pool.Threads() }

// Run calls f(chunk, worker) for chunks 0..n-1 on the device's threads; see kernels.Pool.Run.
func (d *Device) Run(n int, f func(chunk, worker int)) {
	if d.gpu != nil {
		panic(noKernel())
	}
	d.pool.Run(n, f)
}
