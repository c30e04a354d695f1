"""`rtn`: round to nearest. Each weight takes the level nearest to it, whatever the others do."""

from torch import Tensor

from kbit.kernels import ops
from kbit.quant.scales import Scales
from kbit.quant.statistics import Statistics


def solve(weight: Tensor, codebook: Tensor, scales: Scales, _: Statistics) -> Tensor:
    """Dettmers & Zettlemoyer (2023), section 2.3; arithmetic and ties: `kbit.kernels.reference`."""
    if scales.absmax_dtype is not None and codebook.dim() == 1:  # the kernel finds the absmax in the same pass
        return ops.fake_quantize(weight, codebook, scales.block_size, scales.absmax_dtype)
    return ops.fake_quantize_scaled(weight, codebook, scales.scale, scales.offset, scales.block_size)
