"""`float`: the IEEE-like minifloat with E exponent and M = k - 1 - E mantissa bits, without NaN and infinity."""

import torch
from torch import Tensor

from kbit.spec.quant import QuantSpec


def codebook(spec: QuantSpec, weight: Tensor) -> Tensor:
    """Magnitudes m / 2^M for exponent field e = 0, else (1 + m / 2^M) 2^(e - 1), over the largest of them.

    e = 0 .. 2^E - 1, m = 0 .. 2^M - 1: the subnormals go on where the normals end, so E2M1 is OCP's FP4
    {0, .5, 1, 1.5, 2, 3, 4, 6} / 6, and E = 1 equals `int`. A bias would cancel. Dettmers & Zettlemoyer (2023), section
    2.2; the formula printed in their appendix differs by a gap below the smallest normal. Returns f32 [2^k - 1].
    """
    mantissa_bits = spec.bits - 1 - spec.exponent_bits
    exponents = torch.arange(2**spec.exponent_bits, dtype=torch.float64)[:, None]
    fractions = torch.arange(2**mantissa_bits, dtype=torch.float64) / 2**mantissa_bits
    magnitudes = torch.where(exponents == 0, fractions, (1 + fractions) * 2 ** (exponents - 1)).flatten()
    magnitudes = magnitudes / magnitudes[-1]
    # The first magnitude is 0, which has one level for both signs.
    return torch.cat([-magnitudes[1:].flip(0), magnitudes]).float().to(weight.device)
