"""`e8m0`: one byte that holds a power of two, 2^-127 to 2^127."""

from collections.abc import Mapping

import torch
from torch import Tensor

EXPONENTS = (-127, 127)
FP64_BIAS, FP64_MANTISSA_BITS = 1023, 52
BIAS = 127
ZEROS = 255
"""The byte of a block of zeros, which OCP's E8M0 has as NaN."""


def encode(extent: Tensor, largest: float) -> dict[str, Tensor]:
    """What is stored: `scale`, u8 [n], one byte a block; see `store`."""
    return {"scale": exponent_bytes(choose_exponents(extent, largest), extent)}


def decode(stored: Mapping[str, Tensor]) -> Tensor:
    """What `encode` stored, as it is read back, f32 [n]."""
    scale = stored["scale"]
    return power_of_two(scale.int() - BIAS, (scale != ZEROS).float())


def exponent_bytes(exponents: Tensor, extent: Tensor) -> Tensor:
    """exponents i32 [n] -> u8 [n]: the exponent within its range plus 127."""
    return torch.where(extent > 0, exponents.clamp(*EXPONENTS) + BIAS, ZEROS).to(torch.uint8)


def store(extent: Tensor, largest: float) -> Tensor:
    """extent f32 [n], not negative; largest: the codebook's -> f32 [n], the smallest power of two that clips nothing.

    2^ceil(log2(extent / largest)), kept within the byte's range; 0 for an extent of 0, which the format lacks: its
    weights are all zero, so any scale reads back the same.
    """
    return power_of_two(choose_exponents(extent, largest), extent)


def choose_exponents(extent: Tensor, largest: float) -> Tensor:
    """i32 [n], beyond the byte's range too."""
    fraction, exponent = torch.frexp(extent / largest)  # extent / largest = fraction 2^exponent, 1/2 <= fraction < 1
    return torch.where(fraction == 0.5, exponent - 1, exponent)


def power_of_two(exponents: Tensor, extent: Tensor) -> Tensor:
    """exponents i32 [n] -> f32 [n] 2^exponent within the range of a byte, 0 where the extent is."""
    # From its bits in fp64, where 2^-127 is normal: exact on every device, as ldexp, an fp32 power, need not be.
    powers = ((exponents.clamp(*EXPONENTS).long() + FP64_BIAS) << FP64_MANTISSA_BITS).view(torch.float64)
    return torch.where(extent > 0, powers, 0.0).float()
