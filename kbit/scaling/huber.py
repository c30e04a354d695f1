"""Least Huber loss of many small bounded problems at once: one array operation per step, whatever their number.

A study has thousands of laws to fit, each to a dozen points, and the jackknife refits each as often as it has points:
one optimizer call for each would spend its time in calls.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kbit.scaling.curves import Array

Model = Callable[[Array, NDArray[np.intp]], tuple[Array, Array]]
"""(theta f64 [active, parameters], numbers of the active problems) -> residuals f64 [active, points], 0 where a point
does not belong to the problem, and their derivatives f64 [active, points, parameters]."""

MAX_STEPS = 300
FLATNESS = 1e-10
"""Decrease that reweighted least squares promises, over the loss, below which a problem is solved."""
ROUNDING = 1e-28
"""Promised decrease that counts as none whatever the loss: residuals of 1e-14."""
FIRST_DAMPING, LEAST_DAMPING, MOST_DAMPING = 1.0, 1e-9, 1e12
EASED, STIFFENED = 0.2, 4.0
"""Factors of the damping after a step that lowered the loss, and after one that did not."""


@dataclass(frozen=True)
class Minimum:
    """Where the descents ended."""

    theta: Array
    """f64 [problems, parameters]"""
    cost: Array
    """f64 [problems]"""
    converged: NDArray[np.bool_]
    """[problems]"""


def huber_cost(residuals: Array, delta: Array) -> Array:
    """f64 [problems]: sum of r^2 / 2 up to |r| = delta, of delta |r| - delta^2 / 2 beyond; delta f64 [problems]."""
    size, delta = np.abs(residuals), delta[:, None]
    return np.where(size <= delta, residuals**2 / 2, delta * size - delta**2 / 2).sum(axis=1)


def minimize_huber(model: Model, start: Array, low: Array, high: Array, delta: Array) -> Minimum:
    """Descend from `start` within `low` and `high`, all f64 [problems, parameters]; delta f64 [problems].

    Damped Gauss-Newton steps: the residuals count as linear in theta. The matrix is that of the inliers, those within
    delta, whose curvature is all that the loss has; times the damping comes that of reweighted least squares, all
    points by min(1, delta / |r|), which bounds the loss from above.
    """
    theta = np.clip(start, low, high)
    cost = huber_cost(model(theta, np.arange(len(theta)))[0], delta)
    damping = np.full(len(theta), FIRST_DAMPING)
    converged = np.zeros(len(theta), dtype=bool)
    active = np.arange(len(theta))
    for _ in range(MAX_STEPS):
        if not len(active):
            break
        bounds = low[active], high[active]
        tried, promised = next_step(model, theta[active], active, bounds, damping[active], delta[active])
        found = huber_cost(model(tried, active)[0], delta[active])
        is_lower = found <= cost[active]  # false for NaN
        # A stiff step promises less than reweighted least squares, by its damping.
        is_flat = promised * (1 + damping[active]) <= FLATNESS * cost[active] + ROUNDING
        theta[active[is_lower]], cost[active[is_lower]] = tried[is_lower], found[is_lower]
        damping[active] = np.clip(damping[active] * np.where(is_lower, EASED, STIFFENED), LEAST_DAMPING, MOST_DAMPING)
        converged[active[is_flat]] = True
        active = active[~is_flat & (damping[active] < MOST_DAMPING)]
    return Minimum(theta, cost, converged)


def next_step(
    model: Model, theta: Array, problems: NDArray[np.intp], bounds: tuple[Array, Array], damping: Array, delta: Array
) -> tuple[Array, Array]:
    """Where the next step leads, f64 [active, parameters] within the bounds, and the decrease it promises, [active]."""
    low, high = bounds
    residuals, jacobian = model(theta, problems)
    size = np.maximum(np.abs(residuals), 1e-300)
    delta = delta[:, None]
    weight = np.minimum(1, delta / size)
    gradient = np.einsum("bnp,bn->bp", jacobian, weight * residuals)
    curvature = (size <= delta) + damping[:, None] * weight
    matrix = (jacobian * curvature[:, :, None]).transpose(0, 2, 1) @ jacobian
    # Scaled to ones on the diagonal: the parameters' units differ by orders of magnitude.
    scale = np.sqrt(np.einsum("bpp->bp", matrix))
    scale = np.where(scale > 0, scale, 1)
    matrix = matrix / (scale[:, :, None] * scale[:, None, :])
    is_held = np.zeros(theta.shape, dtype=bool)
    step = np.zeros_like(theta)
    # A parameter on a bound that the step would cross is held, and the others step as is best for them then.
    for _ in range(theta.shape[1]):
        step = solve(matrix, gradient / scale, is_held) / scale
        crosses = ((theta <= low) & (step < 0)) | ((theta >= high) & (step > 0))
        if not crosses.any():
            break
        is_held |= crosses
    step[is_held] = 0
    # The others stop where the first of them meets a bound: a shorter step down is still a step down.
    room = np.where(step > 0, high - theta, low - theta) / np.where(step == 0, 1, step)
    share = np.where(step == 0, 1, room).min(axis=1, initial=1)
    return np.clip(theta + share[:, None] * step, low, high), -(gradient * step).sum(axis=1)


def solve(matrix: Array, gradient: Array, is_held: NDArray[np.bool_]) -> Array:
    """The step -matrix^-1 gradient of each problem, f64 [active, parameters], 0 for what is held."""
    free = (~is_held).astype(float)
    # A rounding error's worth on the diagonal: two parameters that the points cannot tell apart share the step.
    reduced = matrix * (free[:, :, None] * free[:, None, :]) + np.eye(matrix.shape[1]) * (is_held + 1e-13)[:, None, :]
    return -np.linalg.solve(reduced, (gradient * free)[:, :, None])[:, :, 0]
