"""`mx`: the shared scale of OCP's microscaling formats."""

import math

import torch
from torch import Tensor

from kbit.quant.scale_formats.e8m0 import decode, exponent_bytes, power_of_two

__all__ = ["decode", "encode", "store"]


def store(extent: Tensor, largest: float) -> Tensor:
    """2^(floor(log2(extent)) - emax), emax the exponent of the largest element; kept within a byte's range; 0 for 0.

    extent f32 [n], not negative; largest: the largest element, 6 for E2M1 -> f32 [n]. An extent above largest times the
    scale saturates, by a third at most for E2M1. OCP Microscaling Formats (MX) v1.0, section 6.3.
    """
    return power_of_two(choose_exponents(extent, largest), extent)


def encode(extent: Tensor, largest: float) -> dict[str, Tensor]:
    """What is stored: `scale`, u8 [n], one byte a block, read back as e8m0 is; see `store`."""
    return {"scale": exponent_bytes(choose_exponents(extent, largest), extent)}


def choose_exponents(extent: Tensor, largest: float) -> Tensor:
    """i32 [n], beyond the byte's range too."""
    _, exponent = torch.frexp(extent)  # one above the floor of the logarithm, also for a power of two
    return exponent - 1 - math.floor(math.log2(largest))
