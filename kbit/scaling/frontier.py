"""The frontier: at a given number of bits, the best k."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from kbit.scaling.curves import Array, Curve, common_range, grid_over

STRIP = 128
"""Resamples that are compared at a time: 201 points of so many take 200 kB."""


@dataclass(frozen=True)
class Frontier:
    """The curves of every k on one grid of log2 bits; axis 1 of `height` runs over the grid, axis 2 over resamples."""

    ks: tuple[int, ...]
    """Ascending, so that an exact tie goes to the fewer bits."""
    grid: Array
    height: Array
    """f64 [k, grid, resamples]: the metric, higher is better; where a k has several specs, that of the best there."""

    @cached_property
    def winner(self) -> NDArray[np.int8]:
        """[grid, resamples]: index of the best k at every number of bits."""
        winner = np.zeros(self.height.shape[1:], dtype=np.int8)
        highest = self.height[0].copy()
        for index, height in enumerate(self.height[1:], start=1):
            np.copyto(winner, index, where=height > highest)
            np.maximum(highest, height, out=highest)
        return winner

    @cached_property
    def share(self) -> Array:
        """f64 [k, resamples]: share of the range on which each k is best; sums to 1."""
        every = np.ones(len(self.grid), dtype=np.float32)  # counts up to 2^24 are exact
        wins = [every @ (self.winner == index).astype(np.float32) for index in range(len(self.ks))]
        return np.stack(wins).astype(np.float64) / len(self.grid)

    @cached_property
    def mean(self) -> Array:
        """f64 [k, resamples]: each k's mean height over the range."""
        return self.height.mean(axis=1)

    @cached_property
    def best(self) -> NDArray[np.intp]:
        """[resamples]: index of the k with the largest share; equal shares are decided by the mean height."""
        span = np.ptp(self.mean, axis=0)
        # Shares differ by at least 1/grid, so half of that can only break ties.
        tiebreak = (self.mean - self.mean.min(axis=0)) / np.where(span > 0, span, 1) / (2 * len(self.grid))
        return np.argmax(self.share + tiebreak, axis=0)

    def runner_up(self, best: int) -> int:
        """Index of the other k with the highest mean over the range, in the full sample."""
        mean = self.mean[:, 0].copy()
        mean[best] = -np.inf
        return int(np.argmax(mean))

    def equivalent_gap(self, k: int, other: int) -> Array:
        """f64 [resamples]: k's mean distance above the other (indices into ks) in log2 bits, at their mean slope.

        NaN where the two do not rise along the range.
        """
        rises = [height[-1] - height[0] for height in (self.height[k], self.height[other])]
        slope = np.mean(rises, axis=0) / (self.grid[-1] - self.grid[0])
        gap = self.mean[k] - self.mean[other]
        return np.divide(gap, slope, out=np.full_like(gap, np.nan), where=slope > 0)

    def gap(self, k: int, other: int) -> Array:
        """f64 [grid, resamples]: how much higher k's curve is than the other's (indices into ks)."""
        return self.height[k] - self.height[other]


def build_frontier(curves: Sequence[Curve]) -> Frontier:
    """Compare curves over the range common to all of them, which must not be empty."""
    grid = grid_over(*common_range(curves))
    groups = group_by_k(curves)
    height = np.empty((len(groups), len(grid), curves[0].y.shape[1]))
    for out, group in zip(height, groups.values(), strict=True):
        highest(group, grid, out)
    return Frontier(tuple(groups), grid, height)


def group_by_k(curves: Sequence[Curve]) -> dict[int, list[Curve]]:
    """The curves of each k, ascending."""
    return {k: [curve for curve in curves if curve.bits == k] for k in sorted({curve.bits for curve in curves})}


def highest(curves: Sequence[Curve], grid: Array, out: Array) -> None:
    """Fill `out`, f64 [grid, resamples], with the highest of the curves at every point."""
    weights = [curve.weights(grid) for curve in curves]
    # A k of the whole study has dozens of specs: strips of resamples that stay in the processor's cache.
    for start in range(0, out.shape[1], STRIP):
        strip = slice(start, start + STRIP)
        best = weights[0] @ curves[0].y[:, strip]
        for weight, curve in zip(weights[1:], curves[1:], strict=True):
            np.maximum(best, weight @ curve.y[:, strip], out=best)
        out[:, strip] = best


def mean_heights(curves: Sequence[Curve]) -> Array:
    """f64 [k, resamples]: each k's mean height over the common range of the curves, as in `Frontier.mean`."""
    grid = grid_over(*common_range(curves))
    means = []
    for group in group_by_k(curves).values():
        if len(group) == 1:  # the mean of a product by weights is that by their mean
            means.append(group[0].weights(grid).mean(axis=0) @ group[0].y)
        else:
            height = np.empty((len(grid), group[0].y.shape[1]))
            highest(group, grid, height)
            means.append(height.mean(axis=0))
    return np.stack(means)


def best_k_at(frontier: Frontier, log2_bits: float) -> int | None:
    """The best k for a number of bits in the full sample; None outside the common range."""
    if not frontier.grid[0] <= log2_bits <= frontier.grid[-1]:
        return None
    heights = [np.interp(log2_bits, frontier.grid, height[:, 0]) for height in frontier.height]
    return frontier.ks[int(np.argmax(heights))]
