"""`nf`: NormalFloat, quantiles of the normal distribution on both sides of 0."""

from collections.abc import Callable
from statistics import NormalDist

import torch
from torch import Tensor

from kbit.spec.quant import QuantSpec


def codebook(spec: QuantSpec, weight: Tensor) -> Tensor:
    """NF4 of QLoRA (Dettmers et al., 2023, section 3) for any k; see `two_sided_quantiles`. Returns f32 [2^k]."""
    return torch.tensor(two_sided_quantiles(spec.bits, NormalDist().inv_cdf), device=weight.device)


def two_sided_quantiles(bits: int, quantile: Callable[[float], float]) -> list[float]:
    """Levels from a symmetric distribution's quantile function: 2^k of them, ascending, with -1, 0 and 1.

    With h = 2^(k-1) and the tail o = ((1 - 1 / (4h)) + (1 - 1 / (2 (2h - 1)))) / 2, which is 0.9677083 for k = 4: h
    positive levels at probabilities evenly from o down to 1/2, 1/2 left out, h - 1 negative ones likewise, mirrored,
    and 0; over the largest.
    """
    h = 2 ** (bits - 1)
    tail = ((1 - 1 / (4 * h)) + (1 - 1 / (2 * (2 * h - 1)))) / 2
    largest = quantile(tail)

    def side(n: int) -> list[float]:
        return [quantile(tail + (0.5 - tail) * i / n) / largest for i in range(n)]

    return [-level for level in side(h - 1)] + [0.0] + side(h)[::-1]
