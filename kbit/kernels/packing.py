"""Codes of k bits as dense 32-bit words: 32 consecutive codes are k consecutive words.

Bit j of code i of a group is bit i * k + j of the group's 32 k bits, counted from the lowest bit of its first word, so
that a code may straddle two words. The last group is filled up with codes 0. Every group begins at a word, for every k:
a GPU thread reads its group with aligned loads and takes 5 to 6 instructions a code (bit planes take 11 to 21).
"""

import torch
from torch import Tensor

CODES_PER_GROUP = 32
WORD_BITS = 32
WORD_MASK = (1 << WORD_BITS) - 1
GROUPS_AT_ONCE = 1 << 14
"""Groups worked on at a time, so that the 64-bit intermediates stay in the cache."""


def count_words(n_codes: int, bits: int) -> int:
    """Words that so many codes of `bits` bits take, the filling of the last group included."""
    return -(-n_codes // CODES_PER_GROUP) * bits


def pack_codes(codes: Tensor, bits: int) -> Tensor:
    """codes u8 [n], each below 2^bits -> i32 [count_words(n, bits)], on the same device."""
    check_bits(bits)
    n_groups = -(-codes.numel() // CODES_PER_GROUP)
    words = torch.empty(n_groups, bits, dtype=torch.int32, device=codes.device)
    filled = torch.nn.functional.pad(codes.reshape(-1), (0, n_groups * CODES_PER_GROUP - codes.numel()))
    groups = filled.view(n_groups, CODES_PER_GROUP)
    for first in range(0, n_groups, GROUPS_AT_ONCE):
        words[first : first + GROUPS_AT_ONCE] = pack_groups(groups[first : first + GROUPS_AT_ONCE].long(), bits)
    return words.view(-1)


def pack_groups(codes: Tensor, bits: int) -> Tensor:
    """codes i64 [groups, 32] -> i32 [groups, bits]."""
    words = codes.new_zeros(len(codes), bits)
    for index in range(CODES_PER_GROUP):
        word, shift = divmod(index * bits, WORD_BITS)
        words[:, word] |= codes[:, index] << shift
        if shift + bits > WORD_BITS:
            words[:, word + 1] |= codes[:, index] >> (WORD_BITS - shift)
    # Two's complement: the upper half of what 32 bits hold without a sign are the negative numbers.
    words &= WORD_MASK
    return torch.where(words > WORD_MASK // 2, words - (WORD_MASK + 1), words).to(torch.int32)


def unpack_codes(words: Tensor, bits: int, n_codes: int) -> Tensor:
    """words i32 [count_words(n_codes, bits)] -> codes u8 [n_codes], on the same device."""
    check_bits(bits)
    if words.numel() != count_words(n_codes, bits):
        raise ValueError(f"{n_codes} codes of {bits} bits take {count_words(n_codes, bits)} words, not {words.numel()}")
    groups = words.view(-1, bits)
    codes = torch.empty(len(groups), CODES_PER_GROUP, dtype=torch.uint8, device=words.device)
    for first in range(0, len(groups), GROUPS_AT_ONCE):
        codes[first : first + GROUPS_AT_ONCE] = unpack_groups(groups[first : first + GROUPS_AT_ONCE].long(), bits)
    return codes.view(-1)[:n_codes]


def unpack_groups(words: Tensor, bits: int) -> Tensor:
    """words i64 [groups, bits] -> codes u8 [groups, 32]."""
    words = words & WORD_MASK
    codes = words.new_empty(len(words), CODES_PER_GROUP)
    for index in range(CODES_PER_GROUP):
        word, shift = divmod(index * bits, WORD_BITS)
        codes[:, index] = words[:, word] >> shift
        if shift + bits > WORD_BITS:
            codes[:, index] |= words[:, word + 1] << (WORD_BITS - shift)
    return (codes & ((1 << bits) - 1)).to(torch.uint8)


def check_bits(bits: int) -> None:
    if not 1 <= bits <= 8:
        raise ValueError(f"bits is {bits}, not 1 to 8")
