"""The simulated studies of bench/coverage.py: for every law, what was planted and what the law should report.

Models share an effect of 2 % (their training run) among all of their points; on top every point has noise of its own.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl
from invented_points import Array, Model, list_points, make_evidence, repeat_families, shared_noise, specs, with_scores

from kbit.scaling.evidence import Evidence
from kbit.scaling.fit_rows import FitRow
from kbit.scaling.grids import Grid
from kbit.scaling.laws import LAWS, effective_parameters, ptq_penalty
from kbit.scaling.laws import qid as qid_law
from kbit.scaling.metrics import LOSS
from kbit.scaling.penalties import fit_penalty_grids, quantized
from kbit.scaling.selections import BEST_SPECS

MODEL_EFFECT = 0.02
POINT_NOISE = 0.002
WEIGHTS = np.geomspace(1e7, 3e10, 9).astype(int).tolist()
TOKENS = (10_000_000_000, 60_000_000_000, 300_000_000_000)
KS = (3, 4, 5, 6, 8, 16)
BLOCKS = (32, 64, 128, 256, 1024)


@dataclass(frozen=True)
class Case:
    """One law under simulation."""

    law: str
    truth: dict[str, float]
    """By quantity; those of one k as `offset/3`."""
    points: Callable[[int], pl.DataFrame]
    """n -> the points of n families, each a simulated study, without scores."""
    loss: Callable[[pl.DataFrame], Array]
    """Their true losses."""
    fit: Callable[[Evidence], Iterator[FitRow]] | None = None
    """The law family by family, where it would also fit all families (here: all simulations) together."""


def simulate(case: Case, n: int, seed: int) -> Evidence:
    """n studies of a case, one family each."""
    points = case.points(n)
    noise = shared_noise(points, MODEL_EFFECT, POINT_NOISE, np.random.default_rng(seed))
    return make_evidence(with_scores(points, nats_per_byte=case.loss(points) * np.exp(noise)))


def fit_case(case: Case, evidence: Evidence) -> Iterator[FitRow]:
    return (case.fit or LAWS[case.law])(evidence)


def of_quantity(rows: Iterator[FitRow], case: Case) -> dict[str, list[FitRow]]:
    """The rows of every quantity whose truth is known."""
    found: dict[str, list[FitRow]] = {name: [] for name in case.truth}
    for row in rows:
        bits = row.bits if row.bits is not None else row.subject.bits
        for name in (row.quantity, f"{row.quantity}/{bits}"):
            if name in found and row.subject.family != "all":
                found[name].append(row)
    return found


def column(points: pl.DataFrame, name: str) -> Array:
    return points[name].cast(pl.Float64).to_numpy()


def family_points(ks=KS, blocks=(64,), tokens=(None,), weights=WEIGHTS) -> Callable[[int], pl.DataFrame]:
    models = [Model("sim", size, seen) for size in weights for seen in tokens]
    return lambda n: list_points(repeat_families(models, n), specs(ks, blocks))


def best_grids(evidence: Evidence, *, checkpoints: bool = False) -> list[Grid]:
    """One grid per family: the study has one data type, so its own selection would say the same."""
    return [grid for grid in evidence.grids(LOSS, checkpoints=checkpoints) if grid.selection == BEST_SPECS]


def fit_effective(evidence: Evidence) -> Iterator[FitRow]:
    return effective_parameters.fit_grids(best_grids(evidence))


def fit_ptq(evidence: Evidence) -> Iterator[FitRow]:
    return fit_penalty_grids(ptq_penalty.LAW, [quantized(grid) for grid in best_grids(evidence, checkpoints=True)])


def fit_qid(evidence: Evidence) -> Iterator[FitRow]:
    return fit_penalty_grids(qid_law.LAW, [quantized(grid) for grid in best_grids(evidence, checkpoints=True)])


def power(points: pl.DataFrame) -> Array:
    return 0.9 + 60.0 * column(points, "total_bits") ** -0.22


def effective(points: pl.DataFrame) -> Array:
    share = -np.expm1(-column(points, "bits") / 1.6)
    return 0.9 + 40.0 * (column(points, "quantized_parameters") * share) ** -0.22


def bivariate(points: pl.DataFrame) -> Array:
    return 0.8 + 40.0 * column(points, "quantized_parameters") ** -0.22 + 6.0 * column(points, "bits") ** -3.0


def control(points: pl.DataFrame) -> Array:
    return 0.9 + 40.0 * column(points, "quantized_parameters") ** -0.22


def is_quantized(points: pl.DataFrame) -> Array:
    return (points["bits"] < 16).to_numpy().astype(float)


def ptq(points: pl.DataFrame) -> Array:
    ratio = column(points, "tokens_seen") ** 0.5 / column(points, "quantized_parameters") ** 0.4
    return control(points) + is_quantized(points) * 0.02 * ratio * np.exp(-column(points, "bits") / 1.1)


def qid(points: pl.DataFrame) -> Array:
    ratio = column(points, "tokens_seen") ** 0.5 / column(points, "quantized_parameters") ** 0.4
    return control(points) + is_quantized(points) * 0.1 * ratio * column(points, "bits") ** -4.5


def group(points: pl.DataFrame) -> Array:
    size = np.log2(np.nan_to_num(column(points, "block_size"), nan=2.0))
    return control(points) + is_quantized(points) * 0.5 * size**1.2 / column(points, "quantized_parameters") ** 0.15


def log_quadratic(points: pl.DataFrame) -> Array:
    x = np.log2(column(points, "total_bits")) - CENTRE
    return 1.4 - 0.06 * x + 0.003 * x**2


def offset(points: pl.DataFrame) -> Array:
    return 2.4 - 0.05 * (np.log2(column(points, "total_bits")) - 27) + points["bits"].replace_strict(OFFSETS).to_numpy()


OFFSETS = {3: 0.03, 4: -0.09, 5: -0.08, 6: -0.07, 8: -0.05, 16: 0.0}
CENTRE = float(np.log2(column(family_points(ks=(4,))(1), "total_bits")).mean())
PTQ_TRUTH = {"C_T": 0.02, "gamma_N": 0.4, "gamma_D": 0.5, "gamma_post": 1.1}
QID_TRUTH = {"k": 0.1, "alpha": 0.4, "beta": 0.5, "gamma": 4.5}
EFFECTIVE_TRUTH = {"gamma": 1.6, "alpha": 0.22, "E": 0.9, "A": 40.0}

CASES = (
    Case("power_law", {"E": 0.9, "A": 60.0, "alpha": 0.22}, family_points(ks=(4,)), power),
    Case("effective_parameters", EFFECTIVE_TRUTH, family_points(), effective, fit_effective),
    Case("bivariate_power", {"E": 0.8, "A": 40.0, "alpha": 0.22, "B": 6.0, "beta": 3.0}, family_points(), bivariate),
    Case("ptq_penalty", PTQ_TRUTH, family_points(tokens=TOKENS), ptq, fit_ptq),
    Case("qid", QID_TRUTH, family_points(tokens=TOKENS), qid, fit_qid),
    Case("group_size", {"k": 0.5, "gamma_G": 1.2, "gamma_N": 0.15}, family_points((3, 16), BLOCKS), group),
    Case("log_quadratic", {"level": 1.4, "slope": -0.06, "curvature": 0.003}, family_points(ks=(4,)), log_quadratic),
    Case("offset", {f"offset/{k}": value for k, value in OFFSETS.items() if k < 16}, family_points(), offset),
)


def cover(case: Case, n: int, seed: int) -> dict[str, tuple[float, int]]:
    """By quantity: share of the 95 % intervals that hold the truth, and of how many."""
    found = of_quantity(fit_case(case, simulate(case, n, seed)), case)
    return {name: share_that_holds(rows, case.truth[name]) for name, rows in found.items()}


def share_that_holds(rows: list[FitRow], truth: float) -> tuple[float, int]:
    held = [row.low <= truth <= row.high for row in rows if row.status == "ok"]
    return (float(np.mean(held)) if held else float("nan")), len(held)
