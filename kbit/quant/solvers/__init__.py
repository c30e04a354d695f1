"""The solvers: how codes are chosen. One file each, listed here and in `kbit.spec.members.SOLVERS`.

A solver takes weight [out, in], codebook f32 [L], the block size in weights and the dtype of a stored absmax, and
returns the dequantized weight, contiguous, in the shape and dtype of the weight.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from kbit.quant.solvers import rtn

SOLVERS: dict[str, Callable[[Tensor, Tensor, int, torch.dtype], Tensor]] = {
    "rtn": rtn.solve,
}
