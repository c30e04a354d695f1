"""`e4m3`: one byte with four exponent and three mantissa bits, times one fp32 number per tensor."""

from collections.abc import Mapping

import torch
from torch import Tensor

LARGEST = 448.0
"""The largest finite number of OCP's E4M3."""


def store(extent: Tensor, largest: float) -> Tensor:
    """extent f32 [n], signed; largest: the codebook's -> f32 [n].

    With the tensor's scale T = max |extent| / (448 largest): E4M3(extent / (largest T)) T, to nearest even. 0 for a
    block 2^-10 / 448 times as large as the largest of the tensor, or smaller. As NVIDIA's NVFP4 does, with largest 6.
    """
    return decode(encode(extent, largest))


def encode(extent: Tensor, largest: float) -> dict[str, Tensor]:
    """What is stored: `scale`, u8 [n], the bits of each E4M3, and `tensor_scale`, f32 [1]; see `store`."""
    tensor_scale = extent.abs().amax() / (LARGEST * largest)
    if tensor_scale == 0:
        scaled = torch.zeros_like(extent)
    else:
        # Beyond 448 by a rounding at most; the cast would make it a NaN from 464 on.
        scaled = (extent / largest / tensor_scale).clamp(-LARGEST, LARGEST)
    return {"scale": scaled.to(torch.float8_e4m3fn).view(torch.uint8), "tensor_scale": tensor_scale.view(1)}


def decode(stored: Mapping[str, Tensor]) -> Tensor:
    """What `encode` stored, as it is read back, f32 [n]."""
    return stored["scale"].view(torch.float8_e4m3fn).float() * stored["tensor_scale"]
