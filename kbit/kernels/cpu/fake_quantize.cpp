// Fake quantization on a CPU, bit for bit as kbit/kernels/reference.py defines it.
//
// Compiled on the machine it runs on, without fast-math and without contraction: products and sums are rounded one by
// one. Weights are read in strips; a strip may lie in many blocks or be a small part of one.
#include "search.h"

#ifdef __linux__
#include <sys/mman.h>
#endif

namespace {

const uintptr_t PAGE = 1 << 12, HUGE_PAGE = 1 << 21;

const int64_t PIECE = 1 << 14;  // weights whose blocks' absmax is found before they are quantized: they stay in the cache

// The scales of a strip's weights, one for each. A block without a finite reciprocal is zeros: it has the reciprocal 0.
struct StripScales {
    float scale[STRIP], inverse[STRIP], offset[STRIP];
    int64_t whole = -1;  // the block that all of the strip lies in; -1 if there are several

    // Of the weights from begin on; beyond `end` there are none.
    void read(int64_t begin, int64_t end, int64_t block_size, const float *scales, const float *offsets) {
        int64_t block = begin / block_size, left = block_size - begin % block_size;
        if (block == whole && left >= STRIP) return;
        whole = left >= STRIP ? block : -1;
        for (int64_t at = 0; at < STRIP; block++, left = block_size) {
            int64_t run = left < STRIP - at ? left : STRIP - at;
            if (begin + at >= end) block--, run = STRIP - at;
            float a = scales[block], reciprocal = 1.0f / a;
            set(at, run, a, is_finite(reciprocal) ? reciprocal : 0.0f, offsets ? offsets[block] : 0.0f);
            at += run;
        }
    }

    void set(int64_t at, int64_t run, float a, float reciprocal, float m) {
        for (int64_t i = at; i < at + run; i++) scale[i] = a, inverse[i] = reciprocal, offset[i] = m;
    }
};

template <int D, bool HAS_OFFSET, class Search>
void quantize_strip(const typename Stored<D>::type *source, typename Stored<D>::type *target, const StripScales &of,
                    const Search &search) {
    float t[STRIP], level[STRIP];
    for (int i = 0; i < STRIP; i++) {
        float x = to_float<D>(source[i]);
        t[i] = (HAS_OFFSET ? x - of.offset[i] : x) * of.inverse[i];
    }
    search.look_up(t, level);
    for (int i = 0; i < STRIP; i++) {
        float product = level[i] * of.scale[i], y = of.inverse[i] == 0.0f ? 0.0f : product;
        // Without an offset nothing is added: -0 + 0 would not be -0.
        target[i] = from_float<D>(HAS_OFFSET ? y + of.offset[i] : y);
    }
}

// Everything of one call that all of its weights share.
struct Call {
    const void *source;
    void *target;
    int64_t block_size;
    const float *scales, *offsets;  // of block first_block and those that follow
    int64_t first_block;
};

template <int D, bool HAS_OFFSET, class Search>
void quantize_range(const Call &call, int64_t begin, int64_t end, const Search &search) {
    typedef typename Stored<D>::type Word;
    const Word *source = (const Word *)call.source;
    Word *target = (Word *)call.target;
    const float *scales = call.scales - call.first_block;
    const float *offsets = HAS_OFFSET ? call.offsets - call.first_block : nullptr;
    StripScales of;
    for (; begin + STRIP <= end; begin += STRIP) {
        of.read(begin, end, call.block_size, scales, offsets);
        quantize_strip<D, HAS_OFFSET>(source + begin, target + begin, of, search);
    }
    if (begin == end) return;
    Word rest[STRIP] = {};
    std::memcpy(rest, source + begin, (end - begin) * sizeof(Word));
    of.read(begin, end, call.block_size, scales, offsets);
    quantize_strip<D, HAS_OFFSET>(rest, rest, of, search);
    std::memcpy(target + begin, rest, (end - begin) * sizeof(Word));
}

template <int D> void absmax_of_blocks(const void *source, int64_t begin, int64_t end, int64_t block_size, float *absmax) {
    const typename Stored<D>::type *words = (const typename Stored<D>::type *)source;
    for (; begin < end; begin += block_size, absmax++) {
        int64_t stop = begin + block_size < end ? begin + block_size : end;
        uint32_t largest = 0;  // magnitudes are ordered as their bits are
        for (int64_t i = begin; i < stop; i++) {
            uint32_t size = bits_of(to_float<D>(words[i])) & 0x7fffffffu;
            largest = size > largest ? size : largest;
        }
        *absmax = float_of(largest);
    }
}

void round_to(int dtype, float *values, int64_t n) {
    if (dtype == FP16)
        for (int64_t i = 0; i < n; i++) {
            uint16_t half = float_to_half(values[i]);
            values[i] = half == 0x7c00u ? __builtin_inff() : half_to_float(half);
        }
    if (dtype == BF16)
        for (int64_t i = 0; i < n; i++) values[i] = brain_to_float(float_to_brain(values[i]));
}

struct Codebook {
    const float *levels, *thresholds;
    int n;
};

template <int D, class Search>
void quantize_blocks(Call call, int64_t begin, int64_t end, int absmax_dtype, const Search &search) {
    int64_t step = call.block_size > PIECE ? call.block_size : PIECE / call.block_size * call.block_size;
    float absmax[PIECE];
    call.scales = absmax;
    for (; begin < end; begin += step) {
        int64_t stop = begin + step < end ? begin + step : end;
        call.first_block = begin / call.block_size;
        absmax_of_blocks<D>(call.source, begin, stop, call.block_size, absmax);
        round_to(absmax_dtype, absmax, (stop - begin + call.block_size - 1) / call.block_size);
        quantize_range<D, false>(call, begin, stop, search);
    }
}

// Do something with the quickest search for the codebook.
template <class Work> void with_search(Codebook codebook, const Work &work) {
    Grid grid;
    if (codebook.n <= 8)
        work(Chain<8>(codebook.levels, codebook.thresholds, codebook.n));
    else if (grid.fits(codebook.levels, codebook.n))
        work(grid);
    else if (codebook.n <= 16)
        work(Chain<16>(codebook.levels, codebook.thresholds, codebook.n));
    else
        work(Table(codebook.levels, codebook.thresholds, codebook.n));
}

template <class Work> void with_dtype(int dtype, const Work &work) {
    if (dtype == FP32) work.template of<FP32>();
    if (dtype == FP16) work.template of<FP16>();
    if (dtype == BF16) work.template of<BF16>();
}

struct QuantizeBlocks {
    Call call;
    int64_t begin, end;
    int absmax_dtype;
    Codebook codebook;

