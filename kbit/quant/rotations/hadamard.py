"""`hadamard`: each run of n inputs times the n x n Hadamard matrix, n the largest power of two that divides the width.

It spreads what one input dimension stands out by over n of them, without looking at any data (QuaRot: Ashkboos et al.
2024, arXiv 2404.00456; QuIP#: Tseng et al. 2024, arXiv 2402.04396, which add random signs that are left out here). A
width that is odd stays as it is. Nothing beside the weight is stored.
"""

import torch
from torch import Tensor

PIECE_WEIGHTS = 1 << 22
"""Weights worked on at a time: the intermediate sums of a whole layer would take several times its memory."""


def rotate(weight: Tensor) -> Tensor:
    """f32 [out, in] -> f32 [out, in], contiguous; rotating twice gives the weight back, but for rounding.

    Sums and differences of pairs in a fixed order, as Sylvester's construction of the matrix has them, and one product:
    the same bits on every device.
    """
    rows, width = weight.shape
    size = run_length(width)
    result = torch.empty_like(weight, memory_format=torch.contiguous_format)
    step = max(PIECE_WEIGHTS // width, 1)
    for first in range(0, rows, step):
        piece = weight[first : first + step].contiguous().view(-1, size)
        result[first : first + step] = transform(piece).mul_(size**-0.5).view(-1, width)
    return result


def run_length(width: int) -> int:
    """The largest power of two that divides a width."""
    return width & -width


def transform(runs: Tensor) -> Tensor:
    """[runs, n] times the matrix of n x n signs, by n log2 n sums. A new tensor."""
    count, size = runs.shape
    half = 1
    values = runs.clone()
    while half < size:
        pairs = values.view(count, -1, 2, half)
        values = torch.stack((pairs[:, :, 0] + pairs[:, :, 1], pairs[:, :, 0] - pairs[:, :, 1]), dim=2)
        half *= 2
    return values.view(count, size)
