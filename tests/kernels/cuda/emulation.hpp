// Runs CUDA kernels on the CPU, thread by thread: enough of the language for kbit/kernels/cuda, none of the speed.
//
// Each thread of a block is a fiber with a stack of its own. One runs until it must wait for others, at __syncthreads,
// __syncwarp or a shuffle, then the next one does; so a kernel computes here what it computes on a GPU, including what
// goes wrong if a barrier is missed (a thread that ends while others wait is reported).
#pragma once
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <ucontext.h>
#include <vector>

#define __device__
#define __global__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __shared__ static

struct float4 {
    float x, y, z, w;
};
struct Index {
    unsigned x;
};

static thread_local Index threadIdx, blockIdx, blockDim, gridDim;
alignas(16) static thread_local float kbit_shared[1 << 14];

namespace emulation {
const size_t STACK_BYTES = 128 << 10;

struct Barrier {
    unsigned waiting = 0, round = 0, ended = 0;
};
struct Block {
    ucontext_t scheduler;
    std::vector<ucontext_t> threads;
    std::vector<char> stacks;
    std::vector<bool> ended;
    std::vector<Barrier> warps;
    Barrier all;
    std::vector<float> exchanged;
    std::function<void()> kernel;
    unsigned current = 0;
};
static thread_local Block *block;

inline void next_thread() {
    swapcontext(&block->threads[block->current], &block->scheduler);
}

inline void wait_at(Barrier &barrier, unsigned count) {
    if (barrier.ended) {
        fprintf(stderr, "a thread waits at a barrier that another will never reach\n");
        abort();
    }
    unsigned round = barrier.round;
    if (++barrier.waiting == count) {
        barrier.waiting = 0;
        barrier.round++;
        return;
    }
    while (barrier.round == round) next_thread();
}

inline void run_thread() {
    block->kernel();
    block->ended[block->current] = true;
    block->all.ended++, block->warps[block->current / 32].ended++;
    if (block->all.waiting || block->warps[block->current / 32].waiting) {
        fprintf(stderr, "a thread ends while others wait for it at a barrier\n");
        abort();
    }
    next_thread();
}

inline void run(unsigned n_blocks, unsigned n_threads, std::function<void()> kernel) {
    Block own;
    block = &own;
    own.kernel = kernel;
    own.stacks.resize(n_threads * STACK_BYTES);
    own.exchanged.resize(n_threads);
    blockDim.x = n_threads, gridDim.x = n_blocks;
    for (unsigned index = 0; index < n_blocks; index++) {
        blockIdx.x = index;
        own.threads.assign(n_threads, ucontext_t());
        own.ended.assign(n_threads, false);
        own.warps.assign((n_threads + 31) / 32, Barrier());
        own.all = Barrier();
        for (unsigned i = 0; i < n_threads; i++) {
            getcontext(&own.threads[i]);
            own.threads[i].uc_stack.ss_sp = &own.stacks[i * STACK_BYTES];
            own.threads[i].uc_stack.ss_size = STACK_BYTES;
            own.threads[i].uc_link = nullptr;
            makecontext(&own.threads[i], run_thread, 0);
        }
        while (own.all.ended < n_threads)
            for (unsigned i = 0; i < n_threads; i++)
                if (!own.ended[i]) {
                    own.current = i, threadIdx.x = i;
                    swapcontext(&own.scheduler, &own.threads[i]);
                }
    }
}
}  // namespace emulation

inline void __syncthreads() {
    emulation::wait_at(emulation::block->all, blockDim.x);
}

inline void __syncwarp() {
    emulation::wait_at(emulation::block->warps[threadIdx.x / 32], 32);
}

inline float __shfl_xor_sync(unsigned, float value, int other) {
    emulation::block->exchanged[threadIdx.x] = value;
    __syncwarp();
    float theirs = emulation::block->exchanged[threadIdx.x ^ (unsigned)other];
    __syncwarp();
    return theirs;
}

template <typename T> inline T __ldcs(const T *at) {
    return *at;
}

template <typename T> inline void __stcs(T *at, T value) {
    *at = value;
}

inline unsigned atomicMax(unsigned *at, unsigned value) {
    unsigned before = *at;
    if (value > before) *at = value;
    return before;
}

inline unsigned __funnelshift_r(unsigned low, unsigned high, unsigned shift) {
    return (unsigned)((((unsigned long long)high << 32) | low) >> (shift & 31u));
}

inline float fmaxf(float a, float b) {
    return __builtin_fmaxf(a, b);
}

inline float fmaf(float a, float b, float c) {
    return __builtin_fmaf(a, b, c);
}
