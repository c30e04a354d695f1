"""Piecewise-linear curves of a metric over log2 bits, many resamples at once (paper, section 4: interpolation)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

GRID_POINTS = 201
"""Points at which curves are compared: shares are multiples of 1/201."""


@dataclass(frozen=True)
class Curve:
    """One spec of one k along the sizes of a family."""

    bits: int
    label: str
    x: Array
    """f64 [sizes]: log2 of the model's bits, strictly ascending."""
    y: Array
    """f64 [sizes, resamples]: the metric, higher is better; column 0 is the full sample."""
    parameters: Array
    """f64 [sizes]: the model's parameters, the same for all curves of a family."""

    def weights(self, grid: Array) -> Array:
        """f64 [grid, sizes]: what the curve's points count at each point of `grid`, which lie within the curve."""
        right = np.clip(np.searchsorted(self.x, grid), 1, len(self.x) - 1)
        left = right - 1
        share = (grid - self.x[left]) / (self.x[right] - self.x[left])
        weights = np.zeros((len(grid), len(self.x)))
        weights[np.arange(len(grid)), left] = 1 - share
        weights[np.arange(len(grid)), right] += share
        return weights

    def at(self, grid: Array) -> Array:
        """f64 [grid, resamples]: the curve at the points of `grid`."""
        return self.weights(grid) @ self.y

    def without(self, parameters: float) -> "Curve":
        """The curve of the other sizes, on all items only."""
        kept = self.parameters != parameters
        return Curve(self.bits, self.label, self.x[kept], self.y[kept, :1], self.parameters[kept])


def make_curve(bits: int, label: str, log2_bits: Array, values: Array, parameters: Array) -> Curve:
    """A curve through points in any order; models of equal size are averaged.

    log2_bits f64 [models], values f64 [models, resamples], parameters f64 [models].
    """
    order = np.argsort(log2_bits, kind="stable")
    x, first, count = np.unique(log2_bits[order], return_index=True, return_counts=True)
    y = np.add.reduceat(values[order], first, axis=0) / count[:, None]
    return Curve(bits, label, x, y, parameters[order[first]])


def common_range(curves: Sequence[Curve]) -> tuple[float, float]:
    """The range of log2 bits that all curves cover; empty (low >= high) if there is none."""
    return max(float(curve.x[0]) for curve in curves), min(float(curve.x[-1]) for curve in curves)


def grid_over(low: float, high: float, points: int = GRID_POINTS) -> Array:
    return np.linspace(low, high, points)
