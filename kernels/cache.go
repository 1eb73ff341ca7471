package kernels

import (
	"sync"

	"github.com/klauspost/cpuid/v2"
)

// cacheSizes are in bytes, of what one core sees.
type cacheSizes struct{ l1, l2, l3 int }

// caches are the CPU's cache sizes, or those of a small CPU where they are unknown or nonsense, as on some virtual machines.
var caches = sync.OnceValue(func() cacheSizes {
	c := cpuid.CPU.Cache
	return cacheSizes{
		l1: plausible(c.L1D, 16<<10, 1<<20, 32<<10),
		l2: plausible(c.L2, 128<<10, 64<<20, 512<<10),
		l3: plausible(c.L3, 1<<20, 2<<30, 4<<20),
	}
})

func plausible(size, least, most, otherwise int) int {
	if size < least || size > most {
		return otherwise
	}
	return size
}
