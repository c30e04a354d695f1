"""linear: one ordinary least squares model of the log-perplexity of all families.

nats_per_byte = intercept + slope * log2(parameters) + [k and block size] + [data type] + [family]

nats per byte is the logarithm of the perplexity per byte, so families with different tokenizers share a scale. k and
block size enter as one factor (their interaction in full), named `bits_block[4,64]`, against the reference level in the
note; the float's exponent width is part of its data type's name. The 16-bit control has neither and stays out. Standard
errors: cluster-crv3 by model (a cluster jackknife), since the cells of one model share its quirks; t with models - 1
degrees of freedom. Families with one model, and factor levels that only one model has, are left out and listed: without
that model their coefficient would not exist.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl
from statsmodels.regression.linear_model import OLS

from kbit.scaling.curves import Array
from kbit.scaling.evidence import Evidence
from kbit.scaling.fit_rows import ALL, LEVEL, FitRow, Subject, undetermined
from kbit.scaling.metrics import LOSS
from kbit.scaling.selections import CONTROL

NAME = "linear"
METHOD = "OLS, cluster-crv3 by model, t interval"
FACTORS = ("bits_block", "data_type", "family")
MIN_MODELS = 3
"""With two clusters the t interval has one degree of freedom: no statement worth printing."""


@dataclass(frozen=True)
class Design:
    """A regression problem without redundant columns."""

    names: list[str]
    X: Array
    """f64 [cells, coefficients]"""
    y: Array
    groups: np.ndarray
    """int [cells]: index of the model."""
    references: list[str]


def fit_linear(evidence: Evidence) -> Iterator[FitRow]:
    """Coefficients with intervals, and R squared; one `undetermined` row where there are too few models."""
    if LOSS not in evidence.metrics:
        return
    subject = Subject(NAME, ALL, LOSS.task_set, LOSS.name, "", ALL, ALL, ALL)
    rows, left_out = identified_rows(regression_rows(evidence.points))
    if rows["model"].n_unique() < MIN_MODELS:
        missing = f"needs {MIN_MODELS} models in families of two or more, has {rows['model'].n_unique()}"
        yield undetermined(subject, "log2_parameters", rows.height, METHOD, "; ".join([missing, *left_out]))
        return
    design = build_design(rows)
    if np.linalg.matrix_rank(design.X) < design.X.shape[1]:
        yield undetermined(subject, "log2_parameters", rows.height, METHOD, "the factors are collinear in this study")
        return
    try:
        fit = OLS(design.y, design.X).fit(cov_type="cluster-crv3", cov_kwds={"groups": design.groups}, use_t=True)
    except ValueError as error:
        yield undetermined(
            subject, "log2_parameters", rows.height, METHOD, f"not identified without one model: {error}"
        )
        return
    note = "; ".join([f"reference levels: {', '.join(design.references)}", *left_out])
    intervals = fit.conf_int(1 - LEVEL)
    for name, value, (low, high) in zip(design.names, fit.params, intervals, strict=True):
        yield FitRow(subject, name, rows.height, METHOD, float(value), float(low), float(high), note=note)
    yield FitRow(subject, "r_squared", rows.height, METHOD, float(fit.rsquared), note=note)


def regression_rows(points: pl.DataFrame) -> pl.DataFrame:
    """One row per quantized point with a loss: model, family, log2_parameters, bits_block, data_type, loss."""
    exponent = pl.format("{}-e{}", "data_type", "exponent_bits")
    return (
        points.filter((pl.col("data_type") != CONTROL) & (pl.col("options") == "") & pl.col(LOSS.name).is_finite())
        .select(
            "model",
            "family",
            "spec",
            log2_parameters=pl.col("parameters").cast(pl.Float64).log(2),
            bits_block=pl.format("{},{}", "bits", "block_size"),
            data_type=pl.when(pl.col("exponent_bits").is_not_null()).then(exponent).otherwise(pl.col("data_type")),
            loss=pl.col(LOSS.name),
        )
        .sort("model", "spec")
    )


def identified_rows(rows: pl.DataFrame) -> tuple[pl.DataFrame, list[str]]:
    """The rows whose factor levels at least two models have, and which levels were left out."""
    left_out: dict[str, list[str]] = {}
    while True:
        height = rows.height
        for factor in FACTORS:
            lone = rows.group_by(factor).agg(pl.col("model").n_unique()).filter(pl.col("model") < 2)[factor].to_list()
            left_out.setdefault(factor, []).extend(sorted(lone))
            rows = rows.filter(~pl.col(factor).is_in(lone))
        if rows.height == height:
            break
    notes = [f"left out, only one model: {factor} {', '.join(levels)}" for factor, levels in left_out.items() if levels]
    return rows, notes


def build_design(rows: pl.DataFrame) -> Design:
    """Intercept, centred size, and an indicator for every factor level but the reference, the most frequent one."""
    size = rows["log2_parameters"].to_numpy()
    # Centred: the intercept is the loss at the mean size, and the design is well conditioned.
    names, columns, references = ["intercept", "log2_parameters"], [np.ones_like(size), size - size.mean()], []
    for factor in FACTORS:
        counts = rows.group_by(factor).len().sort("len", factor, descending=[True, False])
        levels = counts[factor].to_list()
        references.append(f"{factor}[{levels[0]}]")
        for level in sorted(levels[1:], key=natural_order):
            names.append(f"{factor}[{level}]")
            columns.append((rows[factor] == level).to_numpy().astype(float))
    groups = rows["model"].rank("dense").to_numpy().astype(int) - 1
    return Design(names, np.stack(columns, axis=1), rows["loss"].to_numpy(), groups, references)


def natural_order(level: str) -> tuple[tuple[int, int | str], ...]:
    """Sorts "4,64" before "4,1024"."""
    return tuple((0, int(part)) if part.isdigit() else (1, part) for part in level.split(","))
