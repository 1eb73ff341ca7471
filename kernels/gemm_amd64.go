package kernels

import (
	"github.com/godino-ml/godino/kernels/avx2"
	"github.com/godino-ml/godino/kernels/avx512"
)

// A panel of B, KC×NR, takes three quarters of a first-level cache of 32 KiB on AVX-512, half of it on AVX2.
var (
	gemmAVX2 = GemmKernel{
		MR: 6, NR: 16, KC: 256,
		Direct:      true,
		Panel:       avx2.GemmPanel,
		PackRows:    avx2.GemmPackRows,
		PackColumns: avx2.GemmPackColumns,
		Peak:        avx2.Peak,
		PeakFLOP:    12 * 8 * 2,
	}
	gemmAVX512 = GemmKernel{
		MR: 14, NR: 32, KC: 384,
		Direct:      true,
		Panel:       avx512.GemmPanel,
		PackRows:    avx512.GemmPackRows,
		PackColumns: avx512.GemmPackColumns,
		Peak:        avx512.Peak,
		PeakFLOP:    12 * 16 * 2,
	}
)
