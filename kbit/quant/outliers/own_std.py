"""`own-std`: the released cousin of the paper's rule, which looks at the layer itself instead of the one before."""

import torch
from torch import Tensor

from kbit.quant.statistics import Statistics

PIECE_WEIGHTS = 1 << 22
"""Weights worked on at a time, in double precision."""


def rank(weight: Tensor, _: Statistics) -> Tensor:
    """Standard deviation of each input dimension's own weights, weight [out, in] -> f32 [in].

    bitsandbytes, commit c9f50506, `find_outlier_dims`: std over the outputs, then the largest z-scores of these. A
    z-score ranks as the std itself does, so it is left out; its threshold of 4 is replaced by the spec's share.
    """
    rows, width = weight.shape
    step = max(PIECE_WEIGHTS // rows, 1)
    pieces = [weight[:, first : first + step].double().std(dim=0, correction=0) for first in range(0, width, step)]
    return torch.cat(pieces).float()
