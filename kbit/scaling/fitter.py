"""The fitter of all non-linear laws: least Huber loss of log residuals, from many starts, within bounds.

Hoffmann et al. (2022), approach 3, for many laws at once, but for where residuals begin to count linearly: their 0.1 %
is a hundredth of how far models scatter around a law, so that their loss is the sum of absolute residuals, whose
minimum jumps from point to point when a model is left out; of such jumps the jackknife makes intervals that are too
short. Here the best descent under their loss tells the scale of the residuals, and the law is fitted again with twice
that scale: nearly as precise as least squares where the scatter is normal, as robust as before where some models
lie far off. Every law is fitted to all of its points and again without each of its models (for the jackknife): all of
these are one batch of `minimize_huber`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from kbit.scaling.curves import Array
from kbit.scaling.huber import minimize_huber

LEAST_DELTA = 1e-3
"""Log residuals up to 0.1 % always count squared (Hoffmann et al. 2022)."""
DELTA_SCALES = 2.0
"""Residuals of as many standard deviations begin to count linearly: of normal ones, one in twenty."""
MAD_OF_NORMAL = 1.4826
"""Standard deviation of a normal variable over its median absolute deviation."""
SAME_COST = 1e-4
"""Relative difference of costs up to which two starts count as having found the same optimum."""
BATCH_NUMBERS = 4_000_000
"""Derivatives in memory at a time."""


class Form(Protocol):
    """What a law predicts, with derivatives, where to start and within which bounds."""

    @property
    def n_parameters(self) -> int: ...

    def predict(self, theta: Array, inputs: Array) -> tuple[Array, Array]:
        """theta f64 [fits, parameters], inputs f64 [fits, points, inputs] -> values f64 [fits, points], and their
        derivatives f64 [fits, points, parameters]."""

    def starts(self, points: "Points") -> Array:
        """f64 [fits, starts, parameters]"""

    def bounds(self, points: "Points") -> tuple[Array, Array]:
        """Low and high, f64 [fits, parameters]."""


@dataclass(frozen=True)
class Points:
    """What laws of one form are fitted to, one row a fit."""

    inputs: Array
    """f64 [fits, points, inputs]"""
    value: Array
    """f64 [fits, points]: what was observed, positive."""
    kept: Array
    """f64 [fits, points]: 1 for the points of the fit, 0 for those it must not see."""

    def take(self, fits: NDArray[np.intp]) -> "Points":
        return Points(self.inputs[fits], self.value[fits], self.kept[fits])

    @property
    def least(self) -> Array:
        """f64 [fits]: the smallest value."""
        return np.where(self.kept > 0, self.value, np.inf).min(axis=1)


@dataclass(frozen=True)
class Problem:
    """The points of one law."""

    inputs: Array
    """f64 [points, inputs]"""
    value: Array
    """f64 [points], positive"""
    model: NDArray[np.intp]
    """[points]: number of the model (of its size, where it has several checkpoints) that the point belongs to."""

    @property
    def n_models(self) -> int:
        return int(self.model.max()) + 1


@dataclass(frozen=True)
class Optima:
    """The best descent of every fit."""

    theta: Array
    """f64 [fits, parameters]"""
    converged: NDArray[np.bool_]
    agreeing: NDArray[np.intp]
    """[fits]: how many starts ended at the same optimum."""
    delta: Array
    """f64 [fits]: log residuals beyond it counted linearly."""


@dataclass(frozen=True)
class Solution:
    """A law fitted to all of its points, and without each of its models in turn."""

    theta: Array
    """f64 [parameters]"""
    deleted: Array
    """f64 [models, parameters]"""
    converged: NDArray[np.bool_]
    """[1 + models]"""
    agreeing: int
    n_starts: int
    delta: float
    predicted: Array
    """f64 [points], by the fit to all of them"""
    residuals: Array
    """f64 [points]: log predicted - log observed"""

    @property
    def rms(self) -> float:
        return float(np.sqrt(np.mean(self.residuals**2)))

    @property
    def note(self) -> str:
        return "" if self.converged.all() else "a fit to some of the models stopped before it converged"


def fit_points(form: Form, points: Points, starts: Array) -> Optima:
    """The lowest of the descents from `starts`, f64 [fits, starts, parameters], with delta to the residuals' scale."""
    first = find_optima(form, points, starts, np.full(len(starts), LEAST_DELTA))
    delta = np.maximum(DELTA_SCALES * residual_scale(form, points, first.theta), LEAST_DELTA)
    return replace(find_optima(form, points, first.theta[:, None], delta), agreeing=first.agreeing)


def residual_scale(form: Form, points: Points, theta: Array) -> Array:
    """f64 [fits]: standard deviation of log residuals, from their median size; theta f64 [fits, parameters]."""
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        size = np.abs(np.log(form.predict(theta, points.inputs)[0]) - np.log(points.value))
    n = points.kept.sum(axis=1)
    median = np.nanmedian(np.where(points.kept > 0, size, np.nan), axis=1)
    return MAD_OF_NORMAL * median * np.sqrt(n / np.maximum(n - form.n_parameters, 1))


