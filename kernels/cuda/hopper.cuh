// What kernels for sm_90a share: mbarriers, copies by TMA, products of warp groups (wgmma), clusters.
//
// A ring of stages in shared memory goes through TMA (the asynchronous proxy) and wgmma alone, so that no proxy fence is needed in it: full barriers say that
// the bytes of a stage have arrived, empty barriers that the products that read it are done.
#pragma once
#include "common.cuh"

// A CUtensorMap. A kernel must use the one in its parameters, never a copy (which would lie in local memory, where TMA cannot read it), and clang has no
// __grid_constant__: PARAMETER takes the address of the kernel's parameter of that number.
struct alignas(64) tensor_map {
    u64 words[16];
};
#define PARAMETER(pointer, kernel, number) asm("{ .reg .u64 t; mov.b64 t, " #kernel "_param_" #number "; cvta.param.u64 %0, t; }" : "=l"(pointer))

// Barriers. Addresses are those of shared_address.
INLINE void barrier_init(u32 barrier, int arrivals) { asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(barrier), "r"(arrivals) : "memory"); }
// Makes the initialization visible to TMA and to the cluster; a barrier of all threads follows.
INLINE void barrier_init_done() { asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory"); }
// One arrival, and that many bytes more to wait for.
INLINE void barrier_expect(u32 barrier, int bytes) {
    asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(barrier), "r"(bytes) : "memory");
}
INLINE void barrier_arrive(u32 barrier) { asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(barrier) : "memory"); }
// Arrival at the same barrier of another block of the cluster, to say that products that read a stage are done (wgmma_wait has said so). Nothing that the thread
// has written is told: .release.cluster would be a MEMBAR.GPU, which in every stage waits for the tile that is on its way to memory. CUTLASS does the same.
INLINE void barrier_arrive(u32 barrier, int block) {
    asm volatile("{ .reg .b32 a; mapa.shared::cluster.u32 a, %0, %1; mbarrier.arrive.shared::cluster.b64 _, [a]; }" ::"r"(barrier), "r"(block) : "memory");
}
// Waits for the end of the phase of that parity: 0, 1, 0, … from the barrier's initialization on.
INLINE void barrier_wait(u32 barrier, int parity) {
    int done;
    do {
        asm volatile("{ .reg .pred p; mbarrier.try_wait.parity.shared::cta.b64 p, [%1], %2; selp.b32 %0, 1, 0, p; }" : "=r"(done) : "r"(barrier), "r"(parity) : "memory");
    } while (!done);
}

INLINE void warp_sync() { asm volatile("bar.warp.sync 0xffffffff;" ::: "memory"); }

// Clusters.
INLINE int cluster_rank() {
    int r;
    asm volatile("mov.u32 %0, %%cluster_ctarank;" : "=r"(r));
    return r;
}
INLINE int cluster_size() {
    int r;
    asm volatile("mov.u32 %0, %%cluster_nctarank;" : "=r"(r));
    return r;
}
// Which of how many clusters of the grid, along x, of one or two blocks. %clusterid is for launches that ask for clusters; and these are read again, not kept in
// registers, of which a producer has few.
INLINE int cluster_index() {
    int r;
    asm volatile("mov.u32 %0, %%ctaid.x;" : "=r"(r));
    return r >> (cluster_size() - 1);
}
INLINE int cluster_count() {
    int r;
    asm volatile("mov.u32 %0, %%nctaid.x;" : "=r"(r));
    return r >> (cluster_size() - 1);
}
INLINE void cluster_sync() { asm volatile("barrier.cluster.arrive.release;\nbarrier.cluster.wait.acquire;" ::: "memory"); }

// TMA: a box of a matrix to shared memory, whose arrival the barrier counts in bytes. x is the element in a row, y the row.
INLINE void tma_prefetch(const void *map) { asm volatile("prefetch.tensormap [%0];" ::"l"(map) : "memory"); }
INLINE void tma_load(u32 destination, const void *map, u32 barrier, int x, int y) {
    asm volatile("cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%0], [%1, {%3, %4}], [%2];" ::"r"(destination), "l"(map),
                 "r"(barrier), "r"(x), "r"(y)
                 : "memory");
}
// The same, to the same place in all blocks of the cluster that blocks has a bit for, and at the barrier of each.
INLINE void tma_load(u32 destination, const void *map, u32 barrier, int x, int y, int blocks) {
    asm volatile("cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes.multicast::cluster [%0], [%1, {%3, %4}], [%2], %5;" ::"r"(
                     destination),
                 "l"(map), "r"(barrier), "r"(x), "r"(y), "h"((u16)blocks)
                 : "memory");
}

