"""`e8m0`: one byte that holds a power of two, 2^-127 to 2^127."""

import torch
from torch import Tensor

EXPONENTS = (-127, 127)


def store(extent: Tensor, largest: float) -> Tensor:
    """extent f32 [n], not negative; largest: the codebook's -> f32 [n], the smallest power of two that clips nothing.

    2^ceil(log2(extent / largest)), kept within the byte's range; 0 for an extent of 0, which the format lacks: its
    weights are all zero, so any scale reads back the same.
    """
    fraction, exponent = torch.frexp(extent / largest)  # extent / largest = fraction 2^exponent, 1/2 <= fraction < 1
    return power_of_two(torch.where(fraction == 0.5, exponent - 1, exponent), extent)


def power_of_two(exponents: Tensor, extent: Tensor) -> Tensor:
    """exponents i32 [n] -> f32 [n] 2^exponent within the range of a byte, 0 where the extent is."""
    # In fp64, where 2^-127 is no subnormal that a device might flush.
    powers = torch.ldexp(torch.ones_like(extent, dtype=torch.float64), exponents.clamp(*EXPONENTS))
    return torch.where(extent > 0, powers, 0.0).float()
