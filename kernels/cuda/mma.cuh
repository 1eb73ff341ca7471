// Tensor cores and asynchronous copies, as GPUs of compute capability 8.0 have them.
//
// Fragments of a warp, with g = lane/4 and t = lane%4 (PTX ISA, "Matrix fragments for mma.m16n8k16"); a word holds two bf16, the lower column or row first:
//   A 16×16, rows × k     a[0] (g, 2t)  a[1] (g+8, 2t)  a[2] (g, 2t+8)  a[3] (g+8, 2t+8)
//   B 16×8,  k × columns  b[0] (2t, g)  b[1] (2t+8, g)
//   C 16×8                c[0], c[1] (g, 2t), (g, 2t+1)  c[2], c[3] the same of row g+8
// so that two neighbouring tiles of C, rounded, are a tile of A.
#pragma once
#include "common.cuh"

// mma is c += a·b of a 16×16 by a 16×8 matrix of bf16, in float32.
INLINE void mma(float (&c)[4], const u32 (&a)[4], u32 b0, u32 b1) {
    asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

// ldmatrix reads four 8×8 matrices of bf16 from shared memory: lane 8i+j gives the address of row j of matrix i, aligned to 16 bytes, and gets of each
// matrix the word (g, 2t). The transposed form gives it the words of the transposed matrices.
INLINE void ldmatrix(u32 *r, u32 address) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(address)
                 : "memory");
}
INLINE void ldmatrix_transposed(u32 *r, u32 address) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(address)
                 : "memory");
}

// copy_async starts a copy of 16 bytes (or 4) to shared memory, of the first so many, or none, and zeros behind them: what is not copied is not read.
INLINE void copy_async16(u32 to, const void *from) { asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(to), "l"(from) : "memory"); }
INLINE void copy_async16(u32 to, const void *from, int bytes) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(from), "r"(bytes) : "memory");
}
INLINE void copy_async4(u32 to, const void *from, bool there) {
    asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;" ::"r"(to), "l"(from), "r"(there ? 4 : 0) : "memory");
}
// commit_copies makes a group of the copies that this thread has started; wait_copies waits until all but its latest n groups have arrived.
INLINE void commit_copies() { asm volatile("cp.async.commit_group;" ::: "memory"); }
template <int n> INLINE void wait_copies() { asm volatile("cp.async.wait_group %0;" ::"n"(n) : "memory"); }