    template <int D> void of() const {
        with_search(codebook, [this](const auto &search) { quantize_blocks<D>(call, begin, end, absmax_dtype, search); });
    }
};

// Weights begin to end of a matrix whose rows are `width` long and have codebooks of their own, if width is not 0.
struct QuantizeScaled {
    Call call;
    int64_t begin, end, width;
    Codebook codebook;

    template <int D> void of() const {
        for (int64_t first = begin, stop; first < end; first = stop) {
            int64_t row = width ? first / width : 0;
            stop = width && (row + 1) * width < end ? (row + 1) * width : end;
            Codebook own = {codebook.levels + row * codebook.n, codebook.thresholds + row * (codebook.n - 1), codebook.n};
            with_search(own, [=, this_call = &call](const auto &search) {
                if (this_call->offsets)
                    quantize_range<D, true>(*this_call, first, stop, search);
                else
                    quantize_range<D, false>(*this_call, first, stop, search);
            });
        }
    }
};

}  // namespace

extern "C" {

// Before the first write to `bytes` of new memory: ask for huge pages. Of small ones, each first write is a fault of its
// own, and together they take longer than the arithmetic. A hint; where it is refused, nothing else changes.
void kbit_prepare_target(void *target, int64_t bytes) {
#ifdef __linux__
    uintptr_t begin = ((uintptr_t)target + PAGE - 1) / PAGE * PAGE, end = ((uintptr_t)target + bytes) / PAGE * PAGE;
    if (bytes >= (int64_t)(2 * HUGE_PAGE)) madvise((void *)begin, end - begin, MADV_HUGEPAGE);
#else
    (void)target, (void)bytes, (void)PAGE, (void)HUGE_PAGE;
#endif
}

// source, target [n] of a dtype; begin, end: which to quantize, begin the first of its block. levels [n_levels]
// ascending, thresholds [n_levels - 1]. Of each block the absmax is rounded to absmax_dtype.
void kbit_fake_quantize(int dtype, const void *source, void *target, int64_t begin, int64_t end, int64_t block_size,
                        int absmax_dtype, const float *levels, const float *thresholds, int n_levels) {
    Call call = {source, target, block_size, nullptr, nullptr, 0};
    with_dtype(dtype, QuantizeBlocks{call, begin, end, absmax_dtype, {levels, thresholds, n_levels}});
}

// scales, offsets [blocks], offsets perhaps null. width 0: one codebook; else levels [rows, n_levels], thresholds [rows,
// n_levels - 1], one codebook for each row of `width` weights. begin: anywhere.
void kbit_fake_quantize_scaled(int dtype, const void *source, void *target, int64_t begin, int64_t end,
                               int64_t block_size, const float *scales, const float *offsets, int64_t width,
                               const float *levels, const float *thresholds, int n_levels) {
    Call call = {source, target, block_size, scales, offsets, 0};
    with_dtype(dtype, QuantizeScaled{call, begin, end, width, {levels, thresholds, n_levels}});
}
}
