"""Packed codes: the layout against a bit string that Python writes, and the way back."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from kbit.kernels.packing import GROUPS_AT_ONCE, count_words, pack_codes, unpack_codes

WIDTHS = range(1, 9)


@st.composite
def codes_of_a_width(draw) -> tuple[int, list[int]]:
    bits = draw(st.sampled_from(WIDTHS))
    return bits, draw(st.lists(st.integers(0, 2**bits - 1), max_size=100))


def words_by_definition(codes: list[int], bits: int) -> list[int]:
    """Python's own integers: one number per group, its k words lowest first."""
    words = []
    for first in range(0, len(codes), 32):
        group = sum(code << (index * bits) for index, code in enumerate(codes[first : first + 32]))
        words += [group >> (32 * word) & 0xFFFFFFFF for word in range(bits)]
    return words


@given(codes_of_a_width())
def test_layout(case):
    bits, codes = case
    words = pack_codes(torch.tensor(codes, dtype=torch.uint8), bits)
    assert words.dtype == torch.int32
    assert [word & 0xFFFFFFFF for word in words.tolist()] == words_by_definition(codes, bits)
    assert len(words) == count_words(len(codes), bits)
    assert unpack_codes(words, bits, len(codes)).tolist() == codes


@pytest.mark.parametrize("bits", WIDTHS)
def test_round_trip_of_several_pieces(bits: int):
    n_codes = 32 * (GROUPS_AT_ONCE + 3) + 5
    codes = torch.randint(2**bits, (n_codes,), generator=torch.Generator().manual_seed(bits)).to(torch.uint8)
    words = pack_codes(codes, bits)
    assert words.numel() * 32 == -(-n_codes // 32) * 32 * bits, "k bits a code, and nothing but the filling beside them"
    assert torch.equal(unpack_codes(words, bits, n_codes), codes)


def test_refuses():
    with pytest.raises(ValueError, match="bits is 9, not 1 to 8"):
        pack_codes(torch.zeros(4, dtype=torch.uint8), 9)
    with pytest.raises(ValueError, match="33 codes of 3 bits take 6 words, not 3"):
        unpack_codes(torch.zeros(3, dtype=torch.int32), 3, 33)
