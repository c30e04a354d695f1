// What the kernels share: the codebook in shared memory, reductions, the block of a weight.
#pragma once
#include "search.cuh"

#ifdef __CUDACC__
extern __shared__ __align__(16) float kbit_shared[];
#endif

// All of the tables to dynamic shared memory, whose size is theirs.
template <int K, bool USE_CELLS> __device__ Codebook<K, USE_CELLS> load_codebook(const u32 *tables) {
    Cells cells = {0, 0, 0, 0};
    if (USE_CELLS) cells = *(const Cells *)(tables + (2 << K));
    u32 *own = (u32 *)kbit_shared;
    int n_words = (2 << K) + (USE_CELLS ? 4 + (2 * cells.count + 3) / 4 : 0);
    for (int i = threadIdx.x; i < n_words; i += blockDim.x) own[i] = tables[i];
    __syncthreads();
    const float *floats = kbit_shared;
    Codebook<K, USE_CELLS> codebook = {floats, floats + (1 << K), (const u8 *)(own + (2 << K) + 4), cells};
    return codebook;
}

// Of `lanes` neighbouring threads, a power of two up to 32, on each of them.
__device__ __forceinline__ float largest_of_lanes(float x, int lanes) {
    for (int other = lanes / 2; other; other /= 2) {
        float theirs = __shfl_xor_sync(0xffffffffu, x, other);
        x = theirs > x ? theirs : x;
    }
    return x;
}

// Of all threads of this block of threads, on each of them. `scratch` has a float for each warp.
template <int THREADS> __device__ __forceinline__ float largest_of_threads(float x, float *scratch) {
    x = largest_of_lanes(x, 32);
    if (THREADS == 32) return x;
    if (threadIdx.x % 32 == 0) scratch[threadIdx.x / 32] = x;
    __syncthreads();
    x = scratch[threadIdx.x % (THREADS / 32)];
    __syncthreads();
    return largest_of_lanes(x, THREADS / 32);
}

// The absmax as it is stored, in `dtype`.
__device__ __forceinline__ Scale stored_scale(float absmax, int dtype) {
    float scale = dtype == FP32 ? absmax : dtype == FP16 ? rounded_to<FP16>(absmax) : rounded_to<BF16>(absmax);
    Scale block = {scale, reciprocal(scale), 0.0f};
    return block;
}

// Blocks of a piece of the weights: `first` is the piece's first weight, seen from the start of its block.
struct Blocks {
    i64 size, first_block;
    u32 first;
    int shift;  // log2 of size, or -1

    __device__ __forceinline__ Blocks(i64 begin, i64 size, int shift) : size(size), shift(shift) {
        first_block = shift >= 0 ? begin >> shift : begin / size;
        i64 within = begin - first_block * size;
        // A block of more weights than 32 bits count: pieces are shorter, so only whether its end is reached matters.
        i64 left = size - within;
        is_huge = size > 0x40000000;
        first = is_huge ? (left > 0x7fffffff ? 0x7fffffffu : (u32)left) : (u32)within;
    }
    // Block of the weight at `place` of the piece, place < 2^30.
    __device__ __forceinline__ i64 of(u32 place) const {
        if (is_huge) return first_block + (place >= first);
        if (shift >= 0) return first_block + ((first + place) >> shift);
        return first_block + (first + place) / (u32)size;
    }

  private:
    bool is_huge;
};
