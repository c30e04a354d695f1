"""`int-asym`: integers between the smallest and the largest weight of a block."""

import torch
from torch import Tensor

from kbit.spec.quant import QuantSpec


def codebook(spec: QuantSpec, weight: Tensor) -> Tensor:
    """u_i = i / (2^k - 1), i = 0 .. 2^k - 1; a weight is u (maximum - minimum) + minimum of its block.

    Two numbers per block, 32 / B bits in 16-bit formats: the minimum in the place of a zero point, which is minimum /
    step. Min-max quantization as in HQQ and GPTQ before they optimise anything, without forcing 0 into the range.
    Returns f32 [2^k].
    """
    n = 2**spec.bits - 1
    return torch.arange(n + 1, dtype=torch.float32, device=weight.device) / n
