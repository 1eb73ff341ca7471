package kernels

import (
	"github.com/godino-ml/godino/kernels/avx2"
	"github.com/godino-ml/godino/kernels/avx512"
)

// KC is where longer sums in registers gained no more, on Zen 4: a panel of B then comes from the second-level cache, fast enough.
var (
	gemmAVX2 = GemmKernel{
		MR: 6, NR: 16, KC: 384, Terms: 1,
		Direct:      true,
		Shallow:     true,
		Panel:       avx2.GemmPanel,
		PackRows:    avx2.GemmPackRows,
		PackColumns: avx2.GemmPackColumns,
		SumRows:     avx2.GemmSumRows,
		Peak:        avx2.Peak,
		PeakFLOP:    12 * 8 * 2,
	}
	gemmAVX512BF16 = GemmKernel{
		MR: 14, NR: 32, Narrow: 8, KC: 768, Terms: 2,
		Panel:       avx512.GemmBF16Panel,
		PackRows:    panelByPanel(avx512.GemmBF16PackRows),
		PackColumns: avx512.GemmBF16PackColumns,
		SumRows:     avx512.GemmBF16SumRows,
		Peak:        avx512.GemmBF16Peak,
		PeakFLOP:    24 * 32 * 2,
	}
	gemmAVX512 = GemmKernel{
		MR: 14, NR: 32, Narrow: 8, KC: 512, Terms: 1,
		Direct:      true,
		Panel:       avx512.GemmPanel,
		PackRows:    avx512.GemmPackRows,
		PackColumns: avx512.GemmPackColumns,
		SumRows:     avx512.GemmSumRows,
		Peak:        avx512.Peak,
		PeakFLOP:    12 * 16 * 2,
	}
)
