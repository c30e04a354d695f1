"""bivariate_power: loss = E + A * N^-alpha + B * k^-beta, powers of parameters and bits that add up.

The kind of law that the paper tried first and found to fit poorly (section 4; it gives neither form nor errors): here
so that the comparison can say how poorly. N counts the quantized weights. One fit per family and selection of specs.
Intervals: delete-one-model jackknife, of the logarithms of A and B.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from kbit.scaling.curves import Array
from kbit.scaling.evidence import Evidence
from kbit.scaling.fit_rows import FitRow, undetermined
from kbit.scaling.fitter import Points, Problem, Solution, solve_problems
from kbit.scaling.forms import weighted_least_squares
from kbit.scaling.grids import Grid
from kbit.scaling.law_rows import METHOD, SPARE_SIZES, Parameter, law_rows
from kbit.scaling.metrics import LOSS

NAME = "bivariate_power"
N_PARAMETERS = 5
MIN_SIZES = N_PARAMETERS + SPARE_SIZES
MIN_KS = 3
MAX_LOG = 60.0
FIRST_EXPONENTS, SECOND_EXPONENTS = np.geomspace(0.03, 2.0, 8), np.geomspace(0.05, 8.0, 8)
EXPONENT_BOUNDS = 0.005, 15.0
N_STARTS = 8


@dataclass(frozen=True)
class TwoPowersForm:
    """E + exp(a - alpha x) + exp(b - beta z), theta = (E, a, alpha, b, beta), inputs = (x, z), logs about their mean.

    Hoffmann et al.'s form of parameters and training tokens is the same.
    """

    n_parameters: int = N_PARAMETERS

    def predict(self, theta: Array, inputs: Array) -> tuple[Array, Array]:
        x, z = inputs[:, :, 0], inputs[:, :, 1]
        first = np.exp(theta[:, 1:2] - theta[:, 2:3] * x)
        second = np.exp(theta[:, 3:4] - theta[:, 4:5] * z)
        derivatives = np.stack([np.ones_like(x), first, -x * first, second, -z * second], axis=2)
        return theta[:, :1] + first + second, derivatives

    def bounds(self, points: Points) -> tuple[Array, Array]:
        n, (least, most) = len(points.value), EXPONENT_BOUNDS
        low = np.tile([0.0, -MAX_LOG, least, -MAX_LOG, least], (n, 1))
        high = np.tile([0.0, MAX_LOG, most, MAX_LOG, most], (n, 1))
        high[:, 0] = points.least
        return low, high

    def starts(self, points: Points) -> Array:
        """The best of a grid over both exponents, E, A and B by relative least squares."""
        alpha, beta = (axis.ravel() for axis in np.meshgrid(FIRST_EXPONENTS, SECOND_EXPONENTS))
        tried = points.take(np.repeat(np.arange(len(points.value)), len(alpha)))
        exponents = np.tile(np.stack([alpha, beta], axis=1), (len(points.value), 1))
        powers = np.exp(-exponents[:, None, :] * tried.inputs)
        design = np.concatenate([np.ones((*powers.shape[:2], 1)), powers], axis=2)
        least = tried.least[:, None]
        scales = weighted_least_squares(design, tried.value, tried.kept / tried.value**2)
        scales = np.clip(scales, 1e-4 * least, np.hstack([0.999 * least, 1e9 * least, 1e9 * least]))
        misfit = tried.kept * (np.einsum("bnp,bp->bn", design, scales) / tried.value - 1)
        cost = (misfit**2).sum(axis=1).reshape(-1, len(alpha))
        chosen = np.argsort(cost, axis=1)[:, :N_STARTS] + np.arange(len(cost))[:, None] * len(alpha)
        e, a, b = scales[chosen, 0], np.log(scales[chosen, 1]), np.log(scales[chosen, 2])
        return np.stack([e, a, exponents[chosen, 0], b, exponents[chosen, 1]], axis=2)


def two_powers_problem(first: Array, second: Array, value: Array, model: Array) -> Problem:
    """The problem of f64 [points]: two positive variables and what depends on them."""
    logs = np.log(np.column_stack([first, second]))
    return Problem(logs - logs.mean(axis=0), value, model)


def two_powers_parameters(solution: Solution, first: Array, second: Array) -> dict[str, Parameter]:
    """E, A, alpha, B, beta with both variables in their own unit."""
    e, a, alpha, b, beta = np.vstack([solution.theta, solution.deleted]).T
    return {
        "E": Parameter(e),
        "A": Parameter(a + alpha * np.log(first).mean(), is_log=True),
        "alpha": Parameter(alpha),
        "B": Parameter(b + beta * np.log(second).mean(), is_log=True),
        "beta": Parameter(beta),
    }


def fit_bivariate_powers(evidence: Evidence) -> Iterator[FitRow]:
    """One law per family and selection."""
    if LOSS not in evidence.metrics:
        return
    determined: list[Grid] = []
    for grid in evidence.grids(LOSS):
        if missing := what_is_missing(grid):
            yield undetermined(grid.subject(NAME), "beta", len(grid.value), METHOD, missing, grid.settings)
        else:
            determined.append(grid)
    solutions = solve_problems(TwoPowersForm(), [problem_of(grid) for grid in determined])
    for grid, solution in zip(determined, solutions, strict=True):
        parameters = two_powers_parameters(solution, grid.column("quantized_parameters"), grid.column("bits"))
        yield from law_rows(grid.subject(NAME), solution, parameters, grid.settings)


def problem_of(grid: Grid) -> Problem:
    return two_powers_problem(grid.column("quantized_parameters"), grid.column("bits"), grid.value, grid.model)


def what_is_missing(grid: Grid) -> str | None:
    """Why the law cannot be fitted, or None if it can."""
    if len(grid.ks) < MIN_KS:
        return f"needs {MIN_KS} k, has {len(grid.ks)}"
    if grid.n_sizes < MIN_SIZES:
        return f"needs {MIN_SIZES} sizes for {N_PARAMETERS} parameters, has {grid.n_sizes}"
    return None
