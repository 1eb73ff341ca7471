package kernels

import (
	"golang.org/x/sys/cpu"
)

// nativeTables is the one place where a CPU's features choose kernels: each table starts from the one before and overrides its lines.
func nativeTables() []*Table {
	var tables []*Table
	if !(cpu.X86.HasAVX2 && cpu.X86.HasFMA) {
		return tables
	}
	t := *Reference()
	t.Name = "avx2"
	t.AttentionForward, t.AttentionBackward, t.AttentionWeights = attentionAVX2.Forward, attentionAVX2.Backward, attentionAVX2.Weights
	t.Gemm = gemmAVX2
	tables = append(tables, &t)
	if !(cpu.X86.HasAVX512F && cpu.X86.HasAVX512BW && cpu.X86.HasAVX512DQ && cpu.X86.HasAVX512VL) {
		return tables
	}
	z := t
	z.Name = "avx512"
	z.AttentionForward, z.AttentionBackward, z.AttentionWeights = attentionAVX512.Forward, attentionAVX512.Backward, attentionAVX512.Weights
	z.Gemm = gemmAVX512
	return append(tables, &z)
}
