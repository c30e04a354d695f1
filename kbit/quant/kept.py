"""Input dimensions that stay at 16 bits: which, and what the others are quantized beside while these are away."""

from dataclasses import replace

import torch
from torch import Tensor

from kbit.kernels.blockwise import block_mean, block_range
from kbit.quant.blocks import weights_per_block
from kbit.quant.outliers import OUTLIER_RULES
from kbit.quant.statistics import Statistics
from kbit.spec.footprint import count_kept
from kbit.spec.quant import QuantSpec


def choose_kept(weight: Tensor, spec: QuantSpec, statistics: Statistics) -> Tensor | None:
    """bool [in], true for the input dimensions of `weight` [out, in] that stay; None where that is none of them.

    Of two that rank alike, the one that comes first stays.
    """
    count = count_kept(spec, weight.shape[1])
    if not count:
        return None
    ranks = OUTLIER_RULES[spec.outlier_rule](weight, statistics).to(weight.device)
    first = ranks.sort(descending=True, stable=True).indices[:count]
    return torch.zeros(weight.shape[1], dtype=torch.bool, device=weight.device).index_fill_(0, first, True)


def fill_kept(weight: Tensor, is_kept: Tensor, spec: QuantSpec) -> Tensor:
    """`weight` [out, in] with the mean of its block's other weights in place of each kept one, contiguous.

    So the absmax, the range and the mean of a block are those of the others, and blocks stay where they are. A block
    without others is zeros. With the mean of the tensor subtracted, it is the mean of all others that stands in.
    """
    flat = weight.contiguous().view(-1)
    kept = is_kept.expand(weight.shape).reshape(-1)
    if spec.centered == "tensor":
        mean = weight[:, ~is_kept].mean(dtype=torch.float64) if not is_kept.all() else torch.zeros(())
        return flat.masked_fill(kept, mean.item()).view(weight.shape)
    block_size = weights_per_block(weight, spec)
    means = means_of_others(flat, kept, block_size).to(weight.dtype)
    return torch.where(kept, means.repeat_interleave(block_size)[: flat.numel()], flat).view(weight.shape)


def means_of_others(flat: Tensor, kept: Tensor, block_size: int) -> Tensor:
    """flat [n], kept bool [n] -> f32 [ceil(n / block_size)], 0 for blocks without others.

    Never outside of the range of the others, where rounding might take the mean of equal weights.
    """
    lowest, _ = block_range(flat.masked_fill(kept, torch.inf), block_size)
    _, highest = block_range(flat.masked_fill(kept, -torch.inf), block_size)
    means = block_mean(flat.masked_fill(kept, 0.0), block_size) / block_mean(~kept, block_size)
    return torch.where(lowest <= highest, means.clamp(lowest.float(), highest.float()), 0.0)


def decouple_kept(statistics: Statistics, is_kept: Tensor) -> Statistics:
    """Statistics in which the kept input dimensions are always 0, so that no solver makes up for what it does there."""
    moments = statistics.second_moments
    if moments is None:
        return statistics
    is_kept = is_kept.to(moments.device)
    return replace(statistics, second_moments=moments.masked_fill(is_kept | is_kept[:, None], 0.0))
