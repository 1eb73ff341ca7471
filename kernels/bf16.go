package kernels

import "fmt"

// WithBF16 is the table with bf16 of plain Go where it has none: the meaning of it, for tests on any CPU. No table has it by itself, since
// without the CPU's instructions float32 is faster.
func WithBF16(t *Table) *Table {
	if t.GemmBF16 != nil {
		return t
	}
	with := *t
	with.GemmBF16, with.AttentionForwardBF16, with.AttentionBackwardBF16 = &referenceGemmBF16, attentionBF16.forward, attentionBF16.backward
	return &with
}

// WhyNoBF16 says why a table has no products in bf16: nothing if it has.
func WhyNoBF16(t *Table) string {
	if t.GemmBF16 != nil {
		return ""
	}
	for _, other := range Tables() {
		if other.GemmBF16 != nil {
			return fmt.Sprintf("the %s kernels: only those of %s have it (GODINO_KERNELS chooses)", t.Name, other.Name)
		}
	}
	return "this CPU: it needs AVX512_BF16 (Intel Cooper Lake and Sapphire Rapids, AMD Zen 4, and later)"
}
