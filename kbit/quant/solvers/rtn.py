"""`rtn`: round to nearest. Each weight takes the level nearest to it, whatever the others do."""

import torch
from torch import Tensor

from kbit.kernels import ops


def solve(weight: Tensor, codebook: Tensor, block_size: int, absmax_dtype: torch.dtype) -> Tensor:
    """Dettmers & Zettlemoyer (2023), section 2.3; arithmetic and ties: `kbit.kernels.reference`."""
    return ops.fake_quantize(weight, codebook, block_size, absmax_dtype)
