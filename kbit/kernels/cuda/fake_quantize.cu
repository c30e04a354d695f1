// Fake quantization: read a weight, write it as its block and codebook have it. Defined by kbit/kernels/reference.py.
//
// One program is compiled for each combination of bits, search, and dtypes, which are macros here.
#include "shared.cuh"

static const int K = KBIT_BITS;
static const bool USE_CELLS = KBIT_USE_CELLS;  // which search
static const int D = KBIT_DTYPE;               // of the weights

#define PIECE_VECTORS 8

// Blocks of lanes * VECTORS vectors, each in the registers of `lanes` neighbouring threads: one read, one write.
template <int VECTORS>
__device__ void fake_quantize_blocks(const uint4 *weights, uint4 *output, i64 n_blocks, int lanes, int absmax_dtype,
                                     const u32 *tables) {
    const int N = VectorLength<D>::value;
    Codebook<K, USE_CELLS> codebook = load_codebook<K, USE_CELLS>(tables);
    // All lanes of a warp go round together, as they speak with each other: those beyond the end do as the last block.
    int lane = threadIdx.x % lanes, blocks_at_once = blockDim.x / lanes;
    for (i64 begin = blockIdx.x * (i64)blocks_at_once; begin < n_blocks; begin += gridDim.x * (i64)blocks_at_once) {
        i64 block = begin + threadIdx.x / lanes;
        bool is_there = block < n_blocks;
        i64 first = (is_there ? block : n_blocks - 1) * (lanes * VECTORS) + lane;
        uint4 loaded[VECTORS];
        float largest = 0.0f;
#pragma unroll
        for (int i = 0; i < VECTORS; i++) loaded[i] = __ldcs(weights + first + i * lanes);
#pragma unroll
        for (int i = 0; i < VECTORS; i++) {
            float x[N];
            to_floats<D>(loaded[i], x);
#pragma unroll
            for (int j = 0; j < N; j++) largest = fmaxf(largest, magnitude(x[j]));
        }
        Scale scale = stored_scale(largest_of_lanes(largest, lanes), absmax_dtype);
#pragma unroll
        for (int i = 0; i < VECTORS; i++) {
            float x[N];
            to_floats<D>(loaded[i], x);
#pragma unroll
            for (int j = 0; j < N; j++) x[j] = fake_quantize<K, USE_CELLS, false>(x[j], scale, codebook);
            if (is_there) __stcs(output + first + i * lanes, from_floats<D>(x));
        }
    }
}

#define BLOCKS_KERNEL(VECTORS)                                                                                         \
    extern "C" __global__ void __launch_bounds__(256)                                                                  \
        blocks_##VECTORS(const uint4 *weights, uint4 *output, i64 n_blocks, int lanes, int absmax_dtype,               \
                         const u32 *tables) {                                          \
        fake_quantize_blocks<VECTORS>(weights, output, n_blocks, lanes, absmax_dtype, tables);           \
    }

BLOCKS_KERNEL(1)
BLOCKS_KERNEL(2)
BLOCKS_KERNEL(4)
BLOCKS_KERNEL(8)

typedef Stored<D>::type Word;

static const int STRIP_THREADS = 256;

// Blocks of any size, one to a block of threads; it is read twice, the second time from the cache.
extern "C" __global__ void __launch_bounds__(STRIP_THREADS)
    strips(const Word *weights, Word *output, i64 n_weights, i64 block_size, int absmax_dtype, const u32 *tables) {
    __shared__ float scratch[STRIP_THREADS / 32];
    Codebook<K, USE_CELLS> codebook = load_codebook<K, USE_CELLS>(tables);
    for (i64 begin = blockIdx.x * block_size; begin < n_weights; begin += gridDim.x * block_size) {
        i64 end = begin + block_size < n_weights ? begin + block_size : n_weights;
        float largest = 0.0f;
        for (i64 i = begin + threadIdx.x; i < end; i += STRIP_THREADS)
            largest = fmaxf(largest, magnitude(to_float<D>(weights[i])));
        Scale scale = stored_scale(largest_of_threads<STRIP_THREADS>(largest, scratch), absmax_dtype);
        for (i64 i = begin + threadIdx.x; i < end; i += STRIP_THREADS)
            output[i] = from_float<D>(fake_quantize<K, USE_CELLS, false>(to_float<D>(weights[i]), scale, codebook));
    }
}

__device__ __forceinline__ Scale given_scale(i64 block, const float *scales, const float *offsets) {
    float scale = scales[block];
    Scale all = {scale, reciprocal(scale), offsets ? offsets[block] : 0.0f};
    return all;
}

