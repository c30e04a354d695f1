"""`af`: AbnormalFloat, levels for normal weights in blocks of the size in use."""

from functools import lru_cache

import torch
from torch import Tensor

from kbit.quant.blocks import weights_per_block
from kbit.quant.normal_blocks import half_levels, magnitudes, next_by_median
from kbit.spec.quant import QuantSpec


def codebook(spec: QuantSpec, weight: Tensor) -> Tensor:
    """2^(k-1) positive levels up to 1, 2^(k-1) - 1 negative ones down to -1, and 0. Returns f32 [2^k].

    Either half has the least mean absolute error, alone and without the level at 0, on N(0, 1) divided by the absmax of
    blocks of B: every level is the median of its cell. Yoshida (2023), NF4 isn't information theoretically optimal; the
    halves reproduce the published AF4-64 to 1e-5, one joint optimum would not.
    """
    return torch.tensor(levels(spec.bits, weights_per_block(weight, spec)), device=weight.device)


@lru_cache(maxsize=256)
def levels(bits: int, block_size: int) -> tuple[float, ...]:
    """Ascending, in [-1, 1]."""
    of = magnitudes(block_size, by_square=False)
    h = 2 ** (bits - 1)
    positive = half_levels(h, of, next_by_median, beside_zero=False, ends_at_one=True)
    negative = half_levels(h - 1, of, next_by_median, beside_zero=False, ends_at_one=True)
    return (*(-level for level in reversed(negative)), 0.0, *positive)
