"""`e4m3`: one byte with four exponent and three mantissa bits, times one fp32 number per tensor."""

import torch
from torch import Tensor

LARGEST = 448.0
"""The largest finite number of OCP's E4M3."""


def store(extent: Tensor, largest: float) -> Tensor:
    """extent f32 [n], signed; largest: the codebook's -> f32 [n].

    With the tensor's scale T = max |extent| / (448 largest): E4M3(extent / (largest T)) T, to nearest even. 0 for a
    block 2^-10 / 448 times as large as the largest of the tensor, or smaller. As NVIDIA's NVFP4 does, with largest 6.
    """
    tensor_scale = extent.abs().amax() / (LARGEST * largest)
    if tensor_scale == 0:
        return torch.zeros_like(extent)
    # Beyond 448 by a rounding at most; the cast would make it a NaN from 464 on.
    scaled = (extent / largest / tensor_scale).clamp(-LARGEST, LARGEST)
    return scaled.to(torch.float8_e4m3fn).float() * tensor_scale
