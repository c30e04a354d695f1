"""power_law: loss = E + A * bits^-alpha along the sizes of a family, one fit per spec.

E is the floor in nats per byte that no size gets below, A the loss above it at one bit, alpha the exponent. Least Huber
loss of log residuals (Hoffmann et al. 2022, approach 3), so that one odd model does not bend the curve. There
are many poor optima, so the fit starts at the best points of a grid over alpha, where E and A follow by least squares.
Intervals: delete-one-model jackknife, of log A for A. Needs as many sizes as parameters and two more.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl

from kbit.scaling.curves import Array
from kbit.scaling.evidence import Evidence
from kbit.scaling.exclusions import EXCLUSIONS
from kbit.scaling.fit_rows import FitRow, Subject, undetermined
from kbit.scaling.fitter import Points, Problem, Solution, solve_problems
from kbit.scaling.law_rows import METHOD, SPARE_SIZES, Parameter, law_rows
from kbit.scaling.metrics import BIT_ACCOUNTINGS, LOSS

NAME = "power_law"
N_PARAMETERS = 3
MIN_SIZES = N_PARAMETERS + SPARE_SIZES
ALPHAS = np.geomspace(0.01, 3.0, 60)
"""Exponents at which the fit may start; the bounds of alpha are its ends."""
OFFSETS = np.array([0, -12, -6, 6, 12])
"""A fit starts at the best exponent of the grid and so many to its left and right: the Huber loss has local minima."""
MAX_LOG = 60.0
"""Bound of |log A| about the mean size: keeps exp() finite, far outside any data."""


@dataclass(frozen=True)
class PowerForm:
    """E + exp(log A' - alpha x), theta = (E, log A', alpha), one input: x = log(size / mean size)."""

    n_parameters: int = N_PARAMETERS

    def predict(self, theta: Array, inputs: Array) -> tuple[Array, Array]:
        x = inputs[:, :, 0]
        power = np.exp(theta[:, 1:2] - theta[:, 2:3] * x)
        return theta[:, 0:1] + power, np.stack([np.ones_like(power), power, -x * power], axis=2)

    def bounds(self, points: Points) -> tuple[Array, Array]:
        n = len(points.value)
        low = np.broadcast_to([0.0, -MAX_LOG, ALPHAS[0]], (n, N_PARAMETERS))
        return low, np.stack([points.least, np.full(n, MAX_LOG), np.full(n, ALPHAS[-1])], axis=1)

    def starts(self, points: Points) -> Array:
        """The best alpha of relative least squares and some around it, with the E and A it gives."""
        x = points.inputs[:, :, 0]
        floor, scale, cost = floors_and_scales(np.exp(-ALPHAS[:, None] * x[:, None, :]), points)
        chosen = np.clip(cost.argmin(axis=1)[:, None] + OFFSETS, 0, len(ALPHAS) - 1)
        fit = np.arange(len(chosen))[:, None]
        inside = np.clip(ALPHAS, ALPHAS[0] * 1.01, ALPHAS[-1] * 0.99)
        return np.stack([floor[fit, chosen], np.log(scale[fit, chosen]), inside[chosen]], axis=2)


def floors_and_scales(power: Array, points: Points) -> tuple[Array, Array, Array]:
    """The best E and A for given powers f64 [fits, candidates, points], all f64 [fits, candidates], and the misfits.

    Relative least squares in closed form: 1 = E * (1/y) + A * (power/y).
    """
    ones = (points.kept / points.value)[:, None, :]
    scaled = power * ones
    aa, ab, bb = (ones * ones).sum(2), (ones * scaled).sum(2), (scaled * scaled).sum(2)
    a, b = ones.sum(2), scaled.sum(2)
    least = points.least[:, None]
    determinant = np.maximum(aa * bb - ab**2, 1e-300)
    floor = np.clip((a * bb - b * ab) / determinant, 1e-3 * least, 0.999 * least)
    scale = np.maximum((b - floor * ab) / bb, 1e-9)
    misfit = floor[:, :, None] * ones + scale[:, :, None] * scaled - points.kept[:, None, :]
    return floor, scale, (misfit**2).sum(2)


def fit_power_laws(evidence: Evidence) -> Iterator[FitRow]:
    """A power law with floor for every spec of every family, for both counts of bits."""
    if LOSS not in evidence.metrics:
        return
    ordered = evidence.points.sort("family", "bits", "spec", "parameters", "model")
    groups = ordered.partition_by("family", "spec", maintain_order=True)
    for bit_accounting in BIT_ACCOUNTINGS:
        yield from fit_specs(groups, bit_accounting)


def fit_specs(groups: list[pl.DataFrame], bit_accounting: str) -> Iterator[FitRow]:
    """Rows E, A, alpha and the state of the fit of every spec, or one `undetermined` row."""
    determined: list[tuple[Subject, Array, Array, str]] = []
    for group in groups:
        subject = describe_spec(group.row(0, named=True), bit_accounting)
        kept = group.filter(EXCLUSIONS.rule(LOSS))
        bits, loss = kept[bit_accounting].to_numpy().astype(float), kept[LOSS.name].to_numpy()
        settings = EXCLUSIONS.describe(LOSS, group.height - kept.height)
        sizes = len(np.unique(bits))
        if sizes < MIN_SIZES:
            note = f"needs {MIN_SIZES} sizes for {N_PARAMETERS} parameters, has {sizes}"
            yield undetermined(subject, "alpha", len(bits), METHOD, note, settings)
        else:
            determined.append((subject, bits, loss, settings))
    solutions = solve_problems(PowerForm(), [power_problem(bits, loss) for _, bits, loss, _ in determined])
    for (subject, bits, _, settings), solution in zip(determined, solutions, strict=True):
        yield from law_rows(subject, solution, power_parameters(solution, bits), settings)


def describe_spec(point: dict[str, object], bit_accounting: str) -> Subject:
    """What the law of one spec is about; `point` is any of its points."""
    return Subject(
        NAME, point["family"], LOSS.task_set, LOSS.name, bit_accounting, point["data_type"], point["block_size"] or "",
        point["options"], point["spec"], point["bits"],
    )  # fmt: skip


def power_problem(sizes: Array, loss: Array) -> Problem:
    """The problem of f64 [models] sizes (bits, or parameters) and losses."""
    x = np.log(sizes)
    return Problem((x - x.mean())[:, None], loss, np.arange(len(sizes)))


def power_parameters(solution: Solution, sizes: Array) -> dict[str, Parameter]:
    """E, A, alpha with sizes in their own unit, not in mean sizes."""
    floor, log_scale, alpha = np.vstack([solution.theta, solution.deleted]).T
    log_a = log_scale + alpha * np.log(sizes).mean()
    return {"E": Parameter(floor), "A": Parameter(log_a, is_log=True), "alpha": Parameter(alpha)}
