// From scaled weights to levels: that of the code which counts the thresholds strictly below t (kbit/kernels/reference.py).
#pragma once
#include "values.h"

const int STRIP = 64;  // weights looked up at a time

// All thresholds in turn, for few of them: every one that is passed changes the level's bits to those of the next.
template <int LEVELS> struct Chain {
    float thresholds[LEVELS - 1];
    uint32_t first, changes[LEVELS - 1];

    Chain(const float *levels, const float *given_thresholds, int n) : first(bits_of(levels[0])) {
        for (int i = 0; i < LEVELS - 1; i++) {
            thresholds[i] = i < n - 1 ? given_thresholds[i] : __builtin_inff();
            changes[i] = i < n - 1 ? bits_of(levels[i]) ^ bits_of(levels[i + 1]) : 0;
        }
    }

    void look_up(const float *t, float *level) const {
        for (int i = 0; i < STRIP; i++) {
            uint32_t bits = first;
            for (int j = 0; j < LEVELS - 1; j++) bits ^= -(uint32_t)(t[i] > thresholds[j]) & changes[j];
            level[i] = float_of(bits);
        }
    }
};

// Levels in closed form: 0 and, of both signs, whole numbers below 2^(M+1), after which their distance doubles every 2^M
// of them, over some number a. Such are the integers, and the minifloats whose subnormals go on where the normals end.
struct Grid {
    float a, top;             // the largest whole number
    uint32_t mantissa_bits;   // M

    // Whether the levels are a grid, which is then this one.
    bool fits(const float *levels, int n) {
        int half = n / 2;
        if (n < 3 || n % 2 == 0 || bits_of(levels[half]) != 0) return false;
        for (mantissa_bits = 0; mantissa_bits < 7; mantissa_bits++) {
            top = whole_number(half), a = top / levels[n - 1];
            bool equal = top < 1e25f;
            for (int i = 1; i <= half && equal; i++) {
                float level = whole_number(i) / a;
                equal = levels[half + i] == level && levels[half - i] == -level;
            }
            if (equal) return true;
        }
        return false;
    }

    float whole_number(int i) const {
        int field = i >> mantissa_bits, mantissa = i & ((1 << mantissa_bits) - 1);
        if (field == 0) return (float)i;
        return (float)((1 << mantissa_bits) + mantissa) * float_of((uint32_t)(field - 1 + 127) << 23);
    }

    // Neighbours are found by rounding |t| a at the right digit; their midpoint, with the roundings it is defined with,
    // decides between them, so that the rounding of |t| a does not matter. Ties go down: to the larger of two negatives.
    void look_up(const float *t, float *level) const {
        const uint32_t least = (mantissa_bits + 127) << 23, digit = (23 - mantissa_bits) << 23;
        for (int i = 0; i < STRIP; i++) {
            float size = magnitude(t[i]), x = size * a;
            x = x < top ? x : top;
            uint32_t exponent = bits_of(x) & 0x7f800000u, sign = bits_of(t[i]) & 0x80000000u;
            exponent = exponent > least ? exponent : least;
            float distance = float_of(exponent - (mantissa_bits << 23));
            float large = float_of((exponent + digit) | 0x400000u);  // its last digit is worth the distance
            float nearest = (x + large) - large;
            float low = nearest > x ? nearest - distance : nearest, high = low + distance;
            float below = low / a, above = (high < top ? high : top) / a, middle = (below + above) * 0.5f;
            bool is_above = (size > middle) | ((size == middle) & (sign != 0));
            uint32_t bits = bits_of(is_above ? above : below);
            level[i] = float_of(bits | (bits ? sign : 0));
        }
    }
};

// Cells of the float number line: numbers with the same upper bits. A cell knows how many thresholds lie below it, so
// only those within it are compared, which is one at most if cells are narrow enough.
struct Table {
    float thresholds[256], levels[256];  // after the thresholds there are infinities
    int shift;                           // lower bits that do not tell cells apart
    int steps;                           // thresholds in one cell at most
    uint8_t below[1 << 16];              // by upper bits: first the positive cells, then the negative ones

    Table(const float *given_levels, const float *given_thresholds, int n) {
        // -0 compares as 0, so it must lie in its cell.
        for (int i = 0; i < 256; i++) thresholds[i] = i < n - 1 ? given_thresholds[i] + 0.0f : __builtin_inff();
        for (int i = 0; i < 256; i++) levels[i] = given_levels[i < n ? i : n - 1];
        shift = 20;
        while ((steps = most_in_a_cell(n - 1)) > 1 && shift > 16) shift--;
        for (int code = 0, first = 0; code < n; code++) {
            int last = code < n - 1 ? ascending(thresholds[code]) : cells() - 1;
            if (last >= first) set(first, last, code);
            first = last >= first ? last + 1 : first;
        }
    }

    int cells() const {
        return 1 << (32 - shift);
    }

    // The cell of a number, counted from the lowest.
    int ascending(float x) const {
        int cell = (int)(bits_of(x) >> shift);
        return cell >= cells() / 2 ? cells() - 1 - cell : cell + cells() / 2;
    }

    int most_in_a_cell(int n) const {
        int most = 0;
        for (int i = 0, run = 0; i < n; i++) {
            run = i > 0 && ascending(thresholds[i]) == ascending(thresholds[i - 1]) ? run + 1 : 1;
            most = run > most ? run : most;
        }
        return most;
    }

    // first and last counted from the lowest cell.
    void set(int first, int last, int code) {
        int half = cells() / 2, last_negative = last < half ? last : half - 1, first_positive = first > half ? first : half;
        if (first < half) std::memset(below + cells() - 1 - last_negative, code, last_negative - first + 1);
        if (last >= half) std::memset(below + first_positive - half, code, last - first_positive + 1);
    }

    void look_up(const float *t, float *level) const {
        if (steps <= 1) {
            for (int i = 0; i < STRIP; i++) {
                unsigned code = below[bits_of(t[i]) >> shift];
                level[i] = levels[code + (t[i] > thresholds[code])];
            }
            return;
        }
        for (int i = 0; i < STRIP; i++) {
            unsigned code = below[bits_of(t[i]) >> shift];
            code += t[i] > thresholds[code];
            while (t[i] > thresholds[code]) code++;  // in a crowded cell: seldom
            level[i] = levels[code];
        }
    }
};
