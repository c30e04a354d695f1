"""`mxfp4`, `mxfp6`, `mxfp8`, `nvfp4`: the element formats of OCP's microscaling formats and of NVIDIA's NVFP4."""

import torch
from torch import Tensor

from kbit.spec.quant import QuantSpec

SPECIAL_PATTERNS = {(4, 3): 1, (5, 2): 4}
"""(E, M) -> largest bit patterns that are no numbers: E4M3's one NaN, E5M2's infinity and NaNs. Others have none."""
ONLY_EXPONENT = 2
"""E of the 4-bit types, whose spec states none."""


def codebook(spec: QuantSpec, weight: Tensor) -> Tensor:
    """(1 + m / 2^M) 2^(e - b) for exponent field e > 0, else m / 2^M 2^(1 - b); b = 2^(E-1) - 1; both signs.

    Up to 6 for E2M1, 7.5 for E2M3, 28 for E3M2, 448 for E4M3, 57344 for E5M2: not normalised, as the scale is not the
    absmax but a number that maps it near the largest element. OCP Microscaling Formats (MX) v1.0, section 5.3; NVFP4 is
    E2M1 too. Weights on a midpoint go down here, to the even element there. Returns f32 [<= 2^k - 1].
    """
    exponent_bits = spec.exponent_bits or ONLY_EXPONENT
    mantissa_bits = spec.bits - 1 - exponent_bits
    patterns = torch.arange(2 ** (spec.bits - 1) - SPECIAL_PATTERNS.get((exponent_bits, mantissa_bits), 0))
    exponents, fractions = patterns >> mantissa_bits, (patterns & (2**mantissa_bits - 1)).double() / 2**mantissa_bits
    bias = 2 ** (exponent_bits - 1) - 1
    significands = fractions + (exponents > 0)
    magnitudes = significands * 2.0 ** (exponents.clamp_min(1) - bias).double()
    # The first magnitude is 0, which has one level for both signs.
    return torch.cat([-magnitudes[1:].flip(0), magnitudes]).float().to(weight.device)
