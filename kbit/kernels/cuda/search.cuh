// From a scaled weight t to its code: the number of thresholds strictly below t (kbit/kernels/reference.py).
//
// Thresholds come padded with +infinity to 2^K - 1, levels with the last level to 2^K. Two searches give the same code:
// a binary one, for every codebook, in K steps; and one look-up in a table of cells of the float number line, for
// codebooks that have at most one threshold in a cell.
#pragma once
#include "values.cuh"

// A block without a finite reciprocal of its scale is zeros: it gets the reciprocal 0.
KBIT_FUNCTION float reciprocal(float scale) {
    float inverse = 1.0f / scale;
    return (bits_of(inverse) & 0x7f800000u) == 0x7f800000u ? 0.0f : inverse;
}

template <int K> KBIT_FUNCTION u32 search_binary(float t, const float *thresholds) {
    u32 code = 0;
#pragma unroll
    for (u32 step = 1u << (K - 1); step; step >>= 1)
        if (t > thresholds[code + step - 1]) code += step;
    return code;
}

// Cells of one sign: those of magnitudes whose upper bits are first + 0, first + 1, ...; the first holds all smaller
// ones too, the last all larger ones. below[cell] counts the thresholds below every t of the cell.
struct Cells {
    int shift;  // 23 - bits of the mantissa that number a cell
    int first;
    int count;  // of one sign; the negative ones follow the positive ones
    int unused;
};

KBIT_FUNCTION u32 search_cells(float t, const float *thresholds, const u8 *below, Cells cells) {
    u32 bits = bits_of(t);
    int cell = (int)((bits & 0x7fffffffu) >> cells.shift) - cells.first;
    cell = cell < 0 ? 0 : cell;
    cell = cell >= cells.count ? cells.count - 1 : cell;
    u32 code = below[cell + (bits >> 31 ? cells.count : 0)];
    return code + (t > thresholds[code] ? 1u : 0u);
}

// Thresholds, levels, and the cells with what is below them, one after the other (kbit/kernels/cuda/tables.py).
template <int K, bool USE_CELLS> struct Codebook {
    const float *thresholds;  // [2^K]; the last one is +infinity
    const float *levels;      // [2^K]
    const u8 *below;          // [2 * cells.count]
    Cells cells;

    KBIT_FUNCTION u32 code(float t) const {
        return USE_CELLS ? search_cells(t, thresholds, below, cells) : search_binary<K>(t, thresholds);
    }
};

// What a block stores, as it is computed with.
struct Scale {
    float scale, inverse, offset;
};

// Without an offset nothing is added: -0 + 0 would not be -0.
template <bool HAS_OFFSET> KBIT_FUNCTION float scaled(float x, Scale block) {
    return (HAS_OFFSET ? x - block.offset : x) * block.inverse;
}

template <bool HAS_OFFSET> KBIT_FUNCTION float dequantize(float level, Scale block) {
    float y = block.inverse == 0.0f ? 0.0f : level * block.scale;
    return HAS_OFFSET ? y + block.offset : y;
}

template <int K, bool USE_CELLS, bool HAS_OFFSET>
KBIT_FUNCTION float fake_quantize(float x, Scale block, const Codebook<K, USE_CELLS> &codebook) {
    return dequantize<HAS_OFFSET>(codebook.levels[codebook.code(scaled<HAS_OFFSET>(x, block))], block);
}
