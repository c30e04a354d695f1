"""`quantile`: every level stands for about the same number of weights. One codebook for the whole tensor."""

import torch
from torch import Tensor

from kbit.quant.order_statistics import order_statistics
from kbit.quant.scales import Scales
from kbit.spec.quant import QuantSpec


def codebook(spec: QuantSpec, weight: Tensor, is_kept: Tensor | None = None) -> Tensor:
    """n = 2^k - 1 quantiles at p = (i + 1/2) / n, i = 0 .. n-1, and 0, over the largest magnitude among them.

    Q(p) is an exact order statistic, the ceil(p N)-th smallest of the N weights, so no level is interpolated.
    Duplicates are removed and the width stays k. Dettmers & Zettlemoyer (2023), Eq. 6 in its executable form, which
    estimates the quantiles instead. is_kept: bool [in], input dimensions to leave out. Returns f32 [1 .. 2^k].
    """
    n = 2**spec.bits - 1
    if not weight.numel() or (is_kept is not None and is_kept.all()):
        return weight.new_zeros(1, dtype=torch.float32)
    weight = Scales(weight, spec, spec.data_type).centered
    if is_kept is not None:
        weight = weight[:, ~is_kept]
    # ceil((2i + 1) N / (2n)) in whole numbers, as a position counted from 0.
    ranks = [-((2 * i + 1) * weight.numel() // (-2 * n)) - 1 for i in range(n)]
    quantiles = order_statistics(weight, torch.tensor(ranks, device=weight.device))
    levels = torch.cat([quantiles, quantiles.new_zeros(1)]) + 0.0  # -0 and 0 are one level
    largest = levels.abs().amax()
    return torch.unique(levels / largest) if largest > 0 else levels[:1] * 0.0
