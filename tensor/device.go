package tensor

import (
	"sync"

	"github.com/godino-ml/godino/kernels"
)

// Device is where tensors live and operations run: here, the cores of this machine with one table of kernels.
type Device struct {
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

// CPU is the device that programs use when they have no reason to choose: the best kernels of this CPU (or those that GODINO_KERNELS
// names), GOMAXPROCS threads.
var CPU = sync.OnceValue(func() *Device { return NewCPU(kernels.Best(), 0) })

// Kernels is the device's table of kernels.
func (d *Device) Kernels() *kernels.Table { return d.kernels }

// Threads is how many threads the device's operations use.
func (d *Device) Threads() int { return d.pool.Threads() }

// Run calls f(chunk, worker) for chunks 0..n-1 on the device's threads; see kernels.Pool.Run.
func (d *Device) Run(n int, f func(chunk, worker int)) { d.pool.Run(n, f) }
