/* What torch's autograd asks of CUDA's runtime and driver before it computes anything, answered as a machine with one GPU
 * would. Nothing is allocated and no kernel can run: the tensors are fake, see fake_cuda.py. */
#include <string.h>

/* Of cudaDeviceProp in CUDA 13 (cuda_runtime's driver_types.h): what torch reads when it starts. */
enum { TOTAL_MEMORY = 288, SHARED_MEMORY = 296, REGISTERS = 304, WARP = 308, THREADS = 320, MAJOR = 360, PROPERTIES = 700 };

int cudaGetDeviceCount(int *count) { *count = 1; return 0; }
int cudaGetDevice(int *device) { *device = 0; return 0; }
int cudaSetDevice(int device) { return 0; }
int cudaGetLastError(void) { return 0; }
int cudaPeekAtLastError(void) { return 0; }
int cudaDriverGetVersion(int *version) { *version = 13000; return 0; }
int cudaDeviceGetAttribute(int *value, int attribute, int device) { *value = 1; return 0; }
int cudaDeviceSynchronize(void) { return 0; }
int cudaDeviceGetStreamPriorityRange(int *least, int *greatest) { *least = 0; *greatest = -5; return 0; }
int cudaStreamIsCapturing(void *stream, int *status) { *status = 0; return 0; }
int cudaStreamSynchronize(void *stream) { return 0; }
int cudaStreamCreateWithPriority(void **stream, unsigned flags, int priority) { *stream = (void *)8; return 0; }
int cudaStreamQuery(void *stream) { return 0; }
int cudaStreamWaitEvent(void *stream, void *event, unsigned flags) { return 0; }
int cudaEventCreateWithFlags(void **event, unsigned flags) { *event = (void *)16; return 0; }
int cudaEventRecord(void *event, void *stream) { return 0; }
int cudaEventRecordWithFlags(void *event, void *stream, unsigned flags) { return 0; }
int cudaEventElapsedTime(float *milliseconds, void *start, void *end) { *milliseconds = 1; return 0; }
int cudaEventSynchronize(void *event) { return 0; }
int cudaEventQuery(void *event) { return 0; }
int cudaEventDestroy(void *event) { return 0; }
int cudaMalloc(void **pointer, unsigned long size) { return 2; } /* out of memory: a real tensor on this device is a mistake */
int cudaMallocAsync(void **pointer, unsigned long size, void *stream) { return 2; }
int cudaFree(void *pointer) { return 0; }
int cuInit(unsigned flags) { return 0; }
int cuDriverGetVersion(int *version) { *version = 13000; return 0; }
int cuDeviceGetCount(int *count) { *count = 1; return 0; }
int cuDevicePrimaryCtxGetState(int device, unsigned *flags, int *is_active) { *flags = 0; *is_active = 0; return 0; }

int cudaGetDeviceProperties(char *properties, int device) {
  memset(properties, 0, PROPERTIES);
  strcpy(properties, "fake GPU");
  *(unsigned long *)(properties + TOTAL_MEMORY) = 80UL << 30;
  *(unsigned long *)(properties + SHARED_MEMORY) = 49152;
  *(int *)(properties + REGISTERS) = 65536;
  *(int *)(properties + WARP) = 32;
  *(int *)(properties + THREADS) = 1024;
  *(int *)(properties + MAJOR) = 9;
  return 0;
}
