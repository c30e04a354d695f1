"""offset: metric = base(x) + offset_k, x = log2 bits: the paper's model of nearly parallel curves (its section 4).

The base is one piecewise-linear function for all k of a family, the offsets are distances from its 16-bit curve (of the
largest k) at equal bits, in the metric's unit: below zero is better for a loss, above zero for an accuracy. The paper
never writes the base down; here its knots stand at quantiles of x, two fewer than there are sizes and five at most.
One fit per family, selection of specs, metric and count of bits. Offsets are compared within models, which share the
base: sizes must exceed the knots, not all parameters, by two. Intervals: delete-one-model jackknife.
"""

from collections.abc import Iterator

import numpy as np

from kbit.scaling.curves import Array
from kbit.scaling.evidence import Evidence
from kbit.scaling.fit_rows import FitRow, Subject, undetermined
from kbit.scaling.fitter import Problem, Solution, solve_problems
from kbit.scaling.forms import LinearForm
from kbit.scaling.grids import Grid
from kbit.scaling.law_rows import METHOD, SPARE_SIZES, Parameter, law_rows
from kbit.scaling.metrics import BIT_ACCOUNTINGS

NAME = "offset"
MIN_KNOTS, MAX_KNOTS = 3, 5


def fit_offsets(evidence: Evidence) -> Iterator[FitRow]:
    """An offset for every k but the largest, for every family, selection, metric and count of bits."""
    for metric in evidence.metrics:
        determined: dict[int, list[tuple[Subject, Grid, Problem]]] = {}
        for grid in evidence.grids(metric):
            for bit_accounting in BIT_ACCOUNTINGS:
                subject = grid.subject(NAME, bit_accounting)
                if missing := what_is_missing(grid):
                    yield undetermined(subject, "offset", len(grid.value), METHOD, missing, grid.settings)
                else:
                    problem = offset_problem(np.log2(grid.column(bit_accounting)), grid)
                    determined.setdefault(problem.inputs.shape[1], []).append((subject, grid, problem))
        for n_parameters, alike in determined.items():
            solutions = solve_problems(LinearForm(n_parameters), [problem for _, _, problem in alike])
            for (subject, grid, _), solution in zip(alike, solutions, strict=True):
                yield from law_rows(subject, solution, offset_parameters(solution, grid.ks), grid.settings)


def what_is_missing(grid: Grid) -> str | None:
    """Why the law cannot be fitted, or None if it can."""
    if len(grid.ks) < 2:
        return f"needs two k, has {len(grid.ks)}"
    if grid.n_sizes < MIN_KNOTS + SPARE_SIZES:
        return f"needs {MIN_KNOTS + SPARE_SIZES} sizes for {MIN_KNOTS} knots, has {grid.n_sizes}"
    return None


def offset_problem(log2_bits: Array, grid: Grid, n_held_out: int = 0) -> Problem:
    """The problem of a grid: the base, then the offset of every k but the largest. Sizes held out bear no knots."""
    seen = log2_bits[grid.model < grid.n_sizes - n_held_out]
    return Problem(offset_inputs(log2_bits, grid, find_knots(seen, grid.n_sizes - n_held_out)), grid.value, grid.model)


def find_knots(log2_bits: Array, n_sizes: int) -> Array:
    """f64 [knots]: quantiles of the bits of the points."""
    n_knots = min(max(n_sizes - SPARE_SIZES, MIN_KNOTS), MAX_KNOTS)
    return np.quantile(np.unique(log2_bits), np.linspace(0, 1, n_knots))


def offset_inputs(log2_bits: Array, grid: Grid, knots: Array) -> Array:
    """f64 [points, knots + ks - 1]: the base's columns, and 1 for the point's k."""
    # A line, and what each inner knot bends it by: beyond the outer knots it goes on straight.
    bends = np.maximum(log2_bits[:, None] - knots[1:-1], 0)
    base = np.column_stack([np.ones_like(log2_bits), log2_bits - knots.mean(), bends])
    return np.hstack([base, (grid.column("bits")[:, None] == np.array(grid.ks[:-1])).astype(float)])


def offset_parameters(solution: Solution, ks: list[int]) -> dict[str, Parameter]:
    """The offsets, by k."""
    theta = np.vstack([solution.theta, solution.deleted])
    first = theta.shape[1] - len(ks) + 1
    return {f"offset/{k}": Parameter(theta[:, first + index], bits=k) for index, k in enumerate(ks[:-1])}