// Scales and offsets that are given: those of a scale format, or the absmax of a tensor that absmax_of_all found.
// Vectors that lie in one block go whole; weights of the others, and the last ones, go one by one.
template <bool HAS_OFFSET>
__device__ void fake_quantize_given(const Word *weights, Word *output, i64 n_weights, i64 block_size, int shift,
                                    const float *scales, const float *offsets, const u32 *tables) {
    const int N = VectorLength<D>::value;
    Codebook<K, USE_CELLS> codebook = load_codebook<K, USE_CELLS>(tables);
    const i64 piece = (i64)blockDim.x * PIECE_VECTORS * N;
    for (i64 begin = blockIdx.x * piece; begin < n_weights; begin += gridDim.x * piece) {
        Blocks blocks(begin, block_size, shift);
        const Word *source = weights + begin;
        Word *target = output + begin;
        u32 count = begin + piece < n_weights ? (u32)piece : (u32)(n_weights - begin);
        for (u32 place = threadIdx.x * N; place < count; place += blockDim.x * N) {
            i64 block = blocks.of(place);
            if (place + N <= count && blocks.of(place + N - 1) == block) {
                Scale scale = given_scale(block, scales, HAS_OFFSET ? offsets : 0);
                float x[N];
                to_floats<D>(__ldcs((const uint4 *)(source + place)), x);
#pragma unroll
                for (int j = 0; j < N; j++) x[j] = fake_quantize<K, USE_CELLS, HAS_OFFSET>(x[j], scale, codebook);
                __stcs((uint4 *)(target + place), from_floats<D>(x));
                continue;
            }
            u32 end = place + N < count ? place + N : count;
#pragma unroll 1
            for (u32 i = place; i < end; i++) {
                Scale scale = given_scale(blocks.of(i), scales, HAS_OFFSET ? offsets : 0);
                target[i] = from_float<D>(fake_quantize<K, USE_CELLS, HAS_OFFSET>(to_float<D>(source[i]), scale, codebook));
            }
        }
    }
}

extern "C" __global__ void __launch_bounds__(256)
    given(const Word *weights, Word *output, i64 n_weights, i64 block_size, int shift, const float *scales,
          const float *offsets, const u32 *tables) {
    fake_quantize_given<false>(weights, output, n_weights, block_size, shift, scales, offsets, tables);
}

extern "C" __global__ void __launch_bounds__(256)
    given_with_offsets(const Word *weights, Word *output, i64 n_weights, i64 block_size, int shift,
                       const float *scales, const float *offsets, const u32 *tables) {
    fake_quantize_given<true>(weights, output, n_weights, block_size, shift, scales, offsets, tables);
}

// The largest magnitude of all weights, as f32, into `absmax`, which is 0 before: bits of floats >= 0 compare as ints.
extern "C" __global__ void __launch_bounds__(512)
    absmax_of_all(const uint4 *weights, i64 n_weights, u32 *absmax) {
    const int N = VectorLength<D>::value;
    __shared__ float scratch[512 / 32];
    float largest = 0.0f;
    i64 thread = blockIdx.x * (i64)blockDim.x + threadIdx.x, threads = gridDim.x * (i64)blockDim.x;
    for (i64 i = thread; i < n_weights / N; i += threads) {
        float x[N];
        to_floats<D>(weights[i], x);
#pragma unroll
        for (int j = 0; j < N; j++) largest = fmaxf(largest, magnitude(x[j]));
    }
    if (thread < n_weights % N)
        largest = fmaxf(largest, magnitude(to_float<D>(((const Word *)(weights + n_weights / N))[thread])));
    largest = largest_of_threads<512>(largest, scratch);
    if (threadIdx.x == 0) atomicMax(absmax, bits_of(largest));
}

// A codebook for each row: one row to a block of threads, whose tables, 2 << K words, it loads before. Rows are as short
// as the pieces of other kernels.
template <bool HAS_OFFSET>
__device__ void fake_quantize_row(const Word *source, Word *target, u32 width, const Blocks &blocks, const float *scales,
                                  const float *offsets, const Codebook<K, false> &codebook) {
    for (u32 i = threadIdx.x; i < width; i += blockDim.x) {
        Scale scale = given_scale(blocks.of(i), scales, HAS_OFFSET ? offsets : 0);
        target[i] = from_float<D>(fake_quantize<K, false, HAS_OFFSET>(to_float<D>(source[i]), scale, codebook));
    }
}

extern "C" __global__ void __launch_bounds__(256)
    rows(const Word *weights, Word *output, i64 n_rows, i64 width, i64 block_size, int shift, const float *scales,
         const float *offsets, const u32 *tables) {
    const Codebook<K, false> codebook = {kbit_shared, kbit_shared + (1 << K), 0, {0, 0, 0, 0}};
    u32 *own = (u32 *)kbit_shared;
    for (i64 row = blockIdx.x; row < n_rows; row += gridDim.x) {
        __syncthreads();
        for (int i = threadIdx.x; i < 2 << K; i += blockDim.x) own[i] = tables[row * (2 << K) + i];
        __syncthreads();
        Blocks blocks(row * width, block_size, shift);
        const Word *source = weights + row * width;
        Word *target = output + row * width;
        if (offsets)
            fake_quantize_row<true>(source, target, (u32)width, blocks, scales, offsets, codebook);
        else
            fake_quantize_row<false>(source, target, (u32)width, blocks, scales, offsets, codebook);
    }
}
