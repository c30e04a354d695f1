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
from numpy.typing import NDArray

from kbit.scaling.curves import Array
from kbit.scaling.evidence import Evidence, FamilyPoints
from kbit.scaling.fit_rows import FitRow, Subject, undetermined
from kbit.scaling.huber import minimize_huber
from kbit.scaling.jackknife import jackknife_interval
from kbit.scaling.metrics import BIT_ACCOUNTINGS, LOSS

NAME = "power_law"
METHOD = "Huber on log residuals from five exponents about the best of 60; delete-one-model jackknife, t interval"
N_PARAMETERS = 3
MIN_SIZES = N_PARAMETERS + 2
HUBER_DELTA = 1e-3
"""Log residuals above 0.1 % count linearly (Hoffmann et al. 2022)."""
ALPHAS = np.geomspace(0.01, 3.0, 60)
"""Exponents at which the fit may start; the bounds of alpha are its ends."""
OFFSETS = np.array([-12, -6, 0, 6, 12])
"""A fit starts at the best exponent of the grid and so many to its left and right: the Huber loss has local minima."""
MAX_LOG = 60.0
"""Bound of |log A| about the mean size: keeps exp() finite, far outside any data."""


@dataclass(frozen=True)
class PowerLaws:
    """Many laws: loss = floor + exp(log_scale) * (bits / centre)^-alpha. Every field has one value for each law."""

    floor: Array
    log_scale: Array
    alpha: Array
    centre: Array
    """Geometric mean of the bits: there scale and exponent are least correlated."""
    converged: NDArray[np.bool_]

    @property
    def parameters(self) -> Array:
        """f64 [laws, (E, log A, alpha)] with bits in bits, not in centres."""
        return np.stack([self.floor, self.log_scale + self.alpha * np.log(self.centre), self.alpha], axis=1)

    def predict(self, bits: Array) -> Array:
        """f64 [laws, points], from [laws, points] or [points]."""
        x = np.log(bits / self.centre[:, None])
        return self.floor[:, None] + np.exp(self.log_scale[:, None] - self.alpha[:, None] * x)


@dataclass(frozen=True)
class Points:
    """What laws are fitted to, one row a law."""

    x: Array
    """f64 [laws, points]: log of bits over centre."""
    loss: Array
    kept: Array
    """f64 [laws, points]: 1 for the points of the law, 0 for those it must not see."""

    def take(self, laws: NDArray[np.intp]) -> "Points":
        return Points(self.x[laws], self.loss[laws], self.kept[laws])

    @property
    def least(self) -> Array:
        """f64 [laws]: the smallest loss."""
        return np.where(self.kept > 0, self.loss, np.inf).min(axis=1)

    def residuals(self, theta: Array, laws: NDArray[np.intp]) -> tuple[Array, Array]:
        """Log residuals [laws, points] and derivatives [laws, points, 3] at theta = (E, log scale, alpha)."""
        x, loss, kept = self.x[laws], self.loss[laws], self.kept[laws]
        with np.errstate(over="ignore", invalid="ignore"):  # a step too far is infinite, and not taken
            power = np.exp(theta[:, 1:2] - theta[:, 2:3] * x)
            predicted = theta[:, 0:1] + power
            share = power / predicted
            derivatives = np.stack([1 / predicted, share, -x * share], axis=2) * kept[:, :, None]
            return kept * (np.log(predicted) - np.log(loss)), derivatives


def fit_laws(bits: Array, loss: Array, kept: NDArray[np.bool_]) -> PowerLaws:
    """The best of several fits of every law to its points.

    bits, loss f64 [laws, points], positive; kept bool [laws, points]: which of them are the law's.
    """
    weights = kept.astype(float)
    log_bits = np.log(bits)
    log_centre = (weights * log_bits).sum(axis=1) / weights.sum(axis=1)
    points = Points(log_bits - log_centre[:, None], loss, weights)
    start = starting_points(points).reshape(-1, N_PARAMETERS)
    tried = points.take(np.repeat(np.arange(len(bits)), len(OFFSETS)))
    low = np.broadcast_to([0.0, -MAX_LOG, ALPHAS[0]], start.shape)
    high = np.stack([tried.least, np.full(len(start), MAX_LOG), np.full(len(start), ALPHAS[-1])], axis=1)
    found = minimize_huber(tried.residuals, start, low, high, HUBER_DELTA)
    best = found.cost.reshape(-1, len(OFFSETS)).argmin(axis=1) + np.arange(len(bits)) * len(OFFSETS)
    floor, log_scale, alpha = found.theta[best].T
    return PowerLaws(floor, log_scale, alpha, np.exp(log_centre), found.converged[best])


