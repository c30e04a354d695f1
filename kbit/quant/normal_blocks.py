"""What normally distributed weights look like after each block is divided by its absmax, and levels made for that.

Of a block of B values of N(0, 1), let M be the largest magnitude. The others, divided by M, have magnitudes s with
P(s <= x | M) = erf(x M / sqrt 2) / erf(M / sqrt 2), and M has the distribution function erf(m / sqrt 2)^B.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist

import numpy as np
import torch

NODES = 512
"""Equally likely values of M that stand for its distribution."""
STEPS = 1 << 12
"""Steps of the grid on [0, 1]."""
DIGITS = 6
"""Decimals of a level: what the arithmetic of two machines agrees on."""


@dataclass(frozen=True)
class Magnitudes:
    """Integrals over the magnitudes s of a block's values other than its extreme, each times a weight w(M)."""

    s: np.ndarray
    """f64 [STEPS + 1], the grid on [0, 1]."""
    mass: np.ndarray
    """f64 [STEPS + 1], E[w(M) 1{s' <= s}], ascending from 0."""
    moment: np.ndarray
    """f64 [STEPS + 1], E[w(M) s' 1{s' <= s}]."""


@lru_cache(maxsize=64)
def magnitudes(block_size: int, by_square: bool) -> Magnitudes:
    """w(M) = M^2 (`by_square`: an error of the weight itself) or 1 (an error of the weight over its absmax)."""
    shares = (np.arange(NODES) + 0.5) / NODES
    inside = np.exp(np.log(shares) / block_size)  # erf(M / sqrt 2)
    tails = -np.expm1(np.log(shares) / block_size)
    largest = np.array([-NormalDist().inv_cdf(tail / 2) for tail in tails])[:, None]
    s = np.linspace(0.0, 1.0, STEPS + 1)
    weight = (largest**2 if by_square else 1.0) / inside[:, None]
    below = torch.special.erf(torch.from_numpy(s * largest / math.sqrt(2))).numpy()
    density_drop = -np.expm1(-((s * largest) ** 2) / 2) / math.sqrt(2 * math.pi)
    return Magnitudes(s, (weight * below).mean(0), (weight * 2 / largest * density_drop).mean(0))


def next_by_median(of: Magnitudes, start: float, level: float) -> float:
    """Where a cell ends that starts at `start` and has its median at `level`; above 1 if it cannot end."""
    mass = np.interp([start, level], of.s, of.mass)
    wanted = 2 * mass[1] - mass[0]
    return float(np.interp(wanted, of.mass, of.s)) if wanted <= of.mass[-1] else 2.0


def next_by_mean(of: Magnitudes, start: float, level: float) -> float:
    """Where a cell ends that starts at `start` and has its mean at `level`; above 1 if it cannot end."""
    # The integral of s - level over a cell: falls from its start to the level, rises behind it, 0 at the cell's end.
    imbalance = of.moment - level * of.mass
    wanted = float(np.interp(start, of.s, imbalance))
    first = int(np.searchsorted(of.s, level))
    rising = imbalance[first:]
    return float(np.interp(wanted, rising, of.s[first:])) if len(rising) and wanted <= rising[-1] else 2.0


NextEnd = Callable[[Magnitudes, float, float], float]


def half_levels(n: int, of: Magnitudes, next_end: NextEnd, beside_zero: bool, ends_at_one: bool) -> list[float]:
    """n ascending positive levels, each the centre of its cell, cells ending half-way between levels.

    The last level is 1 (`ends_at_one`) or the centre of a cell that ends at 1. The first cell starts at 0, or half-way
    to a level at 0 (`beside_zero`). The first level determines all others and is found by bisection: the optimum that
    Lloyd's iteration approaches, at once.
    """
    low, high = 0.0, 1.0
    if n == 1 and ends_at_one:
        return [1.0]
    levels = [1.0]
    while high - low > 2.0**-45:
        first = (low + high) / 2
        found, goes_beyond = follow(first, n, of, next_end, beside_zero, ends_at_one)
        low, high = (low, first) if goes_beyond else (first, high)
        levels = levels if goes_beyond else found
    if ends_at_one:
        levels[-1] = 1.0
    return [round(level, DIGITS) for level in levels]


def follow(
    first: float, n: int, of: Magnitudes, next_end: NextEnd, beside_zero: bool, ends_at_one: bool
) -> tuple[list[float], bool]:
    """The levels that follow from the first, and whether they leave [0, 1]."""
    levels, start = [first], first / 2 if beside_zero else 0.0
    while len(levels) < n:
        start = next_end(of, start, levels[-1])
        levels.append(2 * start - levels[-1])
        if start > 1 or levels[-1] > 1:
            return levels, True
    return levels, not ends_at_one and next_end(of, start, levels[-1]) > 1
