// Packed weights: quantize and pack, unpack and dequantize (layout: kbit/kernels/packing.py).
//
// One program is compiled for each combination of bits, search, and dtypes, which are macros here.
#include "packing.cuh"
#include "shared.cuh"

static const int K = KBIT_BITS;
static const bool USE_CELLS = KBIT_USE_CELLS;  // which search
static const int D = KBIT_DTYPE;               // of the weights
static const int GROUP = 32;                   // codes in K words
static const int THREADS = 256;
typedef Stored<D>::type Word;

// Weights of one group; beyond the end, zeros. It is known that a group that is whole lies at a multiple of 16 bytes.
__device__ __forceinline__ void load_group(const Word *weights, i64 first, i64 n_weights, float *x) {
    const int N = VectorLength<D>::value;
    if (first + GROUP <= n_weights) {
#pragma unroll
        for (int i = 0; i < GROUP / N; i++) to_floats<D>(((const uint4 *)(weights + first))[i], x + i * N);
    } else {
#pragma unroll
        for (int i = 0; i < GROUP; i++) x[i] = first + i < n_weights ? to_float<D>(weights[first + i]) : 0.0f;
    }
}

// The groups of a warp lie side by side: their words go through shared memory, so that neighbours write to neighbours.
__device__ __forceinline__ void store_words(const u32 *own, u32 *staged, u32 *words, i64 first_group, i64 n_groups) {
    int lane = threadIdx.x % 32;
    __syncwarp();
#pragma unroll
    for (int i = 0; i < K; i++) staged[lane * K + i] = own[i];
    __syncwarp();
    i64 left = (n_groups - first_group) * K;
#pragma unroll
    for (int i = 0; i < K; i++)
        if (lane + i * 32 < left) words[first_group * K + lane + i * 32] = staged[lane + i * 32];
}

__device__ __forceinline__ void store_scale(float scale, int dtype, void *scales, i64 block) {
    if (dtype == FP32)
        ((float *)scales)[block] = scale;
    else
        ((u16 *)scales)[block] = dtype == FP16 ? from_float<FP16>(scale) : from_float<BF16>(scale);
}

// Blocks of lanes * 32 weights, lanes a power of two up to 32; a thread packs one group. The absmax is found, rounded to
// its dtype, used and written.
extern "C" __global__ void __launch_bounds__(THREADS, 3)
    pack_blocks(const Word *weights, u32 *words, void *scales, i64 n_weights, int lanes, int absmax_dtype,
                const u32 *tables) {
    __shared__ u32 staged[THREADS * K];
    Codebook<K, USE_CELLS> codebook = load_codebook<K, USE_CELLS>(tables);
    i64 n_groups = (n_weights + GROUP - 1) / GROUP;
    for (i64 begin = blockIdx.x * (i64)THREADS; begin < n_groups; begin += gridDim.x * (i64)THREADS) {
        i64 group = begin + threadIdx.x;
        float x[GROUP], largest = 0.0f;
        load_group(weights, group * GROUP, n_weights, x);
#pragma unroll
        for (int i = 0; i < GROUP; i++) largest = fmaxf(largest, magnitude(x[i]));
        Scale scale = stored_scale(largest_of_lanes(largest, lanes), absmax_dtype);
        if (group < n_groups && threadIdx.x % lanes == 0) store_scale(scale.scale, absmax_dtype, scales, group / lanes);
        u32 codes[GROUP], own[K];
#pragma unroll
        for (int i = 0; i < GROUP; i++) codes[i] = group * GROUP + i < n_weights ? codebook.code(x[i] * scale.inverse) : 0;
        pack_group<K>(codes, own);
        store_words(own, staged + threadIdx.x / 32 * 32 * K, words, group - threadIdx.x % 32, n_groups);
    }
}

