//go:build cuda && linux

#include "libcuda.h"

#include <cuda.h>
#include <dlfcn.h>
#include <pthread.h>

static void *driver;
static const char *problem;

static void open_driver(void) {
    driver = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
    if (!driver) problem = dlerror();
}

static void *find(const char *name) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, open_driver);
    return driver ? dlsym(driver, name) : 0;
}

const char *libcuda_problem(void) {
    find("cuInit");
    return problem;
}

// A function of the driver looks itself up at its first call. It is hidden: were it in the program's table of dynamic symbols, the driver's calls of
// its own functions could end here.
#define FORWARD(name, parameters, arguments)                                                  \
    __attribute__((visibility("hidden"))) CUresult name parameters {                          \
        static CUresult(*function) parameters;                                                \
        CUresult(*f) parameters = __atomic_load_n(&function, __ATOMIC_RELAXED);               \
        if (!f) {                                                                             \
            f = (CUresult(*) parameters)find(#name);                                          \
            if (!f) return driver ? CUDA_ERROR_NOT_SUPPORTED : CUDA_ERROR_NO_DEVICE;          \
            __atomic_store_n(&function, f, __ATOMIC_RELAXED);                                 \
        }                                                                                     \
        return f arguments;                                                                   \
    }

FORWARD(cuInit, (unsigned a0), (a0))
FORWARD(cuDriverGetVersion, (int *a0), (a0))
FORWARD(cuDeviceGet, (CUdevice *a0, int a1), (a0, a1))
FORWARD(cuDeviceGetCount, (int *a0), (a0))
FORWARD(cuDeviceGetName, (char *a0, int a1, CUdevice a2), (a0, a1, a2))
FORWARD(cuDeviceGetAttribute, (int *a0, CUdevice_attribute a1, CUdevice a2), (a0, a1, a2))
FORWARD(cuDeviceTotalMem_v2, (size_t *a0, CUdevice a1), (a0, a1))
FORWARD(cuDeviceCanAccessPeer, (int *a0, CUdevice a1, CUdevice a2), (a0, a1, a2))
FORWARD(cuCtxCreate_v2, (CUcontext *a0, unsigned a1, CUdevice a2), (a0, a1, a2))
FORWARD(cuCtxDestroy_v2, (CUcontext a0), (a0))
FORWARD(cuCtxGetApiVersion, (CUcontext a0, unsigned *a1), (a0, a1))
FORWARD(cuCtxGetCurrent, (CUcontext *a0), (a0))
FORWARD(cuCtxGetDevice, (CUdevice *a0), (a0))
FORWARD(cuCtxSetCurrent, (CUcontext a0), (a0))
FORWARD(cuCtxSynchronize, (void), ())
FORWARD(cuCtxEnablePeerAccess, (CUcontext a0, unsigned a1), (a0, a1))
FORWARD(cuCtxDisablePeerAccess, (CUcontext a0), (a0))
FORWARD(cuModuleLoad, (CUmodule *a0, const char *a1), (a0, a1))
FORWARD(cuModuleLoadData, (CUmodule *a0, const void *a1), (a0, a1))
FORWARD(cuModuleGetFunction, (CUfunction *a0, CUmodule a1, const char *a2), (a0, a1, a2))
FORWARD(cuFuncGetAttribute, (int *a0, CUfunction_attribute a1, CUfunction a2), (a0, a1, a2))
FORWARD(cuLaunchKernel, (CUfunction a0, unsigned a1, unsigned a2, unsigned a3, unsigned a4, unsigned a5, unsigned a6, unsigned a7, CUstream a8, void **a9, void **a10), (a0, a1, a2, a3, a4, a5, a6, a7, a8, a9, a10))
FORWARD(cuMemAlloc_v2, (CUdeviceptr *a0, size_t a1), (a0, a1))
FORWARD(cuMemFree_v2, (CUdeviceptr a0), (a0))
FORWARD(cuMemAllocHost_v2, (void **a0, size_t a1), (a0, a1))
FORWARD(cuMemFreeHost, (void *a0), (a0))
FORWARD(cuMemGetAddressRange_v2, (CUdeviceptr *a0, size_t *a1, CUdeviceptr a2), (a0, a1, a2))
FORWARD(cuMemGetInfo_v2, (size_t *a0, size_t *a1), (a0, a1))
FORWARD(cuMemHostRegister_v2, (void *a0, size_t a1, unsigned a2), (a0, a1, a2))
FORWARD(cuMemHostUnregister, (void *a0), (a0))
FORWARD(cuMemcpy, (CUdeviceptr a0, CUdeviceptr a1, size_t a2), (a0, a1, a2))
FORWARD(cuMemcpyAsync, (CUdeviceptr a0, CUdeviceptr a1, size_t a2, CUstream a3), (a0, a1, a2, a3))
FORWARD(cuMemcpyDtoD_v2, (CUdeviceptr a0, CUdeviceptr a1, size_t a2), (a0, a1, a2))
FORWARD(cuMemcpyDtoDAsync_v2, (CUdeviceptr a0, CUdeviceptr a1, size_t a2, CUstream a3), (a0, a1, a2, a3))
FORWARD(cuMemcpyDtoH_v2, (void *a0, CUdeviceptr a1, size_t a2), (a0, a1, a2))
FORWARD(cuMemcpyDtoHAsync_v2, (void *a0, CUdeviceptr a1, size_t a2, CUstream a3), (a0, a1, a2, a3))
FORWARD(cuMemcpyHtoD_v2, (CUdeviceptr a0, const void *a1, size_t a2), (a0, a1, a2))
FORWARD(cuMemcpyHtoDAsync_v2, (CUdeviceptr a0, const void *a1, size_t a2, CUstream a3), (a0, a1, a2, a3))
FORWARD(cuMemcpyPeer, (CUdeviceptr a0, CUcontext a1, CUdeviceptr a2, CUcontext a3, size_t a4), (a0, a1, a2, a3, a4))
FORWARD(cuMemcpyPeerAsync, (CUdeviceptr a0, CUcontext a1, CUdeviceptr a2, CUcontext a3, size_t a4, CUstream a5), (a0, a1, a2, a3, a4, a5))
FORWARD(cuMemsetD32_v2, (CUdeviceptr a0, unsigned a1, size_t a2), (a0, a1, a2))
FORWARD(cuMemsetD32Async, (CUdeviceptr a0, unsigned a1, size_t a2, CUstream a3), (a0, a1, a2, a3))
FORWARD(cuMemsetD8_v2, (CUdeviceptr a0, unsigned char a1, size_t a2), (a0, a1, a2))
FORWARD(cuMemsetD8Async, (CUdeviceptr a0, unsigned char a1, size_t a2, CUstream a3), (a0, a1, a2, a3))
FORWARD(cuPointerGetAttribute, (void *a0, CUpointer_attribute a1, CUdeviceptr a2), (a0, a1, a2))
FORWARD(cuStreamCreate, (CUstream *a0, unsigned a1), (a0, a1))
FORWARD(cuStreamDestroy_v2, (CUstream a0), (a0))
FORWARD(cuStreamQuery, (CUstream a0), (a0))
FORWARD(cuStreamSynchronize, (CUstream a0), (a0))
FORWARD(cuGetErrorName, (CUresult a0, const char **a1), (a0, a1))
FORWARD(cuGetErrorString, (CUresult a0, const char **a1), (a0, a1))
FORWARD(cuDevicePrimaryCtxRetain, (CUcontext *a0, CUdevice a1), (a0, a1))
FORWARD(cuDevicePrimaryCtxSetFlags_v2, (CUdevice a0, unsigned a1), (a0, a1))
FORWARD(cuModuleLoadDataEx, (CUmodule *a0, const void *a1, unsigned a2, CUjit_option *a3, void **a4), (a0, a1, a2, a3, a4))
FORWARD(cuFuncSetAttribute, (CUfunction a0, CUfunction_attribute a1, int a2), (a0, a1, a2))
FORWARD(cuLaunchKernelEx, (const CUlaunchConfig *a0, CUfunction a1, void **a2, void **a3), (a0, a1, a2, a3))
FORWARD(cuStreamWaitEvent, (CUstream a0, CUevent a1, unsigned a2), (a0, a1, a2))
FORWARD(cuStreamBeginCapture_v2, (CUstream a0, CUstreamCaptureMode a1), (a0, a1))
FORWARD(cuStreamEndCapture, (CUstream a0, CUgraph *a1), (a0, a1))
FORWARD(cuEventCreate, (CUevent *a0, unsigned a1), (a0, a1))
FORWARD(cuEventRecord, (CUevent a0, CUstream a1), (a0, a1))
FORWARD(cuEventSynchronize, (CUevent a0), (a0))
FORWARD(cuEventElapsedTime, (float *a0, CUevent a1, CUevent a2), (a0, a1, a2))
FORWARD(cuEventDestroy_v2, (CUevent a0), (a0))
FORWARD(cuGraphInstantiateWithFlags, (CUgraphExec *a0, CUgraph a1, unsigned long long a2), (a0, a1, a2))
FORWARD(cuGraphLaunch, (CUgraphExec a0, CUstream a1), (a0, a1))
FORWARD(cuGraphDestroy, (CUgraph a0), (a0))
FORWARD(cuGraphExecDestroy, (CUgraphExec a0), (a0))
FORWARD(cuTensorMapEncodeTiled, (CUtensorMap *a0, CUtensorMapDataType a1, uint32_t a2, void *a3, const uint64_t *a4, const uint64_t *a5, const uint32_t *a6, const uint32_t *a7, CUtensorMapInterleave a8, CUtensorMapSwizzle a9, CUtensorMapL2promotion a10, CUtensorMapFloatOOBfill a11), (a0, a1, a2, a3, a4, a5, a6, a7, a8, a9, a10, a11))
