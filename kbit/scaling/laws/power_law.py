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
from scipy.optimize import least_squares

from kbit.scaling.curves import Array
from kbit.scaling.evidence import Evidence, FamilyPoints
from kbit.scaling.fit_rows import FitRow, Subject, undetermined
from kbit.scaling.jackknife import jackknife_interval
from kbit.scaling.metrics import BIT_ACCOUNTINGS, LOSS

NAME = "power_law"
METHOD = "Huber on log residuals from the best of 60 exponents; delete-one-model jackknife, t interval"
N_PARAMETERS = 3
MIN_SIZES = N_PARAMETERS + 2
HUBER_DELTA = 1e-3
"""Log residuals above 0.1 % count linearly (Hoffmann et al. 2022)."""
ALPHAS = np.geomspace(0.01, 3.0, 60)
"""Exponents at which the fit may start; the bounds of alpha are its ends."""
MAX_LOG = 60.0
"""Bound of |log A| about the mean size: keeps exp() finite, far outside any data."""


@dataclass(frozen=True)
class PowerLaw:
    """loss = floor + exp(log_scale) * (bits / centre)^-alpha."""

    floor: float
    log_scale: float
    alpha: float
    centre: float
    """Geometric mean of the bits: there scale and exponent are least correlated."""
    converged: bool
    cost: float

    @property
    def parameters(self) -> Array:
        """f64 [E, log A, alpha] with bits in bits, not in centres."""
        return np.array([self.floor, self.log_scale + self.alpha * np.log(self.centre), self.alpha])

    def predict(self, bits: Array) -> Array:
        return self.floor + np.exp(self.log_scale - self.alpha * np.log(bits / self.centre))


def fit_power_law(bits: Array, loss: Array, starts: int = 2) -> PowerLaw:
    """The best of several fits to f64 [n] bits and f64 [n] positive losses."""
    centre = float(np.exp(np.log(bits).mean()))
    x, target = np.log(bits / centre), np.log(loss)

    def residuals(theta: Array) -> Array:
        return np.log(theta[0] + np.exp(theta[1] - theta[2] * x)) - target

    def jacobian(theta: Array) -> Array:
        power = np.exp(theta[1] - theta[2] * x)
        return np.stack([np.ones_like(x), power, -x * power], axis=1) / (theta[0] + power)[:, None]

    bounds = ([0.0, -MAX_LOG, ALPHAS[0]], [float(loss.min()), MAX_LOG, ALPHAS[-1]])
    options = {"loss": "huber", "f_scale": HUBER_DELTA, "x_scale": "jac", "max_nfev": 200}
    fits = [least_squares(residuals, start, jacobian, bounds, **options) for start in starting_points(x, loss, starts)]
    best = min(fits, key=lambda fit: fit.cost)
    return PowerLaw(*(float(value) for value in best.x), centre, bool(best.success), float(best.cost))


def starting_points(x: Array, loss: Array, count: int) -> list[Array]:
    """The best local minima over alpha of relative least squares, E and A solved in closed form.

    loss / y = E * (1/y) + A * (p/y), p = exp(-alpha x), all alphas at once.
    """
    power = np.exp(-ALPHAS[:, None] * x) / loss
    ones = np.broadcast_to(1 / loss, power.shape)
    aa, ab, bb = (ones * ones).sum(1), (ones * power).sum(1), (power * power).sum(1)
    a, b = ones.sum(1), power.sum(1)
    determinant = np.maximum(aa * bb - ab**2, 1e-300)
    floor = np.clip((a * bb - b * ab) / determinant, 1e-3 * loss.min(), 0.999 * loss.min())
    scale = np.maximum((b - floor * ab) / bb, 1e-9)
    cost = ((floor[:, None] * ones + scale[:, None] * power - 1) ** 2).sum(1)
    padded = np.concatenate([[np.inf], cost, [np.inf]])
    minima = np.flatnonzero((cost <= padded[:-2]) & (cost <= padded[2:]))
    chosen = minima[np.argsort(cost[minima], kind="stable")][:count]
    inside = np.clip(ALPHAS, ALPHAS[0] * 1.01, ALPHAS[-1] * 0.99)
    return [np.array([floor[i], np.log(scale[i]), inside[i]]) for i in chosen]


def fit_power_laws(evidence: Evidence) -> Iterator[FitRow]:
    """A power law with floor for every spec of every family, for both counts of bits."""
    if LOSS not in evidence.metrics:
        return
    for family in evidence.families(LOSS):
        points = family.points.with_columns(pl.Series("loss", family.observed)).filter(pl.col("loss").is_finite())
        for (spec,), group in points.sort("bits", "spec", "parameters").group_by("spec", maintain_order=True):
            for bit_accounting in BIT_ACCOUNTINGS:
                yield from fit_spec(family, spec, group, bit_accounting)


def fit_spec(family: FamilyPoints, spec: str, group: pl.DataFrame, bit_accounting: str) -> Iterator[FitRow]:
    """Rows E, A, alpha and converged of one spec, or one `undetermined` row."""
    first = group.row(0, named=True)
    block_size = first["block_size"] or ""
    subject = Subject(
        NAME, family.family, LOSS.task_set, LOSS.name, bit_accounting, first["data_type"], block_size, first["options"],
        spec, first["bits"],
    )  # fmt: skip
    bits = group[bit_accounting].to_numpy().astype(float)
    loss = group["loss"].to_numpy()
    sizes = len(np.unique(bits))
    if sizes < MIN_SIZES:
        note = f"needs {MIN_SIZES} sizes for {N_PARAMETERS} parameters, has {sizes}"
        yield undetermined(subject, "alpha", len(bits), METHOD, note)
        return
    yield from describe_fit(subject, bits, loss)


def describe_fit(subject: Subject, bits: Array, loss: Array) -> Iterator[FitRow]:
    law = fit_power_law(bits, loss)
    keep = ~np.eye(len(bits), dtype=bool)
    deleted = [fit_power_law(bits[kept], loss[kept]) for kept in keep]
    low, high = jackknife_interval(law.parameters, [fit.parameters for fit in deleted])
    converged = law.converged and all(fit.converged for fit in deleted)
    note = "" if converged else "a fit to some of the models stopped before it converged"
    for index, quantity in enumerate(("E", "A", "alpha")):
        value, bounds = law.parameters[index], (low[index], high[index])
        if quantity == "A":
            value, bounds = np.exp(value), np.exp(bounds)
        yield FitRow(subject, quantity, len(bits), METHOD, float(value), float(bounds[0]), float(bounds[1]), note=note)
    yield FitRow(subject, "converged", len(bits), METHOD, float(law.converged), note=note)
    residual = np.log(law.predict(bits)) - np.log(loss)
    yield FitRow(subject, "rms_log_residual", len(bits), METHOD, float(np.sqrt(np.mean(residual**2))), note=note)
