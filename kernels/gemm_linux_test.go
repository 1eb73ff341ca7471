package kernels

import (
	"math/rand/v2"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// TestGemmStaysInside runs products whose matrices end where memory ends: reading or writing a single element beyond is a fault.
func TestGemmStaysInside(t *testing.T) {
	const size = 1 << 16
	page := unix.Getpagesize()
	var ends [3][]float32 // of size bytes, a page that may not be touched after each
	for i := range ends {
		m, err := unix.Mmap(-1, 0, size+page, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { unix.Munmap(m) })
		if err := unix.Mprotect(m[size:], unix.PROT_NONE); err != nil {
			t.Fatal(err)
		}
		ends[i] = unsafe.Slice((*float32)(unsafe.Pointer(&m[0])), size/4)
	}
	last := func(i, n int) []float32 { return ends[i][size/4-n:] }
	r := rand.New(rand.NewPCG(12, 13))
	for _, table := range gemmTables() {
		for range 500 {
			m, n, k := 1+r.IntN(5*table.Gemm.MR), 1+r.IntN(5*table.Gemm.NR), 1+r.IntN(40)
			transA, transB := r.IntN(2) == 0, r.IntN(2) == 0
			lda, ldb := k, n
			if transA {
				lda = m
			}
			if transB {
				ldb = k
			}
			a, b, c := last(0, m*k), last(1, k*n), last(2, m*n)
			for i := range a {
				a[i] = 1
			}
			for i := range b {
				b[i] = 1
			}
			multiply(table, transA, transB, m, n, k, 1, a, lda, b, ldb, float32(r.IntN(2)), c, n)
		}
	}
}
