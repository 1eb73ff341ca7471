//go:build cuda && linux

#include "shim.h"

#include <string.h>

CUresult shim_current(CUcontext ctx) {
    static _Thread_local CUcontext current;
    if (current == ctx) return CUDA_SUCCESS;
    CUresult r = cuCtxSetCurrent(ctx);
    if (r == CUDA_SUCCESS) current = ctx;
    return r;
}

#define TRY(call)                          \
    do {                                   \
        CUresult r_ = (call);              \
        if (r_ != CUDA_SUCCESS) return r_; \
    } while (0)

CUresult shim_open(CUdevice dev, CUcontext *ctx, CUstream streams[2]) {
    // Who waits sleeps, because the cores have pictures to decode. A context that is in use keeps the flags it has.
    cuDevicePrimaryCtxSetFlags(dev, CU_CTX_SCHED_BLOCKING_SYNC);
    TRY(cuDevicePrimaryCtxRetain(ctx, dev));
    TRY(shim_current(*ctx));
    TRY(cuStreamCreate(&streams[0], CU_STREAM_NON_BLOCKING));
    return cuStreamCreate(&streams[1], CU_STREAM_NON_BLOCKING);
}

CUresult shim_close(CUcontext ctx, CUstream streams[2]) {
    TRY(shim_current(ctx));
    TRY(cuStreamDestroy(streams[0]));
    return cuStreamDestroy(streams[1]);
}

CUresult shim_load(CUcontext ctx, const char *ptx, CUmodule *module, char *log, unsigned log_bytes) {
    TRY(shim_current(ctx));
    CUjit_option options[] = {CU_JIT_ERROR_LOG_BUFFER, CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES};
    void *values[] = {log, (void *)(size_t)log_bytes};
    return cuModuleLoadDataEx(module, ptx, 2, options, values);
}

CUresult shim_shared(CUcontext ctx, CUfunction f, int bytes) {
    TRY(shim_current(ctx));
    return cuFuncSetAttribute(f, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, bytes);
}

CUresult shim_launch(CUcontext ctx, CUstream s, CUfunction f, const unsigned grid[3], const unsigned block[3], const unsigned cluster[3], unsigned shared,
                     void *args, const int *offsets, int count) {
    TRY(shim_current(ctx));
    // One by one, not as a buffer (CU_LAUNCH_PARAM_BUFFER_POINTER): the assembler decides where parameters lie. Those of a kernel whose first is a tensor map begin
    // 48 bytes in, so that it is aligned (EIATTR_KPARAM_INFO of the code for sm_90).
    void *parameters[64];
    if (count > (int)(sizeof parameters / sizeof *parameters)) return CUDA_ERROR_INVALID_VALUE;
    for (int i = 0; i < count; i++) parameters[i] = (char *)args + offsets[i];
    if (cluster[0] == 0) return cuLaunchKernel(f, grid[0], grid[1], grid[2], block[0], block[1], block[2], shared, s, parameters, 0);
    CUlaunchAttribute attribute = {.id = CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION, .value.clusterDim = {cluster[0], cluster[1], cluster[2]}};
    CUlaunchConfig config = {grid[0], grid[1], grid[2], block[0], block[1], block[2], shared, s, &attribute, 1};
    return cuLaunchKernelEx(&config, f, parameters, 0);
}

CUresult shim_upload(CUcontext ctx, CUstream s, CUdeviceptr dst, const void *src, size_t bytes) {
    TRY(shim_current(ctx));
    return cuMemcpyHtoDAsync(dst, src, bytes, s);
}

CUresult shim_download(CUcontext ctx, CUstream s, void *dst, CUdeviceptr src, size_t bytes) {
    TRY(shim_current(ctx));
    return cuMemcpyDtoHAsync(dst, src, bytes, s);
}

CUresult shim_copy(CUcontext ctx, CUstream s, CUdeviceptr dst, CUdeviceptr src, size_t bytes) {
    TRY(shim_current(ctx));
    return cuMemcpyDtoDAsync(dst, src, bytes, s);
}

CUresult shim_fill(CUcontext ctx, CUstream s, CUdeviceptr dst, unsigned word, size_t words) {
    TRY(shim_current(ctx));
    return cuMemsetD32Async(dst, word, words, s);
}

CUresult shim_wait(CUcontext ctx, CUstream s) {
    TRY(shim_current(ctx));
    return cuStreamSynchronize(s);
}

CUresult shim_event(CUcontext ctx, CUevent *e) {
    TRY(shim_current(ctx));
    return cuEventCreate(e, CU_EVENT_BLOCKING_SYNC);
}

CUresult shim_record(CUcontext ctx, CUevent e, CUstream s) {
    TRY(shim_current(ctx));
    return cuEventRecord(e, s);
}

CUresult shim_wait_event(CUcontext ctx, CUstream s, CUevent e) {
    TRY(shim_current(ctx));
    return cuStreamWaitEvent(s, e, 0);
}

CUresult shim_sync_event(CUcontext ctx, CUevent e) {
    TRY(shim_current(ctx));
    return cuEventSynchronize(e);
}

CUresult shim_elapsed(CUcontext ctx, CUevent from, CUevent to, float *milliseconds) {
    TRY(shim_current(ctx));
    TRY(cuEventSynchronize(to));
    return cuEventElapsedTime(milliseconds, from, to);
}

CUresult shim_begin_capture(CUcontext ctx, CUstream s) {
    TRY(shim_current(ctx));
    // The other modes forbid ending on another thread.
    return cuStreamBeginCapture(s, CU_STREAM_CAPTURE_MODE_RELAXED);
}

CUresult shim_end_capture(CUcontext ctx, CUstream s, CUgraphExec *g) {
    TRY(shim_current(ctx));
    CUgraph graph = 0;
    TRY(cuStreamEndCapture(s, &graph));
    CUresult r = cuGraphInstantiateWithFlags(g, graph, 0);
    cuGraphDestroy(graph);
    return r;
}

CUresult shim_replay(CUcontext ctx, CUgraphExec g, CUstream s) {
    TRY(shim_current(ctx));
    return cuGraphLaunch(g, s);
}

CUresult shim_free_graph(CUcontext ctx, CUgraphExec g) {
    TRY(shim_current(ctx));
    return cuGraphExecDestroy(g);
}

CUresult shim_tensor_map(CUcontext ctx, void *map, int bf16, unsigned rank, CUdeviceptr base, const uint64_t *dims, const uint64_t *strides,
                         const uint32_t *box, int swizzle) {
    TRY(shim_current(ctx));
    CUtensorMap m;
    uint32_t one[] = {1, 1, 1, 1, 1};
    CUtensorMapSwizzle s = swizzle == 128  ? CU_TENSOR_MAP_SWIZZLE_128B
                           : swizzle == 64 ? CU_TENSOR_MAP_SWIZZLE_64B
                           : swizzle == 32 ? CU_TENSOR_MAP_SWIZZLE_32B
                                           : CU_TENSOR_MAP_SWIZZLE_NONE;
    TRY(cuTensorMapEncodeTiled(&m, bf16 ? CU_TENSOR_MAP_DATA_TYPE_BFLOAT16 : CU_TENSOR_MAP_DATA_TYPE_FLOAT32, rank, (void *)(size_t)base, dims, strides, box,
                               one, CU_TENSOR_MAP_INTERLEAVE_NONE, s, CU_TENSOR_MAP_L2_PROMOTION_L2_128B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE));
    memcpy(map, &m, sizeof m);
    return CUDA_SUCCESS;
}