// Registers of a warp group, from where all its warps say so: multiples of 8, whose sum over the block must fit the registers it was launched with.
#define REGISTERS_FEWER(n) asm volatile("setmaxnreg.dec.sync.aligned.u32 " #n ";")
#define REGISTERS_MORE(n) asm volatile("setmaxnreg.inc.sync.aligned.u32 " #n ";")

// Products of a warp group, D (64×N, float32) += A (64×16, bf16)·B (16×N, bf16), A and B in shared memory. They run asynchronously: D belongs to them from fence
// to wait, A and B from the call to wait.
INLINE void wgmma_fence() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
INLINE void wgmma_commit() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }
// Until all but the last n groups are done.
template <int n> INLINE void wgmma_wait() { asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(n) : "memory"); }

// A matrix descriptor of a tile in the layout that TMA writes with the 128-byte swizzle: rows of 128 bytes, whose 16-byte parts are at part XOR (row mod 8);
// tiles begin at multiples of 1024 bytes. (PTX ISA, matrix descriptor of wgmma; the same numbers as CUTLASS's make_gmma_desc.)
//
// K-major (terms of the sum contiguous, 64 of them in a row; a row is a row of A or a column of B): stride is from 8 rows to the next 8, leading unused;
// 16 terms further is 32 bytes.
// MN-major (rows of A, or columns of B, contiguous, 64 of them in a row; a row is a term): stride is from 8 terms to the next 8, leading from 64 rows
// to the next 64; 16 terms further is 2048 bytes.
INLINE u64 descriptor(u32 address, int leading) {
    return (u64)1 << 62 | (u64)(1024 >> 4) << 32 | (u64)(leading >> 4) << 16 | (address & 0x3ffff) >> 4;
}
// The descriptor of what lies that many bytes further.
INLINE u64 further(u64 descriptor, int bytes) { return (descriptor >> 32) << 32 | ((u32)descriptor + (bytes >> 4)); }

