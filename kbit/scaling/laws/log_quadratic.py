"""log_quadratic: metric = level + slope * x + curvature * x^2 along the sizes, x = log2 bits about their mean.

The shape of Ayadi et al. (2026, "reliability laws": metrics are log-quadratic in total bits); one fit per family, k and
selection of specs, for loss and accuracy, in total bits. `centre` is the mean of log2 bits that x counts from, `level`
the metric there. The 16-bit control, which belongs to every selection, is fitted with the best specs alone.
"""

from collections.abc import Iterator

import numpy as np
import polars as pl

from kbit.scaling.curves import Array
from kbit.scaling.evidence import Evidence
from kbit.scaling.fit_rows import FitRow, Subject, undetermined
from kbit.scaling.fitter import Problem, solve_problems
from kbit.scaling.forms import LinearForm
from kbit.scaling.law_rows import METHOD, SPARE_SIZES, Parameter, law_rows
from kbit.scaling.selections import BEST_SPECS, CONTROL

NAME = "log_quadratic"
BIT_ACCOUNTING = "total_bits"
QUANTITIES = ("level", "slope", "curvature")
N_PARAMETERS = len(QUANTITIES)
MIN_SIZES = N_PARAMETERS + SPARE_SIZES
FORM = LinearForm(N_PARAMETERS)


def fit_log_quadratics(evidence: Evidence) -> Iterator[FitRow]:
    """A parabola for every family, k, selection and metric."""
    for metric in evidence.metrics:
        found: list[tuple[Subject, Problem, float, str]] = []
        for grid in evidence.grids(metric):
            for k in grid.ks:
                of_k, subject = grid.take(pl.col("bits") == k), grid.subject(NAME, BIT_ACCOUNTING, k)
                if grid.selection != BEST_SPECS and (of_k.points["data_type"] == CONTROL).all():
                    continue
                if of_k.n_sizes < MIN_SIZES:
                    note = f"needs {MIN_SIZES} sizes for {N_PARAMETERS} parameters, has {of_k.n_sizes}"
                    yield undetermined(subject, "curvature", len(of_k.value), METHOD, note, grid.settings)
                else:
                    x = np.log2(of_k.column(BIT_ACCOUNTING))
                    problem = Problem(quadratic_inputs(x, x.mean()), of_k.value, of_k.model)
                    found.append((subject, problem, float(x.mean()), grid.settings))
        yield from solve_and_describe(found)


def solve_and_describe(found: list[tuple[Subject, Problem, float, str]]) -> Iterator[FitRow]:
    """The rows of (subject, problem, centre, settings)."""
    solutions = solve_problems(FORM, [problem for _, problem, _, _ in found])
    for (subject, _, centre, settings), solution in zip(found, solutions, strict=True):
        theta = np.vstack([solution.theta, solution.deleted])
        parameters = {name: Parameter(theta[:, index]) for index, name in enumerate(QUANTITIES)}
        yield from law_rows(subject, solution, parameters, settings)
        yield FitRow(subject, "centre", len(solution.residuals), METHOD, centre, settings=settings)


def quadratic_inputs(log2_bits: Array, centre: float) -> Array:
    """f64 [models, 3]"""
    x = log2_bits - centre
    return np.stack([np.ones_like(x), x, x**2], axis=1)
