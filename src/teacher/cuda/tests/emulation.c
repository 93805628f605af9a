// Runs the kernel on the CPU, for tests: one POSIX thread per CUDA thread, with a barrier for all of them, blocks one
// after the other. Shared memory is static, since one block runs at a time.

#define _POSIX_C_SOURCE 200809L

#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct Index {
    unsigned int x;
};

static _Thread_local struct Index threadIdx;
static _Thread_local struct Index blockIdx;
static struct Index blockDim;

static pthread_barrier_t barrier;

#define __shared__ static
#define __syncthreads() pthread_barrier_wait(&barrier)

static inline unsigned int __float_as_uint(float value) {
    unsigned int bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static inline float __uint_as_float(unsigned int bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static inline long long __double_as_longlong(double value) {
    long long bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static inline double __longlong_as_double(long long bits) {
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static inline unsigned int atomicAdd(unsigned int *address, unsigned int value) {
    return __atomic_fetch_add(address, value, __ATOMIC_RELAXED);
}

static inline unsigned int atomicMin(unsigned int *address, unsigned int value) {
    unsigned int old = __atomic_load_n(address, __ATOMIC_RELAXED);
    while (value < old && !__atomic_compare_exchange_n(address, &old, value, 0, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
    }
    return old;
}

#include "kernel.cu"

typedef void (*Kernel)(struct Reduction);

struct Launch {
    Kernel kernel;
    const struct Reduction *reduction;
    unsigned int n_blocks;
    unsigned int thread;
};

static void *run_thread(void *argument) {
    const struct Launch *launch = argument;
    threadIdx.x = launch->thread;
    for (unsigned int block = 0; block < launch->n_blocks; block++) {
        blockIdx.x = block;
        launch->kernel(*launch->reduction);
        __syncthreads();
    }
    return NULL;
}

// Returns 0, or an error number of the system. Launches must not overlap.
int emulate(unsigned int dtype, const struct Reduction *reduction, unsigned int n_blocks, unsigned int n_threads) {
    const Kernel kernels[3] = {reduce_f32, reduce_f16, reduce_bf16};
    pthread_t *threads = calloc(n_threads, sizeof *threads);
    struct Launch *launches = calloc(n_threads, sizeof *launches);
    if (!threads || !launches) {
        abort();
    }
    blockDim.x = n_threads;
    int error = pthread_barrier_init(&barrier, NULL, n_threads);
    for (unsigned int i = 0; i < n_threads && !error; i++) {
        launches[i] = (struct Launch){kernels[dtype], reduction, n_blocks, i};
        error = pthread_create(&threads[i], NULL, run_thread, &launches[i]);
        if (error && i > 0) {
            abort();  // those that did start would wait for ever
        }
    }
    for (unsigned int i = 0; i < n_threads && !error; i++) {
        pthread_join(threads[i], NULL);
    }
    pthread_barrier_destroy(&barrier);
    free(threads);
    free(launches);
    return error;
}

// Values that Rust has to agree with, in the order of its list.
const unsigned int LAYOUT[] = {
    MAX_THREADS, MAX_K, SCORE_K, BLOCK, MAX_SUMMED_BLOCKS,
    F32, F16, BF16, NO_DEFECT, NOT_FINITE, ALL_MASKED,
    sizeof(struct Position), sizeof(struct Sums), sizeof(struct Reduction),
};
const unsigned int LAYOUT_LEN = sizeof LAYOUT / sizeof *LAYOUT;
