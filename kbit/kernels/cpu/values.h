// Weights as they are stored, and as fp32. No branch depends on a value, so that compilers make vectors of the loops.
#pragma once
#include <cstdint>
#include <cstring>

enum Dtype { FP32 = 0, FP16 = 1, BF16 = 2 };

// The unsigned integer that has the bits of one value.
template <int D> struct Stored {
    typedef uint16_t type;
};
template <> struct Stored<FP32> {
    typedef uint32_t type;
};

inline uint32_t bits_of(float x) {
    uint32_t bits;
    std::memcpy(&bits, &x, sizeof bits);
    return bits;
}

inline float float_of(uint32_t bits) {
    float x;
    std::memcpy(&x, &bits, sizeof x);
    return x;
}

inline float magnitude(float x) {
    return float_of(bits_of(x) & 0x7fffffffu);
}

inline bool is_finite(float x) {
    return (bits_of(x) & 0x7f800000u) != 0x7f800000u;
}

// Of a finite number: exponent and mantissa moved to their places, the bias corrected by an exact product.
inline float half_to_float(uint16_t half) {
    const float two_to_112 = 5.192296858534827628530496329220096e33f;
    float size = float_of((half & 0x7fffu) << 13) * two_to_112;
    return float_of(bits_of(size) | (half & 0x8000u) << 16);
}

// To nearest, ties to even; beyond the range, infinite.
inline uint16_t float_to_half(float x) {
    uint32_t bits = bits_of(x), sign = bits >> 16 & 0x8000u, size = bits & 0x7fffffffu;
    uint32_t normal = (size + 0xfffu + (size >> 13 & 1u) - 0x38000000u) >> 13;
    // Below 2^-14: the last bit of the sum is worth 2^-24.
    uint32_t subnormal = bits_of(float_of(size) + 0.5f) - 0x3f000000u;
    uint32_t half = size < 0x38800000u ? subnormal : normal;
    half = size >= 0x477ff000u ? 0x7c00u : half;
    return (uint16_t)(sign | half);
}

inline float brain_to_float(uint16_t brain) {
    return float_of((uint32_t)brain << 16);
}

// To nearest, ties to even; beyond the range, infinite. Of a number.
inline uint16_t float_to_brain(float x) {
    uint32_t bits = bits_of(x);
    return (uint16_t)((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}

template <int D> inline float to_float(typename Stored<D>::type stored) {
    if (D == FP32) return float_of(stored);
    return D == FP16 ? half_to_float((uint16_t)stored) : brain_to_float((uint16_t)stored);
}

template <int D> inline typename Stored<D>::type from_float(float x) {
    if (D == FP32) return (typename Stored<D>::type)bits_of(x);
    return D == FP16 ? float_to_half(x) : float_to_brain(x);
}