// Scales and offsets (none: a null pointer) that are given, blocks of any size.
extern "C" __global__ void __launch_bounds__(THREADS, 3)
    pack_given(const Word *weights, u32 *words, i64 n_weights, i64 block_size, int shift, const float *scales,
               const float *offsets, const u32 *tables) {
    __shared__ u32 staged[THREADS * K];
    Codebook<K, USE_CELLS> codebook = load_codebook<K, USE_CELLS>(tables);
    i64 n_groups = (n_weights + GROUP - 1) / GROUP;
    for (i64 begin = blockIdx.x * (i64)THREADS; begin < n_groups; begin += gridDim.x * (i64)THREADS) {
        Blocks blocks(begin * GROUP, block_size, shift);
        u32 place = threadIdx.x * GROUP;
        i64 group = begin + threadIdx.x, first = group * GROUP;
        float x[GROUP], inverse = 0.0f, offset = 0.0f;
        load_group(weights, first, n_weights, x);
        // No division for each weight: weights of the block that are left are counted down.
        i64 block = blocks.of(place) - 1, left = 0;
        if (first < n_weights) left = (block + 2) * block_size - first;
        bool is_new = true;
        u32 codes[GROUP], own[K];
#pragma unroll
        for (int i = 0; i < GROUP; i++) {
            codes[i] = 0;
            if (first + i < n_weights) {
                if (is_new) {
                    block++, inverse = reciprocal(scales[block]);
                    if (offsets) offset = offsets[block];
                }
                is_new = --left == 0;
                if (is_new) left = block_size;
                codes[i] = codebook.code((offsets ? x[i] - offset : x[i]) * inverse);
            }
        }
        pack_group<K>(codes, own);
        store_words(own, staged + threadIdx.x / 32 * 32 * K, words, group - threadIdx.x % 32, n_groups);
    }
}

__device__ __forceinline__ Scale read_scale(const void *scales, int dtype, const float *offsets, i64 block) {
    float scale = dtype == FP32   ? ((const float *)scales)[block]
                  : dtype == FP16 ? to_float<FP16>(((const u16 *)scales)[block])
                                  : to_float<BF16>(((const u16 *)scales)[block]);
    Scale all = {scale, reciprocal(scale), offsets ? offsets[block] : 0.0f};
    return all;
}

// A warp unpacks 32 groups: their words come through shared memory, then each lane writes whole vectors.
extern "C" __global__ void __launch_bounds__(THREADS, 4)
    unpack(const u32 *words, Word *weights, i64 n_weights, i64 block_size, int shift, const void *scales,
           int scale_dtype, const float *offsets, const u32 *tables) {
    const int N = VectorLength<D>::value, VECTORS = GROUP / N;
    __shared__ u32 staged[THREADS * K + 2];
    float *levels = kbit_shared;
    for (int i = threadIdx.x; i < 1 << K; i += THREADS) levels[i] = float_of(tables[(1 << K) + i]);
    __syncthreads();
    u32 *own = staged + threadIdx.x / 32 * 32 * K;
    i64 n_groups = (n_weights + GROUP - 1) / GROUP;
    int lane = threadIdx.x % 32;
    for (i64 begin = blockIdx.x * (i64)THREADS; begin < n_groups; begin += gridDim.x * (i64)THREADS) {
        Blocks blocks(begin * GROUP, block_size, shift);
        i64 first_group = begin + threadIdx.x - lane, left = (n_groups - first_group) * K;
        __syncwarp();
#pragma unroll
        for (int i = 0; i < K; i++)
            if (lane + i * 32 < left) own[lane + i * 32] = words[first_group * K + lane + i * 32];
        __syncwarp();
#pragma unroll
        for (int i = 0; i < VECTORS; i++) {
            int vector = lane + i * 32;
            i64 first = first_group * GROUP + vector * N;
            if (first >= n_weights) break;
            // N codes of K bits, at most 64 bits, from wherever they begin.
            int bit = vector * N * K;
            const u32 *at = own + bit / 32;
            u32 low = __funnelshift_r(at[0], at[1], bit % 32), high = N * K > 32 ? __funnelshift_r(at[1], at[2], bit % 32) : 0;
            u32 place = (u32)(first - begin * GROUP);
            float y[N];
            i64 block = blocks.of(place), left = (block + 1) * block_size - first;
            Scale scale = read_scale(scales, scale_dtype, offsets, block);
#pragma unroll
            for (int j = 0; j < N; j++) {
                const int at_bit = j * K;
                u32 code = at_bit >= 32 ? high >> (at_bit - 32) : low >> at_bit;
                if (at_bit < 32 && at_bit + K > 32) code |= high << (32 - at_bit);
                float level = levels[code & ((1u << K) - 1u)];
                y[j] = offsets ? dequantize<true>(level, scale) : dequantize<false>(level, scale);
                if (--left == 0 && first + j + 1 < n_weights) {
                    left = block_size;
                    scale = read_scale(scales, scale_dtype, offsets, ++block);
                }
            }
            if (first + N <= n_weights)
                __stcs((uint4 *)(weights + first), from_floats<D>(y));
            else
#pragma unroll
                for (int j = 0; j < N; j++)
                    if (first + j < n_weights) weights[first + j] = from_float<D>(y[j]);
        }
    }
}
