"""What the laws of quantization's penalty share: loss - 16-bit loss = exp(c + gN * log N + gD * log D + ...).

The 16-bit loss is the model's own, so that only the penalty is fitted; residuals are those of the whole loss, so that a
penalty of a thousandth of the loss, measured with as much noise, does not count like one that was measured well, and
negative ones need not be dropped. Checkpoints of every number of training tokens enter. D is told apart from the scale
only where models differ in it: with fewer than three numbers of tokens, or unknown ones, it is folded into the scale.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl

from kbit.scaling.curves import Array
from kbit.scaling.evidence import Evidence
from kbit.scaling.fit_rows import FitRow, undetermined
from kbit.scaling.fitter import Problem, Solution, solve_problems
from kbit.scaling.forms import PenaltyForm
from kbit.scaling.grids import Grid
from kbit.scaling.law_rows import METHOD, SPARE_SIZES, Parameter, law_rows
from kbit.scaling.metrics import LOSS
from kbit.scaling.selections import CONTROL

MIN_TOKEN_COUNTS = 3
MAX_LOG, MAX_EXPONENT = 60.0, 20.0
TOKENS_UNKNOWN = "training tokens are unknown for some models: D is part of the scale"
TOKENS_ALIKE = f"fewer than {MIN_TOKEN_COUNTS} numbers of training tokens: D is part of the scale"


@dataclass(frozen=True)
class PenaltyLaw:
    """A penalty law: how it depends on one more column than N and D."""

    name: str
    scale: str
    """Name of the constant factor."""
    size_exponent: str
    token_exponent: str
    column: str
    """Of the grid's points."""
    feature: Callable[[Array], Array]
    """The column as it enters the exponent, linearly."""
    bounds: tuple[float, float]
    """Of the feature's coefficient."""
    parameter: str
    to_parameter: Callable[[Array], Parameter]
    """The reported parameter, of the feature's coefficient."""
    min_levels: int
    """Different values of the column without which there is no law."""
    levels: str
    """What the column's values are, in the plural."""


@dataclass(frozen=True)
class PenaltyProblem:
    """A problem with what its features were centred about."""

    problem: Problem
    form: PenaltyForm
    centres: Array
    """f64 [features without the constant]"""
    has_tokens: bool


def penalty_problem(law: PenaltyLaw, grid: Grid) -> PenaltyProblem:
    """The quantized points of a grid, their own 16-bit losses known."""
    has_tokens = tokens_note(grid) is None
    columns = [np.log(grid.column("quantized_parameters"))]
    columns += [np.log(grid.column("tokens_seen"))] if has_tokens else []
    features = np.column_stack([*columns, law.feature(grid.column(law.column))])
    centres = features.mean(axis=0)
    inputs = np.column_stack([grid.column("control"), np.ones(len(features)), features - centres])
    free = [(-MAX_LOG, MAX_LOG)] + [(-MAX_EXPONENT, MAX_EXPONENT)] * len(columns)
    low, high = zip(*free, law.bounds, strict=True)
    return PenaltyProblem(Problem(inputs, grid.value, grid.model), PenaltyForm(low, high), centres, has_tokens)


def tokens_note(grid: Grid) -> str | None:
    """Why D is no part of the law, or None if it is."""
    tokens = grid.points["tokens_seen"]
    if tokens.is_null().any():
        return TOKENS_UNKNOWN
    return None if tokens.n_unique() >= MIN_TOKEN_COUNTS else TOKENS_ALIKE


def few_levels_note(law: PenaltyLaw, grid: Grid) -> str:
    """With two values a power has one exponent, whatever the true form is."""
    levels = len(np.unique(grid.column(law.column)))
    return f"two {law.levels}: the form itself is not tested" if levels == 2 else ""


def penalty_parameters(law: PenaltyLaw, found: PenaltyProblem, solution: Solution) -> dict[str, Parameter]:
    """Scale, exponents of N (as a divisor) and D, and the law's own parameter; N in weights, D in tokens."""
    theta = np.vstack([solution.theta, solution.deleted])
    log_scale = theta[:, 0] - theta[:, 1:] @ found.centres
    parameters = {law.scale: Parameter(log_scale, is_log=True), law.size_exponent: Parameter(-theta[:, 1])}
    if found.has_tokens:
        parameters[law.token_exponent] = Parameter(theta[:, 2])
    return {**parameters, law.parameter: law.to_parameter(theta[:, -1])}


def quantized(grid: Grid) -> Grid:
    """The points whose penalty is known: quantized, with a 16-bit control."""
    return grid.take((pl.col("data_type") != CONTROL) & pl.col("control").is_not_null())


def fit_penalties(law: PenaltyLaw, evidence: Evidence) -> Iterator[FitRow]:
    """The law for every family and selection, and for all families together."""
    if LOSS not in evidence.metrics:
        return
    grids = [quantized(grid) for grid in evidence.grids(LOSS, checkpoints=True)]
    if evidence.checkpoints["family"].n_unique() > 1:
        grids += [quantized(grid) for grid in evidence.grids(LOSS, checkpoints=True, together=True)]
    yield from fit_penalty_grids(law, grids)


def fit_penalty_grids(law: PenaltyLaw, grids: list[Grid], bits: int | None = None) -> Iterator[FitRow]:
    """The law for every grid; `bits` is the k that they are of, if of one."""
    determined: dict[PenaltyForm, list[tuple[Grid, PenaltyProblem]]] = {}
    for grid in grids:
        if missing := what_is_missing(law, grid):
            subject = grid.subject(law.name, bits=bits)
            yield undetermined(subject, law.parameter, len(grid.value), METHOD, missing, grid.settings)
        else:
            found = penalty_problem(law, grid)
            determined.setdefault(found.form, []).append((grid, found))
    for form, alike in determined.items():
        for (grid, found), solution in zip(
            alike, solve_problems(form, [found.problem for _, found in alike]), strict=True
        ):
            parameters = penalty_parameters(law, found, solution)
            note = "; ".join(told for told in (tokens_note(grid), few_levels_note(law, grid)) if told)
            yield from law_rows(grid.subject(law.name, bits=bits), solution, parameters, grid.settings, note)


def what_is_missing(law: PenaltyLaw, grid: Grid) -> str | None:
    """Why the law cannot be fitted, or None if it can."""
    levels = len(np.unique(grid.column(law.column)))
    if levels < law.min_levels:
        return f"needs {law.min_levels} values of {law.column}, has {levels}"
    # Scale, exponent of N and the law's own; the exponent of D has its own condition.
    if grid.n_sizes < (n_needed := 3 + SPARE_SIZES):
        return f"needs {n_needed} sizes for 3 parameters, has {grid.n_sizes}"
    return None