def starting_points(points: Points) -> Array:
    """f64 [laws, starts, 3]: the best alpha of relative least squares and some around it, with the E and A it gives.

    loss / y = E * (1/y) + A * (p/y), p = exp(-alpha x), all alphas at once, E and A in closed form.
    """
    ones = (points.kept / points.loss)[:, None, :]
    power = np.exp(-ALPHAS[:, None] * points.x[:, None, :]) * ones
    aa, ab, bb = (ones * ones).sum(2), (ones * power).sum(2), (power * power).sum(2)
    a, b = ones.sum(2), power.sum(2)
    least = points.least[:, None]
    determinant = np.maximum(aa * bb - ab**2, 1e-300)
    floor = np.clip((a * bb - b * ab) / determinant, 1e-3 * least, 0.999 * least)
    scale = np.maximum((b - floor * ab) / bb, 1e-9)
    misfit = floor[:, :, None] * ones + scale[:, :, None] * power - points.kept[:, None, :]
    cost = (misfit**2).sum(2)
    chosen = np.clip(cost.argmin(axis=1)[:, None] + OFFSETS, 0, len(ALPHAS) - 1)
    law = np.arange(len(chosen))[:, None]
    inside = np.clip(ALPHAS, ALPHAS[0] * 1.01, ALPHAS[-1] * 0.99)
    return np.stack([floor[law, chosen], np.log(scale[law, chosen]), inside[chosen]], axis=2)


def fit_power_laws(evidence: Evidence) -> Iterator[FitRow]:
    """A power law with floor for every spec of every family, for both counts of bits."""
    if LOSS not in evidence.metrics:
        return
    for family in evidence.families(LOSS):
        points = family.points.with_columns(pl.Series("loss", family.observed)).filter(pl.col("loss").is_finite())
        groups = points.sort("bits", "spec", "parameters").partition_by("spec", maintain_order=True)
        for bit_accounting in BIT_ACCOUNTINGS:
            yield from fit_family(family, groups, bit_accounting)


def fit_family(family: FamilyPoints, groups: list[pl.DataFrame], bit_accounting: str) -> Iterator[FitRow]:
    """Rows E, A, alpha, converged and rms_log_residual of every spec, or one `undetermined` row."""
    determined: dict[int, list[tuple[Subject, Array, Array]]] = {}
    for group in groups:
        subject = describe_spec(family, group.row(0, named=True), bit_accounting)
        bits, loss = group[bit_accounting].to_numpy().astype(float), group["loss"].to_numpy()
        sizes = len(np.unique(bits))
        if sizes < MIN_SIZES:
            note = f"needs {MIN_SIZES} sizes for {N_PARAMETERS} parameters, has {sizes}"
            yield undetermined(subject, "alpha", len(bits), METHOD, note)
        else:
            determined.setdefault(len(bits), []).append((subject, bits, loss))
    for problems in determined.values():
        yield from describe_fits(problems)


def describe_spec(family: FamilyPoints, point: dict[str, object], bit_accounting: str) -> Subject:
    """What the law of one spec is about; `point` is any of its points."""
    return Subject(
        NAME, family.family, LOSS.task_set, LOSS.name, bit_accounting, point["data_type"], point["block_size"] or "",
        point["options"], point["spec"], point["bits"],
    )  # fmt: skip


def describe_fits(problems: list[tuple[Subject, Array, Array]]) -> Iterator[FitRow]:
    """The rows of laws with equally many points: each fitted to all of them, and without each of them in turn."""
    subjects, *arrays = zip(*problems, strict=True)
    bits, loss = (np.stack(values) for values in arrays)
    n = bits.shape[1]
    # [laws, fits, points]; fit 0 is that of all points
    kept = np.broadcast_to(np.vstack([np.ones((1, n), bool), ~np.eye(n, dtype=bool)]), (len(bits), n + 1, n))
    laws = fit_laws(np.repeat(bits, n + 1, axis=0), np.repeat(loss, n + 1, axis=0), kept.reshape(-1, n))
    parameters = laws.parameters.reshape(len(bits), n + 1, N_PARAMETERS)
    converged = laws.converged.reshape(len(bits), n + 1)
    predicted = laws.predict(np.repeat(bits, n + 1, axis=0)).reshape(len(bits), n + 1, n)[:, 0]
    rms = np.sqrt(np.mean((np.log(predicted) - np.log(loss)) ** 2, axis=1))
    for index, subject in enumerate(subjects):
        yield from describe_fit(subject, parameters[index], converged[index], float(rms[index]))


def describe_fit(subject: Subject, fits: Array, converged: NDArray[np.bool_], rms: float) -> Iterator[FitRow]:
    """The rows of one law. fits: f64 [1 + points, 3], that of all points and those without each of them."""
    law, deleted = fits[0], fits[1:]
    low, high = jackknife_interval(law, deleted)
    note = "" if converged.all() else "a fit to some of the models stopped before it converged"
    n = len(deleted)
    for index, quantity in enumerate(("E", "A", "alpha")):
        value, bounds = law[index], (low[index], high[index])
        if quantity == "A":
            value, bounds = np.exp(value), np.exp(bounds)
        yield FitRow(subject, quantity, n, METHOD, float(value), float(bounds[0]), float(bounds[1]), note=note)
    yield FitRow(subject, "converged", n, METHOD, float(converged[0]), note=note)
    yield FitRow(subject, "rms_log_residual", n, METHOD, rms, note=note)
