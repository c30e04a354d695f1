"""`bof` and `bof-s`: block-wise optimal float, the least squared error of normal weights in blocks."""

from functools import lru_cache

import torch
from torch import Tensor

from kbit.quant.blocks import weights_per_block
from kbit.quant.normal_blocks import half_levels, magnitudes, next_by_mean
from kbit.spec.members import DATA_TYPES
from kbit.spec.quant import QuantSpec


def codebook(spec: QuantSpec, weight: Tensor) -> Tensor:
    """0, 2^(k-1) positive levels up to 1 and 2^(k-1) - 1 negative ones. Returns f32 [2^k].

    Every other level is the mean of its cell, weighted with the square of the block's extreme: the error that counts is
    the weight's, not that of the weight over the absmax. `bof` ends at -1. In `bof-s`, whose blocks are divided by the
    extreme with its sign, nothing is mapped to -1, and the lowest level is free. Blumenberg et al. (2025), BOF4.
    """
    is_signed = DATA_TYPES[spec.data_type].scaling == "signed"
    return torch.tensor(levels(spec.bits, weights_per_block(weight, spec), is_signed), device=weight.device)


@lru_cache(maxsize=256)
def levels(bits: int, block_size: int, is_signed: bool) -> tuple[float, ...]:
    """Ascending, in [-1, 1]."""
    of = magnitudes(block_size, by_square=True)
    h = 2 ** (bits - 1)
    positive = half_levels(h, of, next_by_mean, beside_zero=True, ends_at_one=True)
    negative = half_levels(h - 1, of, next_by_mean, beside_zero=True, ends_at_one=not is_signed)
    return (*(-level for level in reversed(negative)), 0.0, *positive)
