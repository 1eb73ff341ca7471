package main

import (
	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/reg"
)

// ISA is an instruction set that kernels are written for.
type ISA struct {
	Package string // the Go package of its kernels
	Bytes   int    // of a vector register
}

var (
	AVX2   = ISA{"avx2", 32}
	AVX512 = ISA{"avx512", 64}
)

// Lanes is how many float32 a register holds.
func (i ISA) Lanes() int { return i.Bytes / 4 }

// Vec is a new vector register.
func (i ISA) Vec(c *build.Context) reg.VecVirtual {
	if i.Bytes == 64 {
		return c.ZMM()
	}
	return c.YMM()
}