// wgmma<TA, TB>: with TA or TB that operand is MN-major.
// clang-format off
template <int TA, int TB> INLINE void wgmma(float (&d)[4], u64 a, u64 b) {
    asm volatile("{ .reg .pred p; setp.eq.u32 p, 0, 0; wgmma.mma_async.sync.aligned.m64n8k16.f32.bf16.bf16 {"
        "%0,%1,%2,%3"
        "}, %4, %5, p, 1, 1, %6, %7; }"
        :
        "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "l"(a), "l"(b), "n"(TA), "n"(TB));
}
template <int TA, int TB> INLINE void wgmma(float (&d)[64], u64 a, u64 b) {
    asm volatile("{ .reg .pred p; setp.eq.u32 p, 0, 0; wgmma.mma_async.sync.aligned.m64n128k16.f32.bf16.bf16 {"
        "%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15,%16,%17,%18,%19,%20,%21,%22,%23,%24,%25,%26,%27,%28,%29,%30,%31,"
        "%32,%33,%34,%35,%36,%37,%38,%39,%40,%41,%42,%43,%44,%45,%46,%47,%48,%49,%50,%51,%52,%53,%54,%55,%56,%57,%58,%59,%60,%61,%62,%63"
        "}, %64, %65, p, 1, 1, %66, %67; }"
        :
        "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3]), "+f"(d[4]), "+f"(d[5]), "+f"(d[6]), "+f"(d[7]),
        "+f"(d[8]), "+f"(d[9]), "+f"(d[10]), "+f"(d[11]), "+f"(d[12]), "+f"(d[13]), "+f"(d[14]), "+f"(d[15]),
        "+f"(d[16]), "+f"(d[17]), "+f"(d[18]), "+f"(d[19]), "+f"(d[20]), "+f"(d[21]), "+f"(d[22]), "+f"(d[23]),
        "+f"(d[24]), "+f"(d[25]), "+f"(d[26]), "+f"(d[27]), "+f"(d[28]), "+f"(d[29]), "+f"(d[30]), "+f"(d[31]),
        "+f"(d[32]), "+f"(d[33]), "+f"(d[34]), "+f"(d[35]), "+f"(d[36]), "+f"(d[37]), "+f"(d[38]), "+f"(d[39]),
        "+f"(d[40]), "+f"(d[41]), "+f"(d[42]), "+f"(d[43]), "+f"(d[44]), "+f"(d[45]), "+f"(d[46]), "+f"(d[47]),
        "+f"(d[48]), "+f"(d[49]), "+f"(d[50]), "+f"(d[51]), "+f"(d[52]), "+f"(d[53]), "+f"(d[54]), "+f"(d[55]),
        "+f"(d[56]), "+f"(d[57]), "+f"(d[58]), "+f"(d[59]), "+f"(d[60]), "+f"(d[61]), "+f"(d[62]), "+f"(d[63])
        : "l"(a), "l"(b), "n"(TA), "n"(TB));
}
template <int TA, int TB> INLINE void wgmma(float (&d)[96], u64 a, u64 b) {
    asm volatile("{ .reg .pred p; setp.eq.u32 p, 0, 0; wgmma.mma_async.sync.aligned.m64n192k16.f32.bf16.bf16 {"
        "%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15,%16,%17,%18,%19,%20,%21,%22,%23,%24,%25,%26,%27,%28,%29,%30,%31,"
        "%32,%33,%34,%35,%36,%37,%38,%39,%40,%41,%42,%43,%44,%45,%46,%47,%48,%49,%50,%51,%52,%53,%54,%55,%56,%57,%58,%59,%60,%61,%62,%63,"
        "%64,%65,%66,%67,%68,%69,%70,%71,%72,%73,%74,%75,%76,%77,%78,%79,%80,%81,%82,%83,%84,%85,%86,%87,%88,%89,%90,%91,%92,%93,%94,%95"
        "}, %96, %97, p, 1, 1, %98, %99; }"
        :
        "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3]), "+f"(d[4]), "+f"(d[5]), "+f"(d[6]), "+f"(d[7]),
        "+f"(d[8]), "+f"(d[9]), "+f"(d[10]), "+f"(d[11]), "+f"(d[12]), "+f"(d[13]), "+f"(d[14]), "+f"(d[15]),
        "+f"(d[16]), "+f"(d[17]), "+f"(d[18]), "+f"(d[19]), "+f"(d[20]), "+f"(d[21]), "+f"(d[22]), "+f"(d[23]),
        "+f"(d[24]), "+f"(d[25]), "+f"(d[26]), "+f"(d[27]), "+f"(d[28]), "+f"(d[29]), "+f"(d[30]), "+f"(d[31]),
        "+f"(d[32]), "+f"(d[33]), "+f"(d[34]), "+f"(d[35]), "+f"(d[36]), "+f"(d[37]), "+f"(d[38]), "+f"(d[39]),
        "+f"(d[40]), "+f"(d[41]), "+f"(d[42]), "+f"(d[43]), "+f"(d[44]), "+f"(d[45]), "+f"(d[46]), "+f"(d[47]),
        "+f"(d[48]), "+f"(d[49]), "+f"(d[50]), "+f"(d[51]), "+f"(d[52]), "+f"(d[53]), "+f"(d[54]), "+f"(d[55]),
        "+f"(d[56]), "+f"(d[57]), "+f"(d[58]), "+f"(d[59]), "+f"(d[60]), "+f"(d[61]), "+f"(d[62]), "+f"(d[63]),
        "+f"(d[64]), "+f"(d[65]), "+f"(d[66]), "+f"(d[67]), "+f"(d[68]), "+f"(d[69]), "+f"(d[70]), "+f"(d[71]),
        "+f"(d[72]), "+f"(d[73]), "+f"(d[74]), "+f"(d[75]), "+f"(d[76]), "+f"(d[77]), "+f"(d[78]), "+f"(d[79]),
        "+f"(d[80]), "+f"(d[81]), "+f"(d[82]), "+f"(d[83]), "+f"(d[84]), "+f"(d[85]), "+f"(d[86]), "+f"(d[87]),
        "+f"(d[88]), "+f"(d[89]), "+f"(d[90]), "+f"(d[91]), "+f"(d[92]), "+f"(d[93]), "+f"(d[94]), "+f"(d[95])
        : "l"(a), "l"(b), "n"(TA), "n"(TB));
}
// clang-format on
