// y = x W^T for packed W [out, in] and few rows of x: what one step of decoding computes (layout: kbit/kernels/packing.py).
//
// A warp computes one row of W at a time. Its lanes read four groups, 128 codes, at a time, with 16-byte loads; x lies in
// shared memory in fp32, 132 words apart for each 128, so that eight lanes' 16-byte reads meet different banks. A group of
// 32 lies in one block (block_size and `in` are multiples of 32). Sums are fp32. Macros: bits, dtype of x and y, rows.
#include "packing.cuh"
#include "shared.cuh"

static const int K = KBIT_BITS;
static const int D = KBIT_DTYPE;  // of x and y
static const int M = KBIT_ROWS;   // of x
static const int THREADS = 256;
static const int QUAD = 128, QUAD_STRIDE = 132;
typedef Stored<D>::type Word;

__device__ __forceinline__ float sum_of_lanes(float x) {
#pragma unroll
    for (int other = 16; other; other /= 2) x += __shfl_xor_sync(0xffffffffu, x, other);
    return x;
}

__device__ __forceinline__ float stored_value(const void *values, int dtype, i64 index) {
    if (dtype == FP32) return ((const float *)values)[index];
    u16 stored = ((const u16 *)values)[index];
    return dtype == FP16 ? to_float<FP16>(stored) : to_float<BF16>(stored);
}

// Inputs of a chunk into shared memory; zeros up to the end of its last quad.
__device__ __forceinline__ void load_inputs(const Word *x, int n_inputs, int begin, int count, float *inputs, int room) {
    for (int i = threadIdx.x; i < (count + QUAD - 1) / QUAD * QUAD; i += THREADS)
#pragma unroll
        for (int m = 0; m < M; m++)
            inputs[m * room + i / QUAD * QUAD_STRIDE + i % QUAD] = i < count ? to_float<D>(x[(i64)m * n_inputs + begin + i]) : 0.0f;
}

// What the blocks of W store.
struct Scales {
    const void *values;
    int dtype;
    const float *offsets;
    u32 groups;  // of 32 weights in a block: with 2^32 of them, indices of groups are 32-bit
    int shift;   // log2 of groups, or -1
};

// Four groups of a row, the first of which is number `first` of W, `n_groups` of which are there, into the sums.
__device__ __forceinline__ void add_quad(const u32 *words, int n_groups, const float *inputs, int room, const float *levels,
                                         const Scales &scales, i64 first, float *sums) {
#pragma unroll
    for (int group = 0; group < 4; group++) {
        if (group >= n_groups) break;
        u32 index = (u32)(first + group), block = scales.shift >= 0 ? index >> scales.shift : index / scales.groups;
        float stored = stored_value(scales.values, scales.dtype, block);
        float scale = reciprocal(stored) == 0.0f ? 0.0f : stored;
        float partial[M], of_inputs[M];
#pragma unroll
        for (int m = 0; m < M; m++) partial[m] = of_inputs[m] = 0.0f;
#pragma unroll
        for (int i = 0; i < 32; i += 4) {
            float level[4];
#pragma unroll
            for (int j = 0; j < 4; j++) level[j] = levels[code_of_group<K>(words + group * K, i + j)];
#pragma unroll
            for (int m = 0; m < M; m++) {
                float4 x = *(const float4 *)(inputs + m * room + group * 32 + i);
                partial[m] = fmaf(level[0], x.x, fmaf(level[1], x.y, fmaf(level[2], x.z, fmaf(level[3], x.w, partial[m]))));
                if (KBIT_HAS_OFFSET) of_inputs[m] += (x.x + x.y) + (x.z + x.w);
            }
        }
#pragma unroll
        for (int m = 0; m < M; m++) {
            sums[m] = fmaf(scale, partial[m], sums[m]);
            if (KBIT_HAS_OFFSET) sums[m] = fmaf(scales.offsets[block], of_inputs[m], sums[m]);
        }
    }
}

extern "C" __global__ void __launch_bounds__(THREADS, KBIT_ROWS == 1 ? 3 : 2)
    gemv(const Word *x, const u32 *words, const void *scales, int scale_dtype, const float *offsets, i64 groups,
         int shift, const u32 *tables, Word *y, int n_inputs, int n_outputs, int chunk) {
    // Shared: 2^K levels, then M rows of a chunk of x; chunk is a multiple of QUAD.
    float *levels = kbit_shared, *inputs = levels + (1 << K);
    const int room = chunk / QUAD * QUAD_STRIDE, warps = THREADS / 32, lane = threadIdx.x % 32;
    const int groups_per_row = n_inputs / 32;
    const Scales scales_of_row = {scales, scale_dtype, offsets, (u32)groups, shift};
    for (int i = threadIdx.x; i < 1 << K; i += THREADS) levels[i] = float_of(tables[(1 << K) + i]);
    for (int begin_row = blockIdx.x * warps; begin_row < n_outputs; begin_row += gridDim.x * warps) {
        int row = begin_row + threadIdx.x / 32;
        float sums[M];
#pragma unroll
        for (int m = 0; m < M; m++) sums[m] = 0.0f;
        for (int begin = 0; begin < n_inputs; begin += chunk) {
            int count = n_inputs - begin < chunk ? n_inputs - begin : chunk;
            if (chunk < n_inputs || begin_row == blockIdx.x * warps) {  // x that fits in whole is read once
                __syncthreads();
                load_inputs(x, n_inputs, begin, count, inputs, room);
                __syncthreads();
            }
            if (row >= n_outputs) continue;
            for (int quad = lane; quad * QUAD < count; quad += 32) {
                int n_groups = (count - quad * QUAD) / 32;
                i64 first = (i64)row * groups_per_row + begin / 32 + quad * 4;
                u32 own[4 * K];
                const u32 *source = words + first * K;
                if (n_groups >= 4 && ((i64)groups_per_row * K) % 4 == 0) {
#pragma unroll
                    for (int i = 0; i < K; i++) {
                        uint4 four = __ldcs((const uint4 *)source + i);
                        own[4 * i] = four.x, own[4 * i + 1] = four.y, own[4 * i + 2] = four.z, own[4 * i + 3] = four.w;
                    }
                } else {
#pragma unroll
                    for (int i = 0; i < 4 * K; i++) own[i] = i < n_groups * K ? source[i] : 0u;
                }
                add_quad(own, n_groups, inputs + quad * QUAD_STRIDE, room, levels, scales_of_row, first, sums);
            }
        }
#pragma unroll
        for (int m = 0; m < M; m++) {
            float sum = sum_of_lanes(sums[m]);
            if (lane == 0 && row < n_outputs) y[(i64)m * n_outputs + row] = from_float<D>(sum);
        }
    }
}
