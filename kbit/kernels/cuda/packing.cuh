// Reading and writing packed codes: 32 codes of K bits are K words (kbit/kernels/packing.py).
#pragma once
#include "values.cuh"

// The K words of 32 codes, and back. All indices are known when this is compiled: the words stay in registers.
template <int K> KBIT_FUNCTION void pack_group(const u32 *codes, u32 *words) {
#pragma unroll
    for (int word = 0; word < K; word++) words[word] = 0;
#pragma unroll
    for (int i = 0; i < 32; i++) {
        const int word = i * K / 32, shift = i * K % 32;
        words[word] |= codes[i] << shift;
        if (shift + K > 32) words[word + 1] |= codes[i] >> (32 - shift);
    }
}

template <int K> KBIT_FUNCTION u32 code_of_group(const u32 *words, int i) {
    const int word = i * K / 32, shift = i * K % 32;
    u32 code = words[word] >> shift;
    if (shift + K > 32) code |= words[word + 1] << (32 - shift);
    return code & ((1u << K) - 1u);
}
