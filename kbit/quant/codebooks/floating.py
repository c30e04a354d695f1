"""`float` and its variants: minifloats with E exponent and M = k - 1 - E mantissa bits, without NaN and infinity."""

import torch
from torch import Tensor

from kbit.spec.quant import QuantSpec

GAPS = {"float": 1, "float-bnb039": 4, "fp4-bnb": 16}
"""How many times smaller subnormals are than where they would join the normals."""


def codebook(spec: QuantSpec, weight: Tensor) -> Tensor:
    """Magnitudes m / 2^M / gap for exponent field e = 0, else (1 + m / 2^M) 2^(e - 1), over the largest of them.

    e = 0 .. 2^E - 1, m = 0 .. 2^M - 1. `float` is IEEE-like, its subnormals go on where the normals end: E2M1 is OCP's
    FP4 {0, .5, 1, 1.5, 2, 3, 4, 6} / 6, and E = 1 equals `int`. Dettmers & Zettlemoyer (2023), section 2.2, as in
    bitsandbytes 0.36 to 0.38. `float-bnb039`: as bitsandbytes has it from 0.39 on. `fp4-bnb`:
    the formula printed in the paper's appendix A, bias 2^(E-1) + 1, which is bitsandbytes' fp4 table for E2M1.
    Without a mantissa all three coincide. Returns f32 [2^k - 1].
    """
    mantissa_bits = spec.bits - 1 - spec.exponent_bits
    exponents = torch.arange(2**spec.exponent_bits, dtype=torch.float64)[:, None]
    fractions = torch.arange(2**mantissa_bits, dtype=torch.float64) / 2**mantissa_bits
    subnormals = fractions / GAPS[spec.data_type]
    magnitudes = torch.where(exponents == 0, subnormals, (1 + fractions) * 2 ** (exponents - 1)).flatten()
    magnitudes = magnitudes / magnitudes[-1]
    # The first magnitude is 0, which has one level for both signs.
    return torch.cat([-magnitudes[1:].flip(0), magnitudes]).float().to(weight.device)
