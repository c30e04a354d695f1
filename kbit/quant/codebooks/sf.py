"""`sf`: StudentFloat, quantiles of Student's t distribution, whose tails are heavier than the normal's."""

from math import atan, cos, pi, sin, sqrt

import torch
from torch import Tensor

from kbit.quant.codebooks.nf import two_sided_quantiles
from kbit.spec.quant import QuantSpec

DEGREES_OF_FREEDOM = 5
"""About what weights of language models have, by the authors' fits."""


def codebook(spec: QuantSpec, weight: Tensor) -> Tensor:
    """As `nf`, with the quantiles of t with 5 degrees of freedom. Dotzel et al. (2024), SF4. Returns f32 [2^k]."""
    return torch.tensor(two_sided_quantiles(spec.bits, quantile), device=weight.device)


def quantile(probability: float) -> float:
    """Inverse of `cumulative` by bisection, for probabilities in [1/2, 1), to the last bits of a double."""
    low, high = 0.0, 1e3
    while low < (middle := (low + high) / 2) < high:
        low, high = (middle, high) if cumulative(middle) < probability else (low, middle)
    return low


def cumulative(t: float) -> float:
    """P(T <= t) for 5 degrees of freedom: with tan a = t / sqrt(5), 1/2 + (a + sin a (cos a + 2/3 cos^3 a)) / pi."""
    a = atan(t / sqrt(DEGREES_OF_FREEDOM))
    return 0.5 + (a + sin(a) * (cos(a) + 2 / 3 * cos(a) ** 3)) / pi
