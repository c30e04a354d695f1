"""Forms that several laws share: linear in the parameters, and a log-linear penalty on top of a known loss."""

from dataclasses import dataclass

import numpy as np

from kbit.scaling.curves import Array
from kbit.scaling.fitter import Points

WIDE = 1e6
"""Bound of coefficients that need none."""
TINY = 1e-300
RIDGE = 1e-12
"""On the diagonal of normal equations with ones there: what the points cannot tell stays at zero."""


@dataclass(frozen=True)
class LinearForm:
    """inputs @ theta: every input has its coefficient."""

    n_parameters: int

    def predict(self, theta: Array, inputs: Array) -> tuple[Array, Array]:
        return np.einsum("bnp,bp->bn", inputs, theta), inputs

    def bounds(self, points: Points) -> tuple[Array, Array]:
        shape = (len(points.value), self.n_parameters)
        return np.full(shape, -WIDE), np.full(shape, WIDE)

    def starts(self, points: Points) -> Array:
        """Relative least squares, and steps from there towards the least absolute residuals."""
        weight = points.kept / points.value**2
        found = [weighted_least_squares(points.inputs, points.value, weight)]
        for _ in range(3):
            residuals = np.abs(np.einsum("bnp,bp->bn", points.inputs, found[-1]) / points.value - 1)
            robust = weight / np.maximum(residuals, 1e-4)
            found.append(weighted_least_squares(points.inputs, points.value, robust))
        return np.stack([found[-1], found[0]], axis=1)


@dataclass(frozen=True)
class PenaltyForm:
    """known + exp(features @ theta), inputs = (known, features...): what quantization adds to a known 16-bit loss.

    The bounds hold for the coefficients of the features, in their order.
    """

    low: tuple[float, ...]
    high: tuple[float, ...]

    @property
    def n_parameters(self) -> int:
        return len(self.low)

    def predict(self, theta: Array, inputs: Array) -> tuple[Array, Array]:
        features = inputs[:, :, 1:]
        penalty = np.exp(np.einsum("bnp,bp->bn", features, theta))
        return inputs[:, :, 0] + penalty, penalty[:, :, None] * features

    def bounds(self, points: Points) -> tuple[Array, Array]:
        n = len(points.value)
        return np.tile(self.low, (n, 1)).astype(float), np.tile(self.high, (n, 1)).astype(float)

    def starts(self, points: Points) -> Array:
        """Least squares of the log penalty, larger ones counting more or less so, and flatter and steeper ones."""
        features, penalty = points.inputs[:, :, 1:], points.value - points.inputs[:, :, 0]
        counts = points.kept * (penalty > 0)
        logs = np.log(np.maximum(penalty, TINY)) * counts
        found = [
            weighted_least_squares(features, logs, counts * np.maximum(penalty, 0) ** power)
            for power in (1.0, 2.0, 0.5, 0.0)
        ]
        flatter, steeper = found[0] * 0.5, found[0] * 1.5
        flatter[:, 0] = steeper[:, 0] = found[0][:, 0]
        low, high = (bound[:, None] for bound in self.bounds(points))
        return np.clip(np.stack([*found, flatter, steeper], axis=1), low, high)


def weighted_least_squares(design: Array, target: Array, weight: Array) -> Array:
    """f64 [fits, parameters]; design f64 [fits, points, parameters], target and weight f64 [fits, points]."""
    matrix = np.einsum("bnp,bn,bnq->bpq", design, weight, design)
    scale = np.sqrt(np.einsum("bpp->bp", matrix))
    scale = np.where(scale > 0, scale, 1)
    matrix = matrix / (scale[:, :, None] * scale[:, None, :]) + RIDGE * np.eye(design.shape[2])
    right = np.einsum("bnp,bn,bn->bp", design, weight, target) / scale
    return np.linalg.solve(matrix, right[:, :, None])[:, :, 0] / scale
