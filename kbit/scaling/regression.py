"""What the linear models share: their rows, and a design matrix without redundant columns.

metric = intercept + slope * log2(parameters) + [k and block size] + [data type] + [family]

Two metrics: nats per byte, the logarithm of the perplexity per byte, so that families with different tokenizers share a
scale; and mean accuracy corrected for chance, (accuracy - chance) / (1 - chance): 0 for guessing, 1 for no mistake. k
and block size enter as one factor (their interaction in full), named `bits_block[4,64]`, against the reference level in
the note; the float's exponent width is part of its data type's name. The 16-bit control has neither and stays out, as
do specs with options. Families with one model, and factor levels that only one model has, are left out and listed:
without that model their coefficient would not exist.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl

from kbit.scaling.curves import Array
from kbit.scaling.evidence import Evidence
from kbit.scaling.fit_rows import ALL, FitRow, Subject, undetermined
from kbit.scaling.metrics import ACCURACY, LOSS, Metric
from kbit.scaling.selections import CONTROL

FACTORS = ("bits_block", "data_type", "family")
MIN_MODELS = 3
"""With two clusters the t interval has one degree of freedom: no statement worth printing."""
CORRECTED_ACCURACY = "chance_corrected_accuracy"


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

    @property
    def n_models(self) -> int:
        return int(self.groups.max()) + 1


@dataclass(frozen=True)
class Regression:
    """The rows of one metric, as a problem or with the reason why there is none."""

    metric: Metric
    rows: pl.DataFrame
    design: Design | None
    missing: str
    left_out: list[str]

    def subject(self, fit: str) -> Subject:
        """What a linear model of them is about: all families and specs."""
        name = CORRECTED_ACCURACY if self.metric == ACCURACY else self.metric.name
        return Subject(fit, ALL, self.metric.task_set, name, "", ALL, ALL, ALL)

    @property
    def note(self) -> str:
        return "; ".join([f"reference levels: {', '.join(self.design.references)}", *self.left_out])

    @property
    def settings(self) -> str:
        return "; ".join(["quantized points without options", *self.left_out])

    def undetermined(self, fit: str, method: str, why: str = "") -> FitRow:
        """The one row of a model that cannot be fitted."""
        note = why or "; ".join([self.missing, *self.left_out])
        return undetermined(self.subject(fit), "log2_parameters", self.rows.height, method, note, self.settings)


def regressions(evidence: Evidence) -> Iterator[Regression]:
    """The problem of every metric that the study measured."""
    for metric in (LOSS, ACCURACY):
        if metric in evidence.metrics:
            yield evidence.once(("regression", metric.name), lambda metric=metric: prepare(evidence.points, metric))


def prepare(points: pl.DataFrame, metric: Metric) -> Regression:
    """Rows, design and what is missing of one metric."""
    rows, left_out = identified_rows(regression_rows(points, metric))
    n_models = rows["model"].n_unique()
    if n_models < MIN_MODELS:
        missing = f"needs {MIN_MODELS} models in families of two or more, has {n_models}"
        return Regression(metric, rows, None, missing, left_out)
    design = build_design(rows)
    if np.linalg.matrix_rank(design.X) < design.X.shape[1]:
        return Regression(metric, rows, None, "the factors are collinear in this study", left_out)
    return Regression(metric, rows, design, "", left_out)


def response(metric: Metric) -> pl.Expr:
    """What the linear models explain, from the columns of the table points."""
    if metric == ACCURACY:
        return (pl.col(metric.name) - pl.col("mean_chance")) / (1 - pl.col("mean_chance"))
    return pl.col(metric.name)


def regression_rows(points: pl.DataFrame, metric: Metric = LOSS) -> pl.DataFrame:
    """One row per quantized point with the metric: model, family, log2_parameters, the factors, response."""
    exponent = pl.format("{}-e{}", "data_type", "exponent_bits")
    return (
        points.with_columns(response=response(metric))
        .filter((pl.col("data_type") != CONTROL) & (pl.col("options") == "") & pl.col("response").is_finite())
        .select(
            "model",
            "family",
            "spec",
            log2_parameters=pl.col("parameters").cast(pl.Float64).log(2),
            bits_block=pl.format("{},{}", "bits", "block_size"),
            data_type=pl.when(pl.col("exponent_bits").is_not_null()).then(exponent).otherwise(pl.col("data_type")),
            response="response",
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
    # Centred: the intercept is the response at the mean size, and the design is well conditioned.
    names, columns, references = ["intercept", "log2_parameters"], [np.ones_like(size), size - size.mean()], []
    for factor in FACTORS:
        counts = rows.group_by(factor).len().sort("len", factor, descending=[True, False])
        levels = counts[factor].to_list()
        references.append(f"{factor}[{levels[0]}]")
        for level in sorted(levels[1:], key=natural_order):
            names.append(f"{factor}[{level}]")
            columns.append((rows[factor] == level).to_numpy().astype(float))
    groups = rows["model"].rank("dense").to_numpy().astype(int) - 1
    return Design(names, np.stack(columns, axis=1), rows["response"].to_numpy(), groups, references)


def natural_order(level: str) -> tuple[tuple[int, int | str], ...]:
    """Sorts "4,64" before "4,1024"."""
    return tuple((0, int(part)) if part.isdigit() else (1, part) for part in level.split(","))


def coefficient_rows(
    regression: Regression, fit: str, method: str, values: Array, intervals: Array, note: str = ""
) -> Iterator[FitRow]:
    """A row per coefficient; values f64 [coefficients], intervals f64 [coefficients, 2]."""
    told = "; ".join(text for text in (regression.note, note) if text)
    for name, value, (low, high) in zip(regression.design.names, values, intervals, strict=True):
        yield FitRow(
            regression.subject(fit), name, regression.rows.height, method, float(value), float(low), float(high),
            note=told, settings=regression.settings,
        )  # fmt: skip


def single_row(regression: Regression, fit: str, quantity: str, method: str, value: float, note: str = "") -> FitRow:
    """A row of the whole model, without an interval."""
    told = "; ".join(text for text in (regression.note, note) if text)
    subject, settings = regression.subject(fit), regression.settings
    return FitRow(subject, quantity, regression.rows.height, method, value, note=told, settings=settings)
