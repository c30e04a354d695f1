"""effective_parameters: loss = E + A * N_eff^-alpha, N_eff = N * (1 - exp(-k / gamma)).

Kumar et al. (2024, arXiv 2411.04330): weights of k bits count as a share of as many full ones. N counts the quantized
weights alone, as there. gamma, in bits, is the k at which 63 % of a model is left. One fit per family and selection of
specs; and one of all families together (family `all`), which share alpha and gamma and have each their E and A: that
takes fewer sizes per family. Intervals: delete-one-model jackknife, of the logarithms of gamma and A.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl

from kbit.scaling.curves import Array
from kbit.scaling.evidence import Evidence
from kbit.scaling.fit_rows import ALL, FitRow, undetermined
from kbit.scaling.fitter import Points, Problem, Solution, solve_problems
from kbit.scaling.grids import Grid
from kbit.scaling.law_rows import METHOD, SPARE_SIZES, Parameter, law_rows
from kbit.scaling.laws.power_law import ALPHAS, MAX_LOG, floors_and_scales
from kbit.scaling.metrics import LOSS

NAME = "effective_parameters"
SHARED, PER_FAMILY = ("gamma", "alpha"), ("E", "A")
MIN_KS = 3
MIN_SIZES_OF_FAMILY = 3
"""Of a family among others; its own E and A are two."""
GAMMAS = np.geomspace(0.3, 6.0, 7)
GAMMA_BOUNDS = np.log([0.05, 50.0])
START_ALPHAS = np.geomspace(0.03, 1.5, 9)
N_STARTS = 8


@dataclass(frozen=True)
class EffectiveForm:
    """theta = (log gamma, alpha, E..., log A'...); inputs: (log N about its mean, k, and 1 for the point's family)."""

    n_families: int = 1

    @property
    def n_parameters(self) -> int:
        return len(SHARED) + len(PER_FAMILY) * self.n_families

    def predict(self, theta: Array, inputs: Array) -> tuple[Array, Array]:
        x, k, families = inputs[:, :, 0], inputs[:, :, 1], inputs[:, :, 2:]
        alpha, floors, log_scales = theta[:, 1:2], *np.split(theta[:, 2:], 2, axis=1)
        log_share, slope = log_effective_share(k, theta[:, :1])
        power = np.exp(np.einsum("bnf,bf->bn", families, log_scales) - alpha * (x + log_share))
        value = np.einsum("bnf,bf->bn", families, floors) + power
        shared = np.stack([-alpha * slope * power, -(x + log_share) * power], axis=2)
        return value, np.concatenate([shared, families, families * power[:, :, None]], axis=2)

    def bounds(self, points: Points) -> tuple[Array, Array]:
        n, ones = len(points.value), np.ones((len(points.value), self.n_families))
        fixed = [np.tile([bound, alpha], (n, 1)) for bound, alpha in zip(GAMMA_BOUNDS, ALPHAS[[0, -1]], strict=True)]
        least = np.stack([part.least for part in split_families(points)], axis=1)
        low = np.concatenate([fixed[0], 0 * ones, -MAX_LOG * ones], axis=1)
        return low, np.concatenate([fixed[1], least, MAX_LOG * ones], axis=1)

    def starts(self, points: Points) -> Array:
        """The best of a grid over alpha and gamma, E and A in closed form."""
        log_gamma, alpha = (axis.ravel() for axis in np.meshgrid(np.log(GAMMAS), START_ALPHAS))
        x, k = points.inputs[:, None, :, 0], points.inputs[:, None, :, 1]
        log_share, _ = log_effective_share(k, log_gamma[None, :, None])
        power = np.exp(-alpha[None, :, None] * (x + log_share))
        fitted = [floors_and_scales(power, part) for part in split_families(points)]
        cost = sum(misfit for _, _, misfit in fitted)
        chosen = np.argsort(cost, axis=1)[:, :N_STARTS]
        fit = np.arange(len(chosen))[:, None]
        floors = [floor[fit, chosen] for floor, _, _ in fitted]
        scales = [np.log(scale[fit, chosen]) for _, scale, _ in fitted]
        return np.stack([log_gamma[chosen], alpha[chosen], *floors, *scales], axis=2)


def log_effective_share(k: Array, log_gamma: Array) -> tuple[Array, Array]:
    """log(1 - exp(-k / gamma)), and its derivative by log gamma."""
    ratio = k * np.exp(-log_gamma)
    share = -np.expm1(-ratio)
    return np.log(share), -ratio * np.exp(-ratio) / share


def split_families(points: Points) -> list[Points]:
    """The points of each family, the others not kept."""
    families = points.inputs[:, :, 2:]
    return [Points(points.inputs, points.value, points.kept * families[:, :, f]) for f in range(families.shape[2])]


def effective_problem(quantized: Array, bits: Array, value: Array, model: Array, family: Array) -> Problem:
    """The problem of f64 [points]; `family` counts from 0."""
    x = np.log(quantized)
    members = (family[:, None] == np.arange(family.max() + 1)).astype(float)
    return Problem(np.column_stack([x - x.mean(), bits, members]), value, model)


def effective_parameters(solution: Solution, quantized: Array, families: list[str]) -> dict[str, Parameter]:
    """gamma, alpha, and E and A of each family, with N in weights."""
    theta = np.vstack([solution.theta, solution.deleted])
    log_gamma, alpha, centre = theta[:, 0], theta[:, 1], np.log(quantized).mean()
    floors, log_scales = np.split(theta[:, 2:], 2, axis=1)
    found = {"gamma": Parameter(log_gamma, is_log=True), "alpha": Parameter(alpha)}
    for index, family in enumerate(families):
        of_family = f"[{family}]" if len(families) > 1 else ""
        found[f"E{of_family}"] = Parameter(floors[:, index])
        found[f"A{of_family}"] = Parameter(log_scales[:, index] + alpha * centre, is_log=True)
    return found


def fit_effective_parameters(evidence: Evidence) -> Iterator[FitRow]:
    """One law per family and selection, and one of all families together."""
    if LOSS not in evidence.metrics:
        return
    yield from fit_grids(evidence.grids(LOSS))
    if evidence.points["family"].n_unique() > 1:
        yield from fit_grids(evidence.grids(LOSS, together=True))


def fit_grids(grids: list[Grid]) -> Iterator[FitRow]:
    """The laws of grids, each of one family or of several."""
    determined: dict[int, list[tuple[Grid, str]]] = {}
    for grid in grids:
        grid, note = with_curves(grid) if grid.family == ALL else (grid, "")
        if missing := what_is_missing(grid):
            told = "; ".join(text for text in (missing, note) if text)
            yield undetermined(grid.subject(NAME), "gamma", len(grid.value), METHOD, told, grid.settings)
        else:
            determined.setdefault(grid.points["family"].n_unique(), []).append((grid, note))
    for n_families, alike in determined.items():
        solutions = solve_problems(EffectiveForm(n_families), [problem_of(grid) for grid, _ in alike])
        for (grid, note), solution in zip(alike, solutions, strict=True):
            families = grid.points["family"].unique().sort().to_list()
            parameters = effective_parameters(solution, grid.column("quantized_parameters"), families)
            yield from law_rows(grid.subject(NAME), solution, parameters, grid.settings, note)


def with_curves(grid: Grid) -> tuple[Grid, str]:
    """Without the families that have too few sizes for a floor and a scale of their own, and which these are."""
    enough = pl.col("parameters").n_unique().over("family") >= MIN_SIZES_OF_FAMILY
    without = grid.points.filter(~enough)["family"].unique().sort().to_list()
    return grid.take(enough), f"left out, fewer than {MIN_SIZES_OF_FAMILY} sizes: {', '.join(without)}" * bool(without)


def problem_of(grid: Grid) -> Problem:
    weights = grid.column("quantized_parameters")
    return effective_problem(weights, grid.column("bits"), grid.value, grid.model, grid.family_number)


def what_is_missing(grid: Grid) -> str | None:
    """Why the law cannot be fitted, or None if it can."""
    if len(grid.ks) < MIN_KS:
        return f"needs {MIN_KS} k, has {len(grid.ks)}"
    n_families = grid.points["family"].n_unique()
    if grid.family == ALL and n_families < 2:
        return f"needs two families of {MIN_SIZES_OF_FAMILY} sizes or more, has {n_families}"
    n_parameters = EffectiveForm(n_families).n_parameters
    if grid.n_sizes < n_parameters + SPARE_SIZES:
        return f"needs {n_parameters + SPARE_SIZES} sizes for {n_parameters} parameters, has {grid.n_sizes}"
    return None
