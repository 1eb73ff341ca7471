// What github.com/mumax/3/cuda/cu lacks, or would do with an allocation a call. Handles are the driver's own, as cu's are.
//
// A CUDA context is current to an OS thread, and goroutines change theirs: every function takes the context and makes it current where it is not.
#pragma once

#include <cuda.h>

CUresult shim_current(CUcontext ctx);

// shim_open retains the device's primary context, which other libraries of the process share, and makes two streams that do not wait for the default one.
// The context is never given back: threads remember it, and modules stay in it.
CUresult shim_open(CUdevice dev, CUcontext *ctx, CUstream streams[2]);
CUresult shim_close(CUcontext ctx, CUstream streams[2]);

// log holds what the compiler said where the result is an error.
CUresult shim_load(CUcontext ctx, const char *ptx, CUmodule *module, char *log, unsigned log_bytes);
// shim_shared allows more than 48 KiB of dynamic shared memory a block.
CUresult shim_shared(CUcontext ctx, CUfunction f, int bytes);

// shim_launch copies the arguments, which begin at the offsets of args, before it returns; cluster[0] is 0 for no clusters.
CUresult shim_launch(CUcontext ctx, CUstream s, CUfunction f, const unsigned grid[3], const unsigned block[3], const unsigned cluster[3], unsigned shared,
                     void *args, const int *offsets, int count);

CUresult shim_upload(CUcontext ctx, CUstream s, CUdeviceptr dst, const void *src, size_t bytes);
CUresult shim_download(CUcontext ctx, CUstream s, void *dst, CUdeviceptr src, size_t bytes);
CUresult shim_copy(CUcontext ctx, CUstream s, CUdeviceptr dst, CUdeviceptr src, size_t bytes);
CUresult shim_fill(CUcontext ctx, CUstream s, CUdeviceptr dst, unsigned word, size_t words);
CUresult shim_wait(CUcontext ctx, CUstream s);

CUresult shim_event(CUcontext ctx, CUevent *e);
CUresult shim_record(CUcontext ctx, CUevent e, CUstream s);
CUresult shim_wait_event(CUcontext ctx, CUstream s, CUevent e);
CUresult shim_sync_event(CUcontext ctx, CUevent e);
CUresult shim_elapsed(CUcontext ctx, CUevent from, CUevent to, float *milliseconds);

CUresult shim_begin_capture(CUcontext ctx, CUstream s);
CUresult shim_end_capture(CUcontext ctx, CUstream s, CUgraphExec *g);
CUresult shim_replay(CUcontext ctx, CUgraphExec g, CUstream s);
CUresult shim_free_graph(CUcontext ctx, CUgraphExec g);

// bf16 says whether elements are bf16 or float32; swizzle is in bytes.
CUresult shim_tensor_map(CUcontext ctx, void *map, int bf16, unsigned rank, CUdeviceptr base, const uint64_t *dims, const uint64_t *strides,
                         const uint32_t *box, int swizzle);