def find_optima(form: Form, points: Points, starts: Array, delta: Array) -> Optima:
    """The lowest of the descents from `starts`, f64 [fits, starts, parameters]; delta f64 [fits]."""
    n_fits, n_starts = starts.shape[:2]
    low, high = form.bounds(points)
    repeated = points.take(np.repeat(np.arange(n_fits), n_starts))

    def model(theta: Array, fits: NDArray[np.intp]) -> tuple[Array, Array]:
        kept = repeated.kept[fits]
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):  # a step too far is not finite, nor taken
            value, derivatives = form.predict(theta, repeated.inputs[fits])
            residuals = np.where(kept > 0, np.log(value) - np.log(repeated.value[fits]), 0)
            jacobian = np.where(kept[:, :, None] > 0, derivatives / value[:, :, None], 0)
        return residuals, jacobian

    start = starts.reshape(n_fits * n_starts, -1)
    low, high, deltas = (np.repeat(array, n_starts, 0) for array in (low, high, delta))
    found = minimize_huber(model, start, low, high, deltas)
    cost = np.where(np.isfinite(found.cost), found.cost, np.inf).reshape(n_fits, n_starts)
    best = cost.argmin(axis=1)
    least = cost[np.arange(n_fits), best]
    agreeing = (cost <= least[:, None] * (1 + SAME_COST) + 1e-15).sum(axis=1)
    chosen = best + np.arange(n_fits) * n_starts
    return Optima(found.theta[chosen], found.converged[chosen], agreeing, delta)


def solve_problems(form: Form, problems: Sequence[Problem]) -> list[Solution]:
    """Fit every problem, with its jackknife; in the order of `problems`."""
    solutions: dict[int, Solution] = {}
    order = sorted(range(len(problems)), key=lambda number: problems[number].n_models)
    for _, alike in groupby(order, key=lambda number: problems[number].n_models):
        for numbers in in_batches(list(alike), problems, form.n_parameters):
            solutions |= dict(zip(numbers, solve_batch(form, [problems[number] for number in numbers]), strict=True))
    return [solutions[number] for number in range(len(problems))]


def in_batches(numbers: list[int], problems: Sequence[Problem], n_parameters: int) -> Iterator[list[int]]:
    """Problems of equally many models, so many at a time that their arrays stay small."""
    points = max(len(problems[number].value) for number in numbers)
    size = max(1, BATCH_NUMBERS // (points * n_parameters * 3 * (1 + problems[numbers[0]].n_models)))
    for first in range(0, len(numbers), size):
        yield numbers[first : first + size]


def solve_batch(form: Form, problems: Sequence[Problem]) -> Iterator[Solution]:
    """Solutions of problems that have equally many models."""
    every = stack(problems)
    starts = form.starts(every)
    full = fit_points(form, every, starts)
    n_models = problems[0].n_models
    # Without one model the optimum lies near that of all; the best start again, for where it does not.
    repeated = every.take(np.repeat(np.arange(len(problems)), n_models))
    left_out = np.stack([pad(problem.model, every.value.shape[1], -1) for problem in problems])
    is_left_out = left_out[:, None, :] == np.arange(n_models)[None, :, None]
    fewer = replace(repeated, kept=repeated.kept * ~is_left_out.reshape(repeated.kept.shape))
    near = np.stack([np.repeat(full.theta, n_models, 0), np.repeat(starts[:, 0], n_models, 0)], axis=1)
    deleted = find_optima(form, fewer, near, np.repeat(full.delta, n_models))
    predicted = form.predict(full.theta, every.inputs)[0]
    for index, problem in enumerate(problems):
        n, own = len(problem.value), slice(index * n_models, (index + 1) * n_models)
        yield Solution(
            theta=full.theta[index],
            deleted=deleted.theta[own],
            converged=np.append(full.converged[index], deleted.converged[own]),
            agreeing=int(full.agreeing[index]),
            n_starts=starts.shape[1],
            delta=float(full.delta[index]),
            predicted=predicted[index, :n],
            residuals=np.log(predicted[index, :n]) - np.log(problem.value),
        )


def fit_masked(form: Form, problems: Sequence[Problem], kept: Sequence[NDArray[np.bool_]]) -> list[Array]:
    """Every problem fitted to its kept points alone, kept bool [points]: what the fits predict of all points."""
    points = stack(problems)
    seen = np.stack([pad(one, points.value.shape[1], False) for one in kept])
    points = replace(points, kept=seen.astype(float))
    optima = fit_points(form, points, form.starts(points))
    predicted = form.predict(optima.theta, points.inputs)[0]
    return [values[: len(problem.value)] for values, problem in zip(predicted, problems, strict=True)]


def stack(problems: Sequence[Problem]) -> Points:
    """Problems side by side, filled up with points that do not count."""
    n = max(len(problem.value) for problem in problems)
    inputs = np.stack([pad(problem.inputs, n, problem.inputs[0]) for problem in problems])
    value = np.stack([pad(problem.value, n, problem.value[0]) for problem in problems])
    kept = np.stack([pad(np.ones(len(problem.value)), n, 0.0) for problem in problems])
    return Points(inputs, value, kept)


def pad(values: NDArray, n: int, filler: object) -> NDArray:
    """`values` and `filler`s behind them, n in all."""
    padded = np.empty((n, *values.shape[1:]), dtype=values.dtype)
    padded[: len(values)], padded[len(values) :] = values, filler
    return padded
