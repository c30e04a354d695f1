"""`int`: symmetric integers."""

import torch
from torch import Tensor

from kbit.spec.quant import QuantSpec


def codebook(spec: QuantSpec, weight: Tensor) -> Tensor:
    """u_i = i / n for i = -n .. n with n = 2^(k-1) - 1: 2^k - 1 levels, so one code stays unused.

    Dettmers & Zettlemoyer (2023), section 2.3. Not `linspace`, whose middle level may miss 0 in fp32.
    Returns f32 [2^k - 1].
    """
    n = 2 ** (spec.bits - 1) - 1
    return torch.arange(-n, n + 1, dtype=torch.float32, device=weight.device) / n
