// Scalars and 16-byte vectors of weights, without any header: NVRTC needs no toolkit to compile this, and a C++ compiler
// makes the same functions for the host, where tests compare them with the definition in kbit/kernels/reference.py.
#pragma once

#ifdef __CUDACC__
#define KBIT_FUNCTION __device__ __forceinline__
#else
#define KBIT_FUNCTION inline
struct uint4 {
    unsigned x, y, z, w;
};
#endif

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned u32;
typedef long long i64;

enum Dtype { FP32 = 0, FP16 = 1, BF16 = 2 };

// The unsigned integer that has the bits of one value.
template <int D> struct Stored {
    typedef u16 type;
};
template <> struct Stored<FP32> {
    typedef u32 type;
};

// Values in 16 bytes.
template <int D> struct VectorLength {
    static const int value = D == FP32 ? 4 : 8;
};

KBIT_FUNCTION u32 bits_of(float x) {
    union {
        float value;
        u32 bits;
    } both = {x};
    return both.bits;
}

KBIT_FUNCTION float float_of(u32 bits) {
    union {
        u32 bits;
        float value;
    } both = {bits};
    return both.value;
}

KBIT_FUNCTION float magnitude(float x) {
    return float_of(bits_of(x) & 0x7fffffffu);
}

KBIT_FUNCTION float half_to_float(u16 half) {
#ifdef __CUDACC__
    float x;
    asm("cvt.f32.f16 %0, %1;" : "=f"(x) : "h"(half));
    return x;
#else
    u32 sign = (u32)(half & 0x8000u) << 16, exponent = half >> 10 & 31u, mantissa = half & 1023u;
    if (exponent == 0) {  // subnormal: an integer times 2^-24
        float x = (float)mantissa * 5.9604644775390625e-8f;
        return float_of(bits_of(x) | sign);
    }
    return float_of(sign | (exponent == 31 ? 255u : exponent + 112u) << 23 | mantissa << 13);
#endif
}

// To nearest, ties to even; beyond the range, infinite.
KBIT_FUNCTION u16 float_to_half(float x) {
#ifdef __CUDACC__
    u16 half;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(half) : "f"(x));
    return half;
#else
    u32 bits = bits_of(x), sign = bits >> 16 & 0x8000u, size = bits & 0x7fffffffu;
    if (size > 0x7f800000u) return (u16)(sign | 0x7fffu);
    if (size >= 0x477ff000u) return (u16)(sign | 0x7c00u);
    if (size < 0x38800000u) {  // below 2^-14: the sum's last bit is worth 2^-24
        u32 rounded = bits_of(float_of(size) + 0.5f);
        return (u16)(sign | (rounded - 0x3f000000u));
    }
    u32 rounded = size + 0xfffu + (size >> 13 & 1u) - 0x38000000u;
    return (u16)(sign | rounded >> 13);
#endif
}

KBIT_FUNCTION float brain_to_float(u16 brain) {
    return float_of((u32)brain << 16);
}

KBIT_FUNCTION u16 float_to_brain(float x) {
#ifdef __CUDACC__
    u16 brain;
    asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(brain) : "f"(x));
    return brain;
#else
    u32 bits = bits_of(x);
    if ((bits & 0x7fffffffu) > 0x7f800000u) return 0x7fffu;
    return (u16)((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
#endif
}

template <int D> KBIT_FUNCTION float to_float(typename Stored<D>::type stored) {
    if (D == FP32) return float_of(stored);
    return D == FP16 ? half_to_float((u16)stored) : brain_to_float((u16)stored);
}

template <int D> KBIT_FUNCTION typename Stored<D>::type from_float(float x) {
    if (D == FP32) return (typename Stored<D>::type)bits_of(x);
    return D == FP16 ? float_to_half(x) : float_to_brain(x);
}

// x rounded to dtype D, as it is read back.
template <int D> KBIT_FUNCTION float rounded_to(float x) {
    return to_float<D>(from_float<D>(x));
}

template <int D> KBIT_FUNCTION void to_floats(uint4 vector, float *x) {
    u32 words[4] = {vector.x, vector.y, vector.z, vector.w};
#pragma unroll
    for (int i = 0; i < 4; i++) {
        if (D == FP32) {
            x[i] = float_of(words[i]);
        } else {
            x[2 * i] = to_float<D>((typename Stored<D>::type)(words[i] & 0xffffu));
            x[2 * i + 1] = to_float<D>((typename Stored<D>::type)(words[i] >> 16));
        }
    }
}

template <int D> KBIT_FUNCTION u32 two_from_floats(float low, float high) {
#ifdef __CUDACC__
    u32 word;
    if (D == FP16)
        asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(word) : "f"(high), "f"(low));
    else
        asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(word) : "f"(high), "f"(low));
    return word;
#else
    return (u32)from_float<D>(low) | (u32)from_float<D>(high) << 16;
#endif
}

template <int D> KBIT_FUNCTION uint4 from_floats(const float *x) {
    u32 words[4];
#pragma unroll
    for (int i = 0; i < 4; i++) {
        if (D == FP32)
            words[i] = bits_of(x[i]);
        else
            words[i] = two_from_floats<D>(x[2 * i], x[2 * i + 1]);
    }
    uint4 vector;
    vector.x = words[0], vector.y = words[1], vector.z = words[2], vector.w = words[3];
    return vector;
}
